// Inbound clusters: from the sidecar to its own workload, one for each port that it serves.

import { isDualStack } from '../../config/features.ts';
import type { ConnectionPoolSettings } from '../../config/generated/types.ts';
import { type Draft, originOf } from '../../ir/draft.ts';
import type { IngressListener } from '../../ir/policy.ts';
import type { ServiceTarget, Workload } from '../../ir/proxy.ts';
import type { Protocol, Service, ServicePort } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { keepList } from '../../lib/table.ts';
import type { Cluster } from '../../messages/index.ts';
import { loopback } from '../addresses.ts';
import { draftOf, originOfRef } from '../draft.ts';
import { socketAddress } from '../envoy.ts';
import { type ClusterContext, scopeContext } from './context.ts';
import { inboundSource } from './inbound-source.ts';
import { inboundClusterName } from './names.ts';
import { effectivePolicy, withMeshDefaults } from './policy.ts';
import { protocolOptions, upstreamProtocol } from './protocol.ts';
import { circuitBreakers, connectTimeout, tcpKeepalive } from './settings.ts';
import { statName } from './stat-name.ts';
import { staticClusters } from './static.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';

/** "Never": connections to the workload are closed by it, not by a sweep. */
const CLEANUP_INTERVAL = '9223372035s';

type InboundGround = Pick<Scope, 'proxyClass' | 'mesh' | 'outboundPolicy'>;

/** Static clusters and those of the workload's own ports; `rules` are those of the services of its targets, in order. */
export function inboundClusters(
  ground: InboundGround,
  workload: Workload,
  rules: readonly (DestinationRule | undefined)[],
): readonly Draft[] {
  const context = scopeContext(ground);
  const dynamicDns = ground.outboundPolicy.mode === 'ALLOW_ANY_DYNAMIC_DNS';
  const shared = staticClusters(context, dynamicDns);
  if (context.type === 'router') return shared;
  const own = workload.ingress === undefined ? fromTargets(workload, rules, context) : fromIngress(workload, context);
  return join(shared, own);
}

const join = memo((shared: readonly Draft[], own: readonly Draft[]): readonly Draft[] => [...shared, ...own]);

const lists = memo((_workload: Workload, _count: number): { last: readonly Draft[] | undefined } => ({
  last: undefined,
}));

function keep(workload: Workload, drafts: readonly Draft[]): readonly Draft[] {
  const slot = lists(workload, drafts.length);
  slot.last = keepList(slot.last, drafts);
  return slot.last;
}

function fromTargets(
  workload: Workload,
  rules: readonly (DestinationRule | undefined)[],
  context: ClusterContext,
): readonly Draft[] {
  if (context.type === 'sidecar' && workload.proxyClass.interception === 'NONE') return keep(workload, []);
  const byPort = new Map<number, ServiceTarget[]>();
  for (const target of workload.targets) {
    const group = byPort.get(target.targetPort);
    if (group === undefined) byPort.set(target.targetPort, [target]);
    else group.push(target);
  }
  const drafts = [...byPort.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const services = [...new Set(group.map((target) => target.service))];
    const rule = rules[workload.targets.indexOf(first)];
    const pool = withMeshDefaults(effectivePolicy(rule, first.port.number, undefined), context.mesh).connectionPool;
    const own = workload.sidecar === undefined ? undefined : sidecarPool(workload);
    return [targetCluster(first.service, first.targetPort, first.port, own ?? pool, servicesKey(services), context)];
  });
  return keep(workload, drafts);
}

function sidecarPool(workload: Workload): ConnectionPoolSettings | undefined {
  const spec = workload.sidecar?.spec as { readonly inboundConnectionPool?: ConnectionPoolSettings } | undefined;
  return spec?.inboundConnectionPool;
}

/** The same list object for the same services, so that it can be a memo input. */
function servicesKey(services: readonly Service[]): readonly Service[] {
  const [first, ...rest] = services;
  return first === undefined ? [] : serviceLists(first, ...rest);
}

const serviceLists = memo((first: Service, ...rest: readonly Service[]): readonly Service[] => [first, ...rest]);

const targetCluster = memo(
  (
    service: Service,
    targetPort: number,
    port: ServicePort,
    pool: ConnectionPoolSettings | undefined,
    services: readonly Service[],
    context: ClusterContext,
  ): Draft => {
    const name = inboundClusterName(targetPort);
    const cluster: Cluster = {
      metadata: metadata(services),
      ...common(name, port.protocol, pool, context),
      altStatName: statName(context.mesh.inboundClusterStatName, name, service, port, '', targetPort),
      ...(context.mesh.inboundTrafficPolicy.mode === 'LOCALHOST'
        ? staticAt(name, loopback(context.family), targetPort)
        : { ...originalDst(), ...inboundSource(context.family, isDualStack(context.mesh)) }),
    };
    return draftOf(
      CLUSTER,
      name,
      cluster,
      services.flatMap((service) => service.refs.map((ref) => originOfRef(ref))),
    );
  },
);

function fromIngress(workload: Workload, context: ClusterContext): readonly Draft[] {
  const pool = sidecarPool(workload);
  const drafts = (workload.ingress ?? []).map((listener) => ingressCluster(listener, workload, pool, context));
  return keep(workload, drafts);
}

const ingressCluster = memo(
  (
    listener: IngressListener,
    workload: Workload,
    shared: ConnectionPoolSettings | undefined,
    context: ClusterContext,
  ): Draft => {
    const { spec } = listener;
    const port = spec.port?.number ?? 0;
    const name = inboundClusterName(port);
    const services = workload.targets.filter((target) => target.targetPort === port).map((target) => target.service);
    const protocol = ingressProtocol(spec.port?.protocol);
    const cluster: Cluster = {
      ...common(name, protocol, spec.connectionPool ?? shared, context),
      altStatName: statName(
        context.mesh.inboundClusterStatName,
        name,
        services[0] ?? asService(workload),
        { number: port, name: spec.port?.name ?? '' },
        '',
        port,
      ),
      ...ingressDestination(name, spec.defaultEndpoint ?? '', workload, context),
      metadata: services.length === 0 ? undefined : metadata([...new Set(services)]),
    };
    const origins =
      workload.sidecar === undefined ? [] : [originOf(workload.sidecar, `spec.ingress[${listener.index}]`)];
    return draftOf(CLUSTER, name, cluster, origins);
  },
);

/** An ingress listener that no service leads to is named after its Sidecar. */
function asService({ sidecar }: Workload): Pick<Service, 'registry' | 'hostname' | 'name' | 'namespace'> {
  const { name = '', namespace = '' } = sidecar ?? {};
  return { registry: 'External', hostname: `${name}.${namespace}`, name, namespace };
}

/** Ports of a Sidecar name their protocol as ports of a ServiceEntry do. */
function ingressProtocol(text = ''): Protocol {
  const known: Readonly<Record<string, Protocol>> = {
    HTTP: 'HTTP',
    HTTP2: 'HTTP2',
    GRPC: 'GRPC',
    'GRPC-WEB': 'GRPC-Web',
    HTTP_PROXY: 'HTTP_PROXY',
    HTTPS: 'HTTPS',
    TLS: 'TLS',
    TCP: 'TCP',
    MONGO: 'Mongo',
    REDIS: 'Redis',
    MYSQL: 'MySQL',
    UDP: 'UDP',
  };
  return known[text.toUpperCase()] ?? 'AUTO';
}

function ingressDestination(
  name: string,
  endpoint: string,
  workload: Workload,
  context: ClusterContext,
): Partial<Cluster> {
  const source = inboundSource(context.family, isDualStack(context.mesh));
  if (endpoint === '') return { ...originalDst(), ...source };
  if (endpoint.startsWith('unix://')) return { ...staticAt(name, endpoint, 0), ...source };
  const colon = endpoint.lastIndexOf(':');
  const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(endpoint.slice(colon + 1));
  const address = ingressAddress(host, workload.addresses, context);
  // What goes to the loopback is never captured, so nothing has to tell it from the traffic of others.
  const local = address === '127.0.0.1' || address === '::1';
  return { ...staticAt(name, address, port), ...(local ? {} : source) };
}

/** `0.0.0.0` and `::` stand for the workload's own address; a loopback address for the one that the workload has. */
function ingressAddress(host: string, own: readonly string[], { family }: ClusterContext): string {
  switch (host) {
    case '0.0.0.0':
      return own.find((address) => !address.includes(':')) ?? '127.0.0.1';
    case '::':
      return own.find((address) => address.includes(':')) ?? '::1';
    case '127.0.0.1':
      return family === 'v6' ? '::1' : host;
    case '::1':
      return family === 'v4' ? '127.0.0.1' : host;
    default:
      return host;
  }
}

function staticAt(name: string, address: string, port: number): Partial<Cluster> {
  return {
    type: 'STATIC',
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: socketAddress(address, port) } }] }],
    },
  };
}

function originalDst(): Partial<Cluster> {
  return { type: 'ORIGINAL_DST', lbPolicy: 'CLUSTER_PROVIDED', cleanupInterval: CLEANUP_INTERVAL };
}

function common(
  name: string,
  protocol: Protocol,
  pool: ConnectionPoolSettings | undefined,
  context: ClusterContext,
): Cluster {
  // The workload is reached by what its port declares: mesh-wide upgrades are for the way between proxies.
  const upstream = upstreamProtocol(protocol, notUpgraded(pool), context.mesh, 'sidecar', context.preserveCase);
  return {
    name,
    altStatName: `${name};`,
    ...connectTimeout(pool, context.mesh),
    ...circuitBreakers(pool),
    ...tcpKeepalive(pool, context.mesh),
    commonLbConfig: {},
    typedExtensionProtocolOptions: protocolOptions({
      protocol: upstream,
      declared: protocol,
      preserveCase: context.preserveCase,
      pool,
    }),
  };
}

function notUpgraded(pool: ConnectionPoolSettings | undefined): ConnectionPoolSettings {
  return { ...pool, http: { ...pool?.http, h2UpgradePolicy: 'DO_NOT_UPGRADE' } };
}

function metadata(services: readonly Service[]): Cluster['metadata'] {
  const list = services.map(({ hostname: host, name, namespace }) => ({ host, name, namespace }));
  return { filterMetadata: { istio: { services: list } } };
}
