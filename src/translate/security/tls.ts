// Downstream TLS: of sidecars inside the mesh, and of gateway servers by the settings of their Gateway.
// In: mesh, proxy, ServerTLSSettings. Out: a transport socket. Called by listeners and gateway.

import { lasting } from '../../codec/index.ts';
import { usableCiphers } from '../../config/ciphers.ts';
import type { ServerTLSSettings } from '../../config/generated/types.ts';
import type { Dialect, ProxyClass } from '../../ir/proxy.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';
import { withoutAgent } from './agentless.ts';
import { ADS_SECRET_SOURCE, agentSecret, EXTERNAL_SDS_CLUSTER, extension, localSecretSource } from '../envoy.ts';
import type { MeshSettings } from '../mesh.ts';

type TransportSocket = Messages['envoy.config.core.v3.TransportSocket'];
type DownstreamTlsContext = Messages['envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'];
type CommonTlsContext = Messages['envoy.extensions.transport_sockets.tls.v3.CommonTlsContext'];
type ValidationContext = Messages['envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext'];
type TlsParameters = Messages['envoy.extensions.transport_sockets.tls.v3.TlsParameters'];
type TlsProtocol = NonNullable<TlsParameters['tlsMinimumProtocolVersion']>;
type SdsSecretConfig = Messages['envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig'];

/** What servers of the mesh and of gateways speak inside TLS. */
export const ALPN_HTTP: readonly string[] = ['h2', 'http/1.1'];
export const ALPN_HTTP3: readonly string[] = ['h3'];

/** The workload's certificate, and the bundle it trusts, as the agent names them. */
export const WORKLOAD_SECRET = 'default';
export const ROOT_SECRET = 'ROOTCA';

const MESH_CIPHERS: readonly string[] = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];

/** Mutual TLS between workloads: any identity of the mesh's trust domains may connect, authorization comes after. */
export function meshDownstreamTls(mesh: MeshSettings, proxyClass: ProxyClass): TransportSocket {
  const { tlsServerCertChain = '', tlsServerKey = '', tlsServerRootCert = '', agentless = false } = proxyClass.settings;
  return meshSocket(mesh, proxyClass.dialect, tlsServerCertChain, tlsServerKey, tlsServerRootCert, agentless);
}

const meshSocket = memo(
  (
    mesh: MeshSettings,
    dialect: Dialect,
    certChain: string,
    key: string,
    rootCert: string,
    agentless: boolean,
  ): TransportSocket => {
    const others = (mesh.caCertificates ?? []).flatMap(({ trustDomains }) => trustDomains ?? []);
    const domains = [mesh.trustDomain, ...(mesh.trustDomainAliases ?? []), ...others];
    const unique = domains.filter((domain, index) => domains.indexOf(domain) === index);
    const common: CommonTlsContext = {
      alpnProtocols: ALPN_HTTP,
      tlsParams: meshTlsParameters(mesh),
      ...secrets(
        fileCertificate(certChain, key) ?? WORKLOAD_SECRET,
        fileRoot(rootCert) ?? ROOT_SECRET,
        sanMatchers(
          unique.map((domain) => `spiffe://${domain}/`),
          'prefix',
          dialect,
        ),
      ),
    };
    const context: DownstreamTlsContext = {
      commonTlsContext: agentless ? withoutAgent(common) : common,
      requireClientCertificate: true,
    };
    return lasting(tlsSocket(context));
  },
);

function meshTlsParameters({ meshMTLS }: MeshSettings): TlsParameters {
  const curves = meshMTLS?.ecdhCurves ?? [];
  return {
    tlsMinimumProtocolVersion: protocolVersion(meshMTLS?.minProtocolVersion) ?? 'TLSv1_2',
    tlsMaximumProtocolVersion: 'TLSv1_3',
    cipherSuites: usableCiphers(meshMTLS?.cipherSuites) ?? MESH_CIPHERS,
    ecdhCurves: curves.length > 0 ? curves : undefined,
  };
}

export interface DownstreamTlsInputs {
  readonly tls: ServerTLSSettings;
  readonly mesh: MeshSettings;
  readonly proxyClass: ProxyClass;
  /** Defaults to HTTP/2 and HTTP/1.1. */
  readonly alpn?: readonly string[] | undefined;
}

/** TLS terminated at a server of a Gateway; undefined for modes that don't terminate. */
export function downstreamTls(inputs: DownstreamTlsInputs): TransportSocket | undefined {
  const { tls, proxyClass, alpn } = inputs;
  const plain = tls.mode === 'ISTIO_MUTUAL' && (tls.subjectAltNames ?? []).length === 0 && alpn === undefined;
  if (plain && proxyClass.settings.agentless !== true) return ISTIO_MUTUAL;
  const context = downstreamTlsContext(inputs);
  return context === undefined ? undefined : tlsSocket(context);
}

/** As `downstreamTls`, the bare context (QUIC wraps it in a socket of its own). */
export function downstreamTlsContext(inputs: DownstreamTlsInputs): DownstreamTlsContext | undefined {
  const context = withAgent(inputs);
  if (context === undefined || inputs.proxyClass.settings.agentless !== true) return context;
  return { ...context, commonTlsContext: withoutAgent(context.commonTlsContext) };
}

type ServerTlsContext = DownstreamTlsContext & { readonly commonTlsContext: CommonTlsContext };

function withAgent(inputs: DownstreamTlsInputs): ServerTlsContext | undefined {
  const { tls, mesh, proxyClass, alpn = ALPN_HTTP } = inputs;
  const mode = tls.mode ?? 'PASSTHROUGH';
  switch (mode) {
    case 'PASSTHROUGH':
    case 'AUTO_PASSTHROUGH':
      return undefined;
    case 'ISTIO_MUTUAL': {
      const validation = sanMatchers(tls.subjectAltNames ?? [], 'exact', proxyClass.dialect);
      return {
        commonTlsContext: { alpnProtocols: alpn, ...secrets(WORKLOAD_SECRET, ROOT_SECRET, validation) },
        requireClientCertificate: true,
      };
    }
    case 'SIMPLE':
    case 'MUTUAL':
    case 'OPTIONAL_MUTUAL':
      return {
        commonTlsContext: {
          alpnProtocols: alpn,
          tlsParams: serverTlsParameters(tls, mesh),
          ...serverSecrets(tls, mode !== 'SIMPLE', proxyClass),
        },
        requireClientCertificate: mode === 'MUTUAL',
      };
  }
}

function serverSecrets(tls: ServerTLSSettings, verify: boolean, proxyClass: ProxyClass): Partial<CommonTlsContext> {
  const { externalSds } = proxyClass.settings;
  const validation: ValidationContext = {
    ...sanMatchers(tls.subjectAltNames ?? [], 'exact', proxyClass.dialect),
    verifyCertificateSpki: orUndefined(tls.verifyCertificateSpki),
    verifyCertificateHash: orUndefined(tls.verifyCertificateHash),
    crl: (tls.caCrl ?? '') === '' || credentialNames(tls).length > 0 ? undefined : { filename: tls.caCrl },
  };
  const names = credentialNames(tls);
  const certificates =
    names.length > 0
      ? names.map((name) => credentialSecret(name, externalSds))
      : fileCertificates(tls).map((name) => agentSecret(name, isAgentSecret(name)));
  if (!verify) return { tlsCertificateSdsSecretConfigs: certificates };
  const [first] = names;
  const ca =
    tls.caCertCredentialName !== undefined && tls.caCertCredentialName !== '' ? tls.caCertCredentialName : undefined;
  const root =
    ca !== undefined || first !== undefined
      ? credentialSecret(ca ?? `${first}${CA_SUFFIX}`, externalSds)
      : rootSecret(fileRoot(tls.caCertificates ?? '') ?? ROOT_SECRET);
  return {
    tlsCertificateSdsSecretConfigs: certificates,
    combinedValidationContext: { defaultValidationContext: validation, validationContextSdsSecretConfig: root },
  };
}

/** Suffix of the credential that holds the CA for another one. */
const CA_SUFFIX = '-cacert';

function credentialNames(tls: ServerTLSSettings): readonly string[] {
  if (tls.credentialNames !== undefined && tls.credentialNames.length > 0) return tls.credentialNames;
  return tls.credentialName === undefined || tls.credentialName === '' ? [] : [tls.credentialName];
}

function fileCertificates(tls: ServerTLSSettings): readonly string[] {
  const pairs = tls.tlsCertificates ?? [];
  const named = pairs.flatMap((pair) => fileCertificate(pair.serverCertificate ?? '', pair.privateKey ?? '') ?? []);
  if (named.length > 0) return named;
  return [fileCertificate(tls.serverCertificate ?? '', tls.privateKey ?? '') ?? WORKLOAD_SECRET];
}

/** A credential by the name that users give it: a Secret of the proxy's cluster unless its scheme says otherwise. */
export function credentialSecret(name: string, externalSds: boolean): SdsSecretConfig {
  if (name.startsWith('builtin://')) return rootSecret(name.endsWith(CA_SUFFIX) ? ROOT_SECRET : WORKLOAD_SECRET);
  if (name.startsWith('sds://') && externalSds) {
    const secret = name.slice('sds://'.length);
    return { name: secret, sdsConfig: localSecretSource(EXTERNAL_SDS_CLUSTER, undefined) };
  }
  return { name: name.includes('://') ? name : `kubernetes://${name}`, sdsConfig: ADS_SECRET_SOURCE };
}

function secrets(certificate: string, root: string, validation: ValidationContext): Partial<CommonTlsContext> {
  return {
    tlsCertificateSdsSecretConfigs: [rootSecret(certificate)],
    combinedValidationContext: {
      defaultValidationContext: validation,
      validationContextSdsSecretConfig: rootSecret(root),
    },
  };
}

function rootSecret(name: string): SdsSecretConfig {
  return agentSecret(name, isAgentSecret(name));
}

/** The agent always has these in the end: a listener waits for them rather than start without a certificate. */
function isAgentSecret(name: string): boolean {
  return name === WORKLOAD_SECRET || name === ROOT_SECRET;
}

function fileCertificate(certChain: string, key: string): string | undefined {
  return certChain === '' || key === '' ? undefined : `file-cert:${certChain}~${key}`;
}

function fileRoot(path: string): string | undefined {
  return path === '' ? undefined : `file-root:${path}`;
}

/** Accepted names. The untyped matcher looks at every kind of SAN; typed ones say which kinds a name can be. */
function sanMatchers(names: readonly string[], how: 'exact' | 'prefix', dialect: Dialect): ValidationContext {
  if (names.length === 0) return {};
  const matcherOf = (name: string) => (how === 'exact' ? { exact: name } : { prefix: name });
  if (dialect === 'classic') return { matchSubjectAltNames: names.map(matcherOf) };
  const kindsOf = (name: string) => (name.includes('://') ? (['URI'] as const) : (['DNS', 'IP_ADDRESS'] as const));
  return {
    matchTypedSubjectAltNames: names.flatMap((name) =>
      kindsOf(name).map((sanType) => ({ sanType, matcher: matcherOf(name) })),
    ),
  };
}

function serverTlsParameters(tls: ServerTLSSettings, mesh: MeshSettings): TlsParameters | undefined {
  const defaults = mesh.tlsDefaults;
  const parameters: TlsParameters = {
    tlsMinimumProtocolVersion: protocolVersion(tls.minProtocolVersion) ?? protocolVersion(defaults?.minProtocolVersion),
    tlsMaximumProtocolVersion: protocolVersion(tls.maxProtocolVersion),
    cipherSuites: usableCiphers(tls.cipherSuites) ?? usableCiphers(defaults?.cipherSuites),
    ecdhCurves: orUndefined(tls.ecdhCurves) ?? orUndefined(defaults?.ecdhCurves),
  };
  return Object.values(parameters).some((value) => value !== undefined) ? parameters : undefined;
}

const VERSIONS: Readonly<Record<string, TlsProtocol>> = {
  TLSV1_0: 'TLSv1_0',
  TLSV1_1: 'TLSv1_1',
  TLSV1_2: 'TLSv1_2',
  TLSV1_3: 'TLSv1_3',
};

function protocolVersion(version: string | undefined): TlsProtocol | undefined {
  return version === undefined ? undefined : VERSIONS[version];
}

function orUndefined<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function tlsSocket(context: DownstreamTlsContext): TransportSocket {
  return extension(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    context,
  );
}

/** Of every server that takes the certificates of the mesh and says nothing of its clients. */
const ISTIO_MUTUAL: TransportSocket = lasting(
  tlsSocket({
    commonTlsContext: { alpnProtocols: ALPN_HTTP, ...secrets(WORKLOAD_SECRET, ROOT_SECRET, {}) },
    requireClientCertificate: true,
  }),
);
