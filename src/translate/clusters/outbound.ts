// One outbound cluster: a port of a service, or a subset of it, as one class of clients sees it.

import { anyOf, encode, lasting, slot, type Template, template } from '../../codec/index.ts';
import type { Subset, TrafficPolicy } from '../../config/generated/types.ts';
import type { Draft } from '../../ir/draft.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import type { Cluster, ClusterLoadAssignment, Messages } from '../../messages/index.ts';
import { lazyDraftOf } from '../draft.ts';
import { localityConfig } from '../endpoints/locality-setting.ts';
import { ALPN_CLUSTER_METADATA } from '../http/alpn.ts';
import { serviceOrigins } from '../listeners/origins.ts';
import type { ClusterContext } from './context.ts';
import { discovery, dynamicDns } from './discovery.ts';
import { outboundClusterName, sniClusterName } from './names.ts';
import { ruleOrigins } from './origins.ts';
import { withMeshDefaults } from './policy.ts';
import { protocolOptions, upstreamProtocol } from './protocol.ts';
import { circuitBreakers, connectTimeout, loadBalancer, outlierDetection, tcpKeepalive } from './settings.ts';
import { statName } from './stat-name.ts';
import { type UpstreamTls, upstreamTls } from './tls.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';

/** Everything that one cluster is made from, besides its service: what is not here can't be read. */
export interface ClusterInputs {
  readonly port: ServicePort;
  readonly subset: Subset | undefined;
  readonly rule: DestinationRule | undefined;
  readonly policy: TrafficPolicy;
  readonly mtls: 'STRICT' | 'PERMISSIVE' | 'DISABLE' | undefined;
  readonly identities: readonly string[];
  /** Endpoints of DNS clusters, which carry them inside. */
  readonly assignment: ClusterLoadAssignment | undefined;
  /** The cluster of an AUTO_PASSTHROUGH gateway: named by SNI, passes bytes through. */
  readonly sniDnat: boolean;
}

/** The draft of an outbound cluster, rendered once for equal inputs whichever class asks. */
export const outboundCluster = memo(
  (
    service: Service,
    port: ServicePort,
    subset: Subset | undefined,
    rule: DestinationRule | undefined,
    policy: TrafficPolicy,
    mtls: ClusterInputs['mtls'],
    identities: readonly string[],
    assignment: ClusterLoadAssignment | undefined,
    sniDnat: boolean,
    context: ClusterContext,
  ): Draft => {
    const names = namesOf(String(port.number), subset?.name ?? '', service.hostname, sniDnat);
    if (rule === undefined && !sniDnat && isPlain(service, identities, context)) {
      const { registry, meshExternal, trafficDistribution: distribution } = service;
      const [account] = identities;
      const made = plainCluster(
        context,
        port.protocol,
        registry,
        meshExternal,
        distribution,
        mtls,
        account !== undefined,
      );
      const { hostname, name, namespace } = service;
      const accountPath = (account ?? NOBODY).slice(SPIFFE.length);
      const bytes = made.fill(String(port.number), hostname, name, namespace, accountPath);
      return lazyDraftOf(CLUSTER, names.name, bytes, () => serviceOrigins(service));
    }
    const given = withMeshDefaults(policy, context.mesh);
    const inputs = { port, subset, rule, policy: given, mtls, identities, assignment, sniDnat };
    const cluster = render(service, names, inputs, context);
    return lazyDraftOf(CLUSTER, names.name, encode(CLUSTER, cluster), () => [
      ...serviceOrigins(service),
      ...ruleOrigins(rule, port.number, subset?.name),
    ]);
  },
);

/** Begins the identities of a mesh. */
const SPIFFE = 'spiffe://';
const NOBODY = `${SPIFFE}nobody`;

/**
 * A service of which nothing but texts tells its clusters from those of others: without a rule, with endpoints by EDS that run
 * as one account or none.
 */
function isPlain(service: Service, identities: readonly string[], { mesh }: ClusterContext): boolean {
  const { resolution, persistentSession, subjectAltNames, name, namespace } = service;
  const [account] = identities;
  return (
    resolution === 'ClientSideLB' &&
    persistentSession === undefined &&
    subjectAltNames.length === 0 &&
    name !== '' &&
    namespace !== '' &&
    (mesh.outboundClusterStatName ?? '') === '' &&
    (account === undefined || (identities.length === 1 && account.length > SPIFFE.length && account.startsWith(SPIFFE)))
  );
}

/** The clusters of plain services with all of this in common, with slots for port, hostname, name, namespace and account. */
const plainCluster = memo(
  (
    context: ClusterContext,
    protocol: ServicePort['protocol'],
    registry: Service['registry'],
    meshExternal: boolean,
    trafficDistribution: Service['trafficDistribution'],
    mtls: ClusterInputs['mtls'],
    identified: boolean,
  ): Template => {
    const service: ClusterService = {
      hostname: slot(1),
      name: slot(2),
      namespace: slot(3),
      registry,
      meshExternal,
      trafficDistribution,
      resolution: 'ClientSideLB',
      subjectAltNames: [],
    };
    const inputs: ClusterInputs = {
      port: { protocol, name: '', number: 0 },
      subset: undefined,
      rule: undefined,
      policy: withMeshDefaults({}, context.mesh),
      mtls,
      identities: identified ? [SPIFFE + slot(4)] : [],
      assignment: undefined,
      sniDnat: false,
    };
    return template(CLUSTER, render(service, namesOf(slot(0), '', service.hostname, false), inputs, context));
  },
);

/** Everything of a service that shows in its clusters. */
type ClusterService = Pick<
  Service,
  | 'hostname'
  | 'name'
  | 'namespace'
  | 'registry'
  | 'resolution'
  | 'meshExternal'
  | 'trafficDistribution'
  | 'subjectAltNames'
  | 'persistentSession'
>;

interface ClusterNames {
  readonly name: string;
  readonly sni: string;
}

function namesOf(port: string, subset: string, host: string, sniDnat: boolean): ClusterNames {
  const sni = sniClusterName(port, subset, host);
  return { sni, name: sniDnat ? sni : outboundClusterName(port, subset, host) };
}

function render(
  service: ClusterService,
  { name, sni }: ClusterNames,
  inputs: ClusterInputs,
  context: ClusterContext,
): Cluster {
  const { port, subset, rule, policy, sniDnat } = inputs;
  const subsetName = subset?.name ?? '';
  const pool = policy.connectionPool;
  const dynamic = service.resolution === 'DynamicDNS';
  const found = dynamic ? {} : discovery(service, port, name, policy, inputs.assignment, context);
  const originalDst = found.type === 'ORIGINAL_DST';
  const protocol = upstreamProtocol(port.protocol, pool, context.mesh, context.type, context.preserveCase);
  const tls = sniDnat
    ? undefined
    : upstreamTls({
        service,
        rule,
        tls: policy.tls,
        mtls: inputs.mtls,
        identities: inputs.identities,
        sni,
        protocol,
        originalDst,
        context,
      });
  return {
    name,
    altStatName: statName(context.mesh.outboundClusterStatName, name, service, port, subsetName, 0),
    ...connectTimeout(pool, context.mesh),
    ...circuitBreakers(pool, policy),
    ...balancing(policy, originalDst, dynamic),
    ...(dynamic ? dynamicDns(service, context, unverifiedName(tls)) : found),
    ...(dynamic ? {} : { commonLbConfig: commonLb(service, policy, subset === undefined, context) }),
    ...outlierDetection(policy.outlierDetection),
    ...tcpKeepalive(pool, context.mesh),
    ...withProxyProtocol(tls, policy),
    typedExtensionProtocolOptions: protocolOptions({
      protocol,
      declared: port.protocol,
      preserveCase: context.preserveCase,
      pool,
      autoSni: tls?.autoSni,
      autoSanValidation: tls?.autoSanValidation,
      errorCodes: policy.outlierDetection?.outlierDetectionHttpErrorCodes,
    }),
    metadata: metadata(service, rule, subsetName, tls, port.protocol === 'AUTO'),
  };
}

function unverifiedName(tls: UpstreamTls | undefined): boolean {
  return tls?.fields.transportSocket !== undefined && !(tls.autoSni && tls.autoSanValidation);
}

function balancing(policy: TrafficPolicy, originalDst: boolean, dynamic: boolean): Partial<Cluster> {
  if (originalDst || dynamic) return { lbPolicy: 'CLUSTER_PROVIDED' };
  return loadBalancer(policy.loadBalancer);
}

function commonLb(
  service: ClusterService,
  policy: TrafficPolicy,
  whole: boolean,
  context: ClusterContext,
): Cluster['commonLbConfig'] {
  const minimum = policy.outlierDetection?.minHealthPercent ?? 0;
  const locality = localityConfig(service, policy, context.mesh);
  // As in istiod: sessions outlast the draining of an endpoint where a route names the service, not a subset of it.
  const sessions = whole && service.persistentSession !== undefined;
  if (minimum <= 0 && !sessions && Object.keys(locality).length === 0) return NO_PANIC;
  return {
    healthyPanicThreshold: { value: minimum > 0 ? minimum : undefined },
    ...locality,
    overrideHostStatus: sessions ? SESSION_STATUSES : undefined,
  };
}

const NO_PANIC: Cluster['commonLbConfig'] = lasting({ healthyPanicThreshold: {} });

/** A session goes on with its endpoint while that drains; nobody else is sent there. */
const SESSION_STATUSES: Messages['envoy.config.core.v3.HealthStatusSet'] = {
  statuses: ['HEALTHY', 'DRAINING', 'UNKNOWN', 'DEGRADED'],
};

/** DestinationRule `proxyProtocol`: the header goes in front of whatever socket there is. */
function withProxyProtocol(tls: UpstreamTls | undefined, policy: TrafficPolicy): Partial<Cluster> {
  const fields = tls?.fields ?? {};
  const version = policy.proxyProtocol?.version;
  if (policy.proxyProtocol === undefined) return fields;
  const wrap = (socket: Cluster['transportSocket']): Cluster['transportSocket'] => ({
    name: 'envoy.transport_sockets.upstream_proxy_protocol',
    typedConfig: anyOf('envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport', {
      config: { version: version === 'V2' ? 'V2' : 'V1' },
      transportSocket: socket ?? RAW,
    }),
  });
  const { transportSocketMatches: matches } = fields;
  if (matches === undefined) return { transportSocket: wrap(fields.transportSocket) };
  return {
    transportSocketMatches: matches.map((match) =>
      'bytes' in match ? match : { ...match, transportSocket: wrap(match.transportSocket) },
    ),
  };
}

const RAW: NonNullable<Cluster['transportSocket']> = {
  name: 'raw_buffer',
  typedConfig: anyOf('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer', {}),
};

function metadata(
  service: ClusterService,
  rule: DestinationRule | undefined,
  subset: string,
  tls: UpstreamTls | undefined,
  sniffed: boolean,
): Cluster['metadata'] {
  const originated = tls?.originated === true;
  const meshTls = tls !== undefined && !originated && Object.keys(tls.fields).length > 0;
  const object = rule?.objects[0];
  const config =
    object === undefined
      ? undefined
      : `/apis/networking.istio.io/v1/namespaces/${object.namespace}/destination-rule/${object.name}`;
  return {
    filterMetadata: {
      istio: {
        services: [{ host: service.hostname, name: service.name, namespace: service.namespace }],
        ...(config === undefined ? {} : { config }),
        ...(subset === '' ? {} : { subset }),
        ...(service.meshExternal ? { external: true } : {}),
        ...(originated ? { alpn_override: 'false' } : {}),
      },
      // The receiver tells HTTP from other bytes by what is offered.
      ...(meshTls && sniffed ? ALPN_CLUSTER_METADATA : {}),
    },
  };
}
