import { describe, expect, it } from 'vitest';
import { decode, encode } from '../../../src/codec/index.ts';
import { parseMeshConfig } from '../../../src/config/mesh.ts';
import type { ChainContext, ListenerRole } from '../../../src/translate/context.ts';
import { HTTP_FILTER_ORDER } from '../../../src/translate/http/filters.ts';
import { type HcmInputs, httpConnectionManager } from '../../../src/translate/http/index.ts';
import { type ClassOptions, proxyClass } from '../routes/support.ts';

type Json = Record<string, unknown>;

interface Options extends Partial<Omit<HcmInputs, 'context'>> {
  readonly role?: ListenerRole;
  readonly settings?: ClassOptions['settings'];
  readonly mesh?: Json;
  readonly context?: Partial<ChainContext>;
}

const stage = (name: string) => ({ custom: [{ name: `${name}-custom` }], rules: [{ name: `${name}-rules` }] });

function manager({ role = 'sidecar-outbound', settings = {}, mesh = {}, context = {}, ...inputs }: Options = {}): Json {
  const none = { custom: [], rules: [] };
  const whole = {
    role,
    mesh: parseMeshConfig(mesh).mesh,
    proxyClass: proxyClass({ type: role === 'gateway' ? 'router' : 'sidecar', settings }),
    logs: { http: undefined, tcp: undefined, listener: undefined },
    tracing: () => ({ block: undefined, useRequestId: true }),
    authorization: { http: none, tcp: none },
    jwt: [],
    extensions: { http: () => [], network: () => [] },
    idleTimeout: undefined,
    origins: [],
    ...context,
  } as unknown as ChainContext;
  const filter = httpConnectionManager({
    statPrefix: 's',
    routes: { kind: 'rds', name: '80' },
    protocol: 'HTTP',
    port: 80,
    ...inputs,
    context: whole,
  });
  const read = decode('envoy.config.listener.v3.Filter', encode('envoy.config.listener.v3.Filter', filter));
  return read.typedConfig as unknown as Json;
}

const withHeaders = (proxyHeaders: Json): Options => ({ settings: { proxyConfig: { proxyHeaders } } });

describe('the connection manager', () => {
  it('waits for its routes', () => {
    expect(manager()['rds']).toEqual({
      configSource: { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' },
      routeConfigName: '80',
    });
  });

  it.each<[string, Options, Json]>([
    ['a client', {}, { useRemoteAddress: false, statPrefix: 's;' }],
    [
      'a server',
      { role: 'sidecar-inbound' },
      {
        serverName: 'istio-envoy',
        forwardClientCertDetails: 'APPEND_FORWARD',
        setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
      },
    ],
    [
      'a gateway',
      {
        role: 'gateway',
        settings: {
          proxyConfig: { gatewayTopology: { numTrustedProxies: 2, forwardClientCertDetails: 'FORWARD_ONLY' } },
        },
      },
      {
        useRemoteAddress: true,
        xffNumTrustedHops: 2,
        forwardClientCertDetails: 'FORWARD_ONLY',
        httpProtocolOptions: {},
      },
    ],
    ['HTTP/2 servers', { role: 'sidecar-inbound', protocol: 'GRPC' }, { http2ProtocolOptions: {} }],
    ['HTTP/1.0', { settings: { http10: true } }, { httpProtocolOptions: { acceptHttp10: true } }],
    ['idle connections', { settings: { idleTimeout: '7s' } }, { commonHttpProtocolOptions: { idleTimeout: '7s' } }],
    ['an explicit proxy', { explicitProxy: true }, { httpProtocolOptions: { allowAbsoluteUrl: true } }],
    ['paths as usual', {}, { normalizePath: true, pathWithEscapedSlashesAction: 'KEEP_UNCHANGED' }],
    [
      'decoded paths',
      { mesh: { pathNormalization: { normalization: 'DECODE_AND_MERGE_SLASHES' } } },
      { normalizePath: true, mergeSlashes: true, pathWithEscapedSlashesAction: 'UNESCAPE_AND_FORWARD' },
    ],
    ['paths as they are', { mesh: { pathNormalization: { normalization: 'NONE' } } }, { normalizePath: false }],
    ['no request id', withHeaders({ requestId: { disabled: true } }), { generateRequestId: false }],
    ['a server name', withHeaders({ server: { value: 'x' } }), { serverName: 'x' }],
    [
      'the server of the application',
      withHeaders({ server: { disabled: true } }),
      { serverHeaderTransformation: 'PASS_THROUGH' },
    ],
    ['the port that was asked for', withHeaders({ xForwardedPort: { enabled: true } }), { appendXForwardedPort: true }],
    [
      'the case of headers',
      withHeaders({ preserveHttp1HeaderCase: true }),
      { httpProtocolOptions: { headerKeyFormat: { statefulFormatter: { name: 'preserve_case' } } } },
    ],
    [
      'client certificates',
      {
        role: 'sidecar-inbound',
        ...withHeaders({
          forwardedClientCert: 'SANITIZE_SET',
          setCurrentClientCertDetails: { cert: true, subject: false },
        }),
      },
      {
        forwardClientCertDetails: 'SANITIZE_SET',
        setCurrentClientCertDetails: { subject: false, cert: true, dns: true, uri: true },
      },
    ],
  ])('settles %s', (_case, options, expected) => {
    expect(manager(options)).toMatchObject(expected);
  });
});

describe('a router at the edge', () => {
  const edge = (connectionSettings: Json, role: ListenerRole = 'gateway'): Options => ({
    role,
    settings: { proxyConfig: { connectionSettings } },
  });

  it('has limits by profile, and its own over them', () => {
    expect(manager(edge({ profile: 'EDGE', httpRequestTimeout: '1m' }))).toMatchObject({
      streamIdleTimeout: '300s',
      requestTimeout: '60s',
      requestHeadersTimeout: '60s',
      mergeSlashes: true,
      pathWithEscapedSlashesAction: 'UNESCAPE_AND_REDIRECT',
      commonHttpProtocolOptions: { idleTimeout: '3600s', headersWithUnderscoresAction: 'REJECT_REQUEST' },
      http2ProtocolOptions: {
        maxConcurrentStreams: 100,
        initialStreamWindowSize: 65536,
        initialConnectionWindowSize: 1048576,
      },
    });
  });

  it('has the usual ones without the profile', () => {
    const made = manager(edge({ httpMaxConcurrentStreams: 5 }));
    expect(made).toMatchObject({ streamIdleTimeout: '0s', http2ProtocolOptions: { maxConcurrentStreams: 5 } });
    expect(made).not.toHaveProperty('requestTimeout');
  });

  it('is no sidecar', () => {
    expect(manager(edge({ profile: 'EDGE' }, 'sidecar-outbound'))['streamIdleTimeout']).toBe('0s');
  });
});

describe('HTTP filters', () => {
  const names = (options: Options) =>
    (manager(options)['httpFilters'] as readonly { name: string }[]).map(({ name }) =>
      name.replace('envoy.filters.http.', ''),
    );

  it('stand in one order', () => {
    const context = {
      authorization: { http: stage('http'), tcp: stage('tcp') },
      jwt: [{ name: 'jwt' }],
      extensions: { http: (phase: string) => [{ name: phase }], network: () => [] },
    };
    const all = names({ role: 'gateway', protocol: 'GRPC-Web', dnsCaches: [{ name: 'd' }], context: context as never });
    expect(all).toEqual([
      'http-custom',
      'AUTHN',
      'jwt',
      'AUTHZ',
      'http-rules',
      'STATS',
      'UNSPECIFIED',
      'grpc_web',
      'grpc_stats',
      'meltemi.alpn',
      'fault',
      'cors',
      'dynamic_forward_proxy',
      'router',
    ]);
    expect(HTTP_FILTER_ORDER.every(({ why }) => why !== '')).toBe(true);
  });

  it('leave the upstream offer alone on servers', () => {
    expect(names({ role: 'sidecar-inbound' })).toEqual(['grpc_stats', 'fault', 'cors', 'router']);
  });

  it('hide Envoy where they are told to', () => {
    const filters = manager(withHeaders({ envoyDebugHeaders: { disabled: true } }))['httpFilters'] as readonly Json[];
    expect(filters.at(-1)?.['typedConfig']).toMatchObject({ suppressEnvoyHeaders: true });
  });
});
