import { describe, expect, it } from 'vitest';
import type { ServerTLSSettings } from '../../../src/config/generated/types.ts';
import { parseMeshConfig } from '../../../src/config/mesh.ts';
import {
  ALPN_HTTP3,
  credentialSecret,
  downstreamTls,
  downstreamTlsContext,
  meshDownstreamTls,
} from '../../../src/translate/security/tls.ts';
import { proxyClass } from '../routes/support.ts';

type Json = Record<string, unknown>;

const { mesh } = parseMeshConfig({});

/** Secrets by name: `NAME from ads` or `NAME from CLUSTER`, `waited for` where the listener does. */
function secretsOf(list: unknown): readonly string[] {
  return ((list ?? []) as readonly { name: string; sdsConfig: Json }[]).map(({ name, sdsConfig }) => {
    const cluster = /"clusterName":"([^"]+)"/.exec(JSON.stringify(sdsConfig))?.[1] ?? 'ads';
    return `${name} from ${cluster}${sdsConfig['initialFetchTimeout'] === '0s' ? ', waited for' : ''}`;
  });
}

function told(tls: ServerTLSSettings, options: Parameters<typeof proxyClass>[0] = {}, config = mesh) {
  const context = downstreamTlsContext({ tls, mesh: config, proxyClass: proxyClass({ type: 'router', ...options }) });
  const common = (context?.commonTlsContext ?? {}) as Json;
  const combined = common['combinedValidationContext'] as Json | undefined;
  return {
    required: context?.requireClientCertificate,
    certificates: secretsOf(common['tlsCertificateSdsSecretConfigs']),
    roots: secretsOf(combined === undefined ? [] : [combined['validationContextSdsSecretConfig']]),
    validation: combined?.['defaultValidationContext'],
    params: common['tlsParams'],
    alpn: common['alpnProtocols'],
  };
}

describe('servers of a Gateway', () => {
  it.each<[string, ServerTLSSettings, Json]>([
    [
      'SIMPLE',
      { mode: 'SIMPLE', credentialName: 'c' },
      { required: false, certificates: ['kubernetes://c from ads'], roots: [] },
    ],
    [
      'MUTUAL',
      { mode: 'MUTUAL', credentialName: 'c' },
      { required: true, certificates: ['kubernetes://c from ads'], roots: ['kubernetes://c-cacert from ads'] },
    ],
    [
      'MUTUAL with a CA of its own',
      { mode: 'MUTUAL', credentialName: 'c', caCertCredentialName: 'configmap://ns/ca' },
      { required: true, roots: ['configmap://ns/ca from ads'] },
    ],
    [
      'OPTIONAL_MUTUAL',
      { mode: 'OPTIONAL_MUTUAL', credentialName: 'c' },
      { required: false, roots: ['kubernetes://c-cacert from ads'] },
    ],
    [
      'ISTIO_MUTUAL',
      { mode: 'ISTIO_MUTUAL' },
      {
        required: true,
        certificates: ['default from sds-grpc, waited for'],
        roots: ['ROOTCA from sds-grpc, waited for'],
        params: undefined,
      },
    ],
    [
      'files',
      { mode: 'MUTUAL', serverCertificate: '/c', privateKey: '/k', caCertificates: '/ca' },
      { certificates: ['file-cert:/c~/k from sds-grpc'], roots: ['file-root:/ca from sds-grpc'] },
    ],
    [
      'several credentials',
      { mode: 'SIMPLE', credentialNames: ['kubernetes-gateway://ns/a', 'b'] },
      { certificates: ['kubernetes-gateway://ns/a from ads', 'kubernetes://b from ads'] },
    ],
    [
      'names and pins',
      {
        mode: 'MUTUAL',
        credentialName: 'c',
        subjectAltNames: ['a'],
        verifyCertificateSpki: ['s'],
        verifyCertificateHash: ['h'],
      },
      {
        validation: {
          matchSubjectAltNames: [{ exact: 'a' }],
          verifyCertificateSpki: ['s'],
          verifyCertificateHash: ['h'],
        },
      },
    ],
    [
      'versions and ciphers',
      {
        mode: 'SIMPLE',
        credentialName: 'c',
        minProtocolVersion: 'TLSV1_3',
        maxProtocolVersion: 'TLS_AUTO',
        // What Envoy does not know would cost the whole listener.
        cipherSuites: ['X', 'AES128-SHA', '[AES256-SHA|AES128-SHA]', 'AES128-SHA'],
      },
      {
        params: {
          tlsMinimumProtocolVersion: 'TLSv1_3',
          cipherSuites: ['AES128-SHA', '[AES256-SHA|AES128-SHA]'],
        },
      },
    ],
  ])('%s', (_case, tls, expected) => {
    expect(told(tls)).toMatchObject(expected);
  });

  it.each(['PASSTHROUGH', 'AUTO_PASSTHROUGH'] as const)('%s ends no TLS', (mode) => {
    expect(downstreamTls({ tls: { mode }, mesh, proxyClass: proxyClass() })).toBeUndefined();
  });

  it('take what they leave open from the mesh', () => {
    const config = parseMeshConfig({ tlsDefaults: { minProtocolVersion: 'TLSV1_3', ecdhCurves: ['P-256'] } }).mesh;
    expect(told({ mode: 'SIMPLE', credentialName: 'c' }, {}, config).params).toEqual({
      tlsMinimumProtocolVersion: 'TLSv1_3',
      ecdhCurves: ['P-256'],
    });
  });

  it('say which kinds of names they accept, to an Envoy that asks', () => {
    const tls: ServerTLSSettings = { mode: 'MUTUAL', credentialName: 'c', subjectAltNames: ['a.io', 'spiffe://td/x'] };
    expect(told(tls, { dialect: 'current' }).validation).toEqual({
      matchTypedSubjectAltNames: [
        { sanType: 'DNS', matcher: { exact: 'a.io' } },
        { sanType: 'IP_ADDRESS', matcher: { exact: 'a.io' } },
        { sanType: 'URI', matcher: { exact: 'spiffe://td/x' } },
      ],
    });
  });

  it('offer what they are told to', () => {
    const context = downstreamTlsContext({
      tls: { mode: 'SIMPLE', credentialName: 'c' },
      mesh,
      proxyClass: proxyClass(),
      alpn: ALPN_HTTP3,
    });
    expect(context).toHaveProperty('commonTlsContext.alpnProtocols', ['h3']);
    expect(told({ mode: 'SIMPLE', credentialName: 'c' }).alpn).toEqual(['h2', 'http/1.1']);
  });
});

describe('credentials', () => {
  it.each([
    ['builtin://', false, 'default from sds-grpc, waited for'],
    ['sds://x', true, 'x from sds-external'],
    ['sds://x', false, 'sds://x from ads'],
    ['invalid://x', false, 'invalid://x from ads'],
  ])('%s, external %s', (name, external, expected) => {
    expect(secretsOf([credentialSecret(name, external)])).toEqual([expected]);
  });
});

describe('sidecars', () => {
  const common = (config: Json, settings: Parameters<typeof proxyClass>[0] = {}) => {
    const socket = meshDownstreamTls(parseMeshConfig(config).mesh, proxyClass(settings));
    return (socket.typedConfig as unknown as { commonTlsContext: Json }).commonTlsContext;
  };

  it('take certificates of every trust domain of the mesh', () => {
    const { combinedValidationContext } = common({ trustDomain: 'a.io', trustDomainAliases: ['b.io', 'a.io'] });
    expect(combinedValidationContext).toMatchObject({
      defaultValidationContext: { matchSubjectAltNames: [{ prefix: 'spiffe://a.io/' }, { prefix: 'spiffe://b.io/' }] },
    });
  });

  it('follow the mesh in versions and ciphers', () => {
    const meshMTLS = { minProtocolVersion: 'TLSV1_3', cipherSuites: ['AES128-SHA'], ecdhCurves: ['P-256'] };
    expect(common({ meshMTLS })['tlsParams']).toEqual({
      tlsMinimumProtocolVersion: 'TLSv1_3',
      tlsMaximumProtocolVersion: 'TLSv1_3',
      cipherSuites: ['AES128-SHA'],
      ecdhCurves: ['P-256'],
    });
  });

  it('use certificates from files where the proxy has them', () => {
    const settings = { tlsServerCertChain: '/c', tlsServerKey: '/k', tlsServerRootCert: '/r' };
    const { tlsCertificateSdsSecretConfigs, combinedValidationContext } = common({}, { settings });
    expect(secretsOf(tlsCertificateSdsSecretConfigs)).toEqual(['file-cert:/c~/k from sds-grpc']);
    expect(secretsOf([(combinedValidationContext as Json)['validationContextSdsSecretConfig']])).toEqual([
      'file-root:/r from sds-grpc',
    ]);
  });
});
