// Transport sockets towards endpoints: mesh mTLS (inferred or asked for), TLS origination, or none.

import { anyOf, lasting } from '../../codec/index.ts';
import { usableCiphers } from '../../config/ciphers.ts';
import type { ClientTLSSettings } from '../../config/generated/types.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { Service } from '../../ir/service.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import type { Cluster, Messages } from '../../messages/index.ts';
import { withoutAgent } from '../security/agentless.ts';
import type { ClusterContext } from './context.ts';
import type { UpstreamProtocol } from './protocol.ts';
import type { MeshSettings } from '../mesh.ts';

const TLS = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
type CommonTlsContext = Messages['envoy.extensions.transport_sockets.tls.v3.CommonTlsContext'];
type OwnTlsContext = Messages[typeof TLS] & { readonly commonTlsContext: CommonTlsContext };
type SdsSecretConfig = Messages['envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig'];
type ValidationContext = Messages['envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext'];
type TransportSocket = Messages['envoy.config.core.v3.TransportSocket'];
type SocketMatch = Messages['envoy.config.cluster.v3.Cluster.TransportSocketMatch'];

const TLS_PARAMS = { tlsMinimumProtocolVersion: 'TLSv1_2', tlsMaximumProtocolVersion: 'TLSv1_3' } as const;

export interface UpstreamTlsInputs {
  readonly service: Pick<Service, 'registry' | 'resolution' | 'subjectAltNames' | 'meshExternal'>;
  readonly rule: DestinationRule | undefined;
  readonly tls: ClientTLSSettings | undefined;
  readonly mtls: 'STRICT' | 'PERMISSIVE' | 'DISABLE' | undefined;
  /** SPIFFE ids that the endpoints may present. */
  readonly identities: readonly string[];
  /** The SNI of mesh traffic: `outbound_.PORT_.SUBSET_.HOST`. */
  readonly sni: string;
  readonly protocol: UpstreamProtocol;
  /** No endpoint metadata to choose by: the socket is used for all of them. */
  readonly originalDst: boolean;
  readonly context: ClusterContext;
}

export interface UpstreamTls {
  readonly fields: Partial<Cluster>;
  readonly autoSni: boolean;
  readonly autoSanValidation: boolean;
  /** TLS of the user's own: the sidecar's ALPN must not be put over it. */
  readonly originated: boolean;
}

const PLAIN: UpstreamTls = { fields: {}, autoSni: false, autoSanValidation: false, originated: false };

const PLAIN_MATCH: SocketMatch = lasting({
  name: 'tlsMode-disabled',
  match: {},
  transportSocket: {
    name: 'envoy.transport_sockets.raw_buffer',
    typedConfig: anyOf('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer', {}),
  },
});

export function upstreamTls(inputs: UpstreamTlsInputs): UpstreamTls {
  const own = certificatesOfNode(inputs);
  if (own !== undefined) return { ...originated(inputs, own), originated: false };
  const { tls } = inputs;
  switch (tls?.mode) {
    case 'ISTIO_MUTUAL':
      return mutual(inputs);
    case 'SIMPLE':
    case 'MUTUAL':
      return originated(inputs, tls);
    case 'DISABLE':
      return PLAIN;
    case undefined:
      // `tls: {}` reads as DISABLE, the API's zero value; only its absence leaves the choice to us.
      return tls === undefined ? automatic(inputs) : PLAIN;
  }
}

/** Files of the proxy's own (TLS_CLIENT_*) take the place of the mesh's certificates, and of a rule's within the mesh. */
function certificatesOfNode(inputs: UpstreamTlsInputs): ClientTLSSettings | undefined {
  const { tls, service, mtls, context, identities } = inputs;
  const { clientCertChain: clientCertificate, clientKey: privateKey, clientRootCert: caCertificates } = context;
  if (clientCertificate === '') return undefined;
  const files = { mode: 'MUTUAL', clientCertificate, privateKey, caCertificates } as const;
  if (tls?.mode === 'MUTUAL' || tls?.mode === 'ISTIO_MUTUAL') {
    const { subjectAltNames, sni, insecureSkipVerify } = tls;
    return service.meshExternal ? undefined : { subjectAltNames, sni, insecureSkipVerify, ...files };
  }
  const automatic = tls === undefined && context.mesh.enableAutoMtls && !service.meshExternal;
  if (!automatic || mtls === undefined || mtls === 'DISABLE') return undefined;
  return { subjectAltNames: identities, sni: inputs.sni, ...files };
}

/** Auto mTLS: endpoints say by metadata whether they take it; where none can say, the inference decided for all. */
function automatic(inputs: UpstreamTlsInputs): UpstreamTls {
  const { service, mtls, context } = inputs;
  if (!context.mesh.enableAutoMtls || service.meshExternal || mtls === undefined || mtls === 'DISABLE') return PLAIN;
  const socket = meshSocket(inputs);
  if (inputs.originalDst) return { ...PLAIN, fields: { transportSocket: socket } };
  return {
    ...PLAIN,
    fields: {
      transportSocketMatches: [
        { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transportSocket: socket },
        PLAIN_MATCH,
      ],
    },
  };
}

/** A host that is resolved on demand is named by the request: no name is known before. */
function mutual(inputs: UpstreamTlsInputs): UpstreamTls {
  if (inputs.service.resolution !== 'DynamicDNS') return { ...PLAIN, fields: { transportSocket: meshSocket(inputs) } };
  const transportSocket = meshSocket({ ...inputs, sni: '' });
  return { ...PLAIN, fields: { transportSocket }, autoSni: (inputs.tls?.sni ?? '') === '', autoSanValidation: true };
}

function meshSocket(inputs: UpstreamTlsInputs): TransportSocket {
  const { tls, context } = inputs;
  const sans =
    tls?.subjectAltNames !== undefined && tls.subjectAltNames.length > 0 ? tls.subjectAltNames : inputs.identities;
  return tlsSocket(context, {
    sni: (tls?.sni ?? '') === '' ? inputs.sni || undefined : tls?.sni,
    commonTlsContext: meshTls(context, inputs.protocol === 'http2', sans.join(SAN_SEPARATOR)),
  });
}

/** In no subject alternative name. */
const SAN_SEPARATOR = '\n';

/** The same for all services that run as the same accounts. */
const meshTls = memo((context: ClusterContext, http2: boolean, sans: string): CommonTlsContext => {
  const names = sans === '' ? [] : sans.split(SAN_SEPARATOR);
  return lasting({
    alpnProtocols: http2 ? ['istio', 'h2'] : ['istio'],
    tlsParams: TLS_PARAMS,
    tlsCertificateSdsSecretConfigs: [workloadSecret('default')],
    combinedValidationContext: {
      defaultValidationContext: sanMatchers(names, context.dialect),
      validationContextSdsSecretConfig: workloadSecret('ROOTCA'),
    },
  });
});

/** TLS to whatever host is asked for; undefined where the mesh asks for none. */
export function anyHostTls(tls: ClientTLSSettings | undefined, context: ClusterContext): UpstreamTls | undefined {
  if (tls?.mode !== 'SIMPLE' && tls?.mode !== 'MUTUAL') return undefined;
  const service = { registry: 'Kubernetes', resolution: 'DynamicDNS', subjectAltNames: [] } as const;
  return originated({ service, rule: undefined, identities: [], protocol: 'http1', context }, tls);
}

type OriginationInputs = Pick<UpstreamTlsInputs, 'rule' | 'identities' | 'protocol' | 'context'> & {
  readonly service: Pick<Service, 'registry' | 'resolution' | 'subjectAltNames'>;
};

function originated(inputs: OriginationInputs, tls: ClientTLSSettings): UpstreamTls {
  const { service, context } = inputs;
  const byCredential = tls.credentialName !== undefined && tls.credentialName !== '';
  // A sidecar has no right to read secrets unless the rule is for its workload alone: without the credential there
  // is nothing to authenticate with, so no TLS at all is sent and the server refuses in the open.
  const readable =
    context.type === 'router' || inputs.rule?.workloadSelector !== undefined || isConfigMap(tls.credentialName);
  if (byCredential && !readable) return PLAIN;
  const given = tls.subjectAltNames ?? [];
  const declared =
    service.registry === 'External' ? [...new Set([...service.subjectAltNames, ...inputs.identities])] : [];
  const sans = given.length > 0 ? given : [...new Set(declared)];
  const sni = tls.sni ?? '';
  const common: CommonTlsContext = {
    tlsParams: originationParams(context.mesh),
    alpnProtocols: inputs.protocol === 'http2' ? ['h2'] : undefined,
    ...clientCertificate(tls, byCredential),
    ...validation(tls, byCredential, sanMatchers(sans, context.dialect)),
  };
  const autoSni = sni === '';
  return {
    fields: { transportSocket: tlsSocket(context, { sni: sni === '' ? undefined : sni, commonTlsContext: common }) },
    autoSni,
    autoSanValidation:
      (service.resolution === 'DynamicDNS' || (autoSni && given.length === 0)) && tls.insecureSkipVerify !== true,
    originated: true,
  };
}

/** The mesh's `tlsDefaults` are for TLS with others. */
function originationParams({ tlsDefaults }: MeshSettings): CommonTlsContext['tlsParams'] {
  const { ecdhCurves = [], cipherSuites } = tlsDefaults ?? {};
  return {
    ...TLS_PARAMS,
    ecdhCurves: ecdhCurves.length > 0 ? ecdhCurves : undefined,
    cipherSuites: usableCiphers(cipherSuites),
  };
}

function clientCertificate(tls: ClientTLSSettings, byCredential: boolean): CommonTlsContext {
  if (tls.mode !== 'MUTUAL') return {};
  if (byCredential) return { tlsCertificateSdsSecretConfigs: [credentialSecret(credentialUri(tls.credentialName))] };
  return {
    tlsCertificateSdsSecretConfigs: [fileSecret(`file-cert:${tls.clientCertificate ?? ''}~${tls.privateKey ?? ''}`)],
  };
}

function validation(
  tls: ClientTLSSettings,
  byCredential: boolean,
  defaultValidationContext: ValidationContext,
): CommonTlsContext {
  // Present and empty: nothing is verified, and that is said.
  if (tls.insecureSkipVerify === true) return { validationContext: {} };
  const secret = byCredential
    ? credentialSecret(credentialCaUri(tls.credentialName))
    : fileSecret(
        tls.caCertificates === undefined || tls.caCertificates === ''
          ? 'file-root:system'
          : `file-root:${tls.caCertificates}`,
      );
  const crl = byCredential || (tls.caCrl ?? '') === '' ? undefined : { filename: tls.caCrl };
  return {
    combinedValidationContext: {
      defaultValidationContext: { ...defaultValidationContext, crl },
      validationContextSdsSecretConfig: secret,
    },
  };
}

function isConfigMap(credential: string | undefined): boolean {
  return credential?.startsWith('configmap://') === true;
}

function credentialUri(credential = ''): string {
  return credential.includes('://') ? credential : `kubernetes://${credential}`;
}

function credentialCaUri(credential = ''): string {
  return isConfigMap(credential) ? credential : `${credentialUri(credential)}-cacert`;
}

/** Accepted names. The untyped matcher looks at every kind of SAN; typed ones say which kinds a name can be. */
function sanMatchers(names: readonly string[], dialect: Dialect): ValidationContext {
  if (names.length === 0) return {};
  if (dialect === 'classic') return { matchSubjectAltNames: names.map((exact) => ({ exact })) };
  const kinds = (name: string): readonly ('URI' | 'DNS' | 'IP_ADDRESS')[] =>
    name.includes('://') ? ['URI'] : ['DNS', 'IP_ADDRESS'];
  return {
    matchTypedSubjectAltNames: names.flatMap((exact) =>
      kinds(exact).map((sanType) => ({ sanType, matcher: { exact } })),
    ),
  };
}

/** Secrets of the workload itself come from the agent's socket, and without them the cluster can't work: no timeout. */
const workloadSecret = memo1((name) => ({ name, sdsConfig: { ...agentSds(), initialFetchTimeout: '0s' } }));
const fileSecret = memo1((name) => ({ name, sdsConfig: agentSds() }));
/** Credentials that are the workload's own. */
const BUILTIN: Readonly<Record<string, SdsSecretConfig>> = {
  'builtin://': workloadSecret('default'),
  'builtin://-cacert': workloadSecret('ROOTCA'),
};
const credentialSecret = memo1((name) => BUILTIN[name] ?? { name, sdsConfig: { ads: {}, resourceApiVersion: 'V3' } });

function agentSds(): Messages['envoy.config.core.v3.ConfigSource'] {
  return {
    apiConfigSource: {
      apiType: 'GRPC',
      transportApiVersion: 'V3',
      setNodeOnFirstMessageOnly: true,
      grpcServices: [{ envoyGrpc: { clusterName: 'sds-grpc' } }],
    },
    resourceApiVersion: 'V3',
  };
}

function memo1(build: (name: string) => SdsSecretConfig): (name: string) => SdsSecretConfig {
  const anchor = {};
  const run = memo((_anchor: object, name: string) => build(name));
  return (name) => run(anchor, name);
}

function tlsSocket({ agentless }: ClusterContext, settings: OwnTlsContext): TransportSocket {
  const context = agentless ? { ...settings, commonTlsContext: withoutAgent(settings.commonTlsContext) } : settings;
  return { name: 'envoy.transport_sockets.tls', typedConfig: anyOf(TLS, context) };
}
