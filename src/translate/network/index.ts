// Network filters of a chain that ends in a TCP proxy, and those that stand before a connection manager.
// In: a L4Context, the clusters to connect to and what their DestinationRule says of connections. Out: filters in order.
// Called by listeners and gateway.

import type { TunnelSettings } from '../../config/generated/types.ts';
import type { Protocol } from '../../ir/service.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { Messages } from '../../messages/index.ts';
import { effectivePolicy, subsetOf } from '../clusters/policy.ts';
import type { L4Context } from '../context.ts';
import { extension } from '../envoy.ts';

type Filter = Messages['envoy.config.listener.v3.Filter'];
type TcpProxy = Messages['envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'];

export interface WeightedCluster {
  readonly name: string;
  readonly weight: number;
}

/** Where a TCP proxy connects to. */
export interface TcpTarget {
  /** One or several; weights count only among several. */
  readonly clusters: readonly WeightedCluster[];
  /** Defaults to the name of the only cluster. */
  readonly statPrefix?: string | undefined;
  readonly settings?: TcpSettings | undefined;
}

/** What a DestinationRule says of client connections. */
export interface TcpSettings {
  readonly idleTimeout?: string | undefined;
  readonly maxConnectionDuration?: string | undefined;
  readonly hashSourceIp: boolean;
  readonly tunnel?: TunnelSettings | undefined;
}

export interface TcpInputs {
  readonly context: L4Context;
  readonly target: TcpTarget;
  readonly protocol: Protocol;
  /** The port that match clauses of extensions compare with. */
  readonly port: number;
}

/** Every filter of a TCP chain, the terminal one last. */
export function networkFilters(inputs: TcpInputs): readonly Filter[] {
  const { context, target, protocol, port } = inputs;
  const { authorization, extensions } = context;
  return [
    ...authorization.tcp.custom,
    ...extensions.network('AUTHN', port),
    ...extensions.network('AUTHZ', port),
    ...authorization.tcp.rules,
    ...extensions.network('STATS', port),
    ...extensions.network('UNSPECIFIED', port),
    ...protocolFilters(protocol, statPrefixOf(target)),
    tcpProxy(context, target),
  ];
}

/** What stands before a connection manager: authorization of HTTP chains is left to its own filters. */
export function networkExtensions(context: L4Context, port: number): readonly Filter[] {
  const { network } = context.extensions;
  return [
    ...network('AUTHN', port),
    ...network('AUTHZ', port),
    ...network('STATS', port),
    ...network('UNSPECIFIED', port),
  ];
}

/** The terminal filter by itself. */
export function tcpProxy(context: L4Context, target: TcpTarget): Filter {
  const { settings = NO_SETTINGS } = target;
  return tcpProxyFilter({
    statPrefix: statPrefixOf(target),
    ...clusterSpecifier(target),
    idleTimeout: settings.idleTimeout ?? context.idleTimeout,
    maxDownstreamConnectionDuration: settings.maxConnectionDuration,
    hashPolicy: settings.hashSourceIp ? [{ sourceIp: {} }] : undefined,
    tunnelingConfig: tunnelingConfig(settings.tunnel),
    accessLog: context.logs.tcp,
  });
}

/** A TCP proxy with nothing but its cluster: for chains that only guard against loops. */
export function bareTcpProxy(cluster: string): Filter {
  return tcpProxyFilter({ statPrefix: cluster, cluster });
}

function tcpProxyFilter(settings: TcpProxy): Filter {
  return extension(
    'envoy.filters.network.tcp_proxy',
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    settings,
  );
}

const NO_SETTINGS: TcpSettings = { hashSourceIp: false };

/**
 * Undefined without a rule. For clusters a port-level pool replaces the one above it as a whole; for client connections
 * what it leaves unset is taken from above.
 */
export function tcpSettings(rule: DestinationRule | undefined, port: number, subset: string): TcpSettings | undefined {
  if (rule === undefined) return undefined;
  const { loadBalancer, tunnel } = effectivePolicy(rule, port, subsetOf(rule, subset));
  const levels = [subsetOf(rule, subset)?.trafficPolicy, rule.trafficPolicy].flatMap((policy) => [
    policy?.portLevelSettings?.find((settings) => settings.port?.number === port)?.connectionPool?.tcp,
    policy?.connectionPool?.tcp,
  ]);
  const first = (field: 'idleTimeout' | 'maxConnectionDuration'): string | undefined =>
    protoDuration(levels.find((level) => level?.[field] !== undefined)?.[field]);
  return {
    idleTimeout: first('idleTimeout'),
    maxConnectionDuration: first('maxConnectionDuration'),
    hashSourceIp: loadBalancer?.consistentHash?.useSourceIp === true,
    tunnel,
  };
}

function statPrefixOf({ statPrefix, clusters }: TcpTarget): string {
  return statPrefix ?? clusters[0]?.name ?? '';
}

function clusterSpecifier({ clusters }: TcpTarget): Pick<TcpProxy, 'cluster' | 'weightedClusters'> {
  const [first] = clusters;
  return clusters.length === 1 ? { cluster: first?.name } : { weightedClusters: { clusters } };
}

function tunnelingConfig(tunnel: TunnelSettings | undefined): TcpProxy['tunnelingConfig'] {
  if (tunnel?.targetHost === undefined) return undefined;
  const host = tunnel.targetHost.includes(':') ? `[${tunnel.targetHost}]` : tunnel.targetHost;
  return {
    hostname: `${host}:${tunnel.targetPort ?? 0}`,
    usePost: tunnel.protocol?.toUpperCase() === 'POST' ? true : undefined,
  };
}

/** Protocols that Envoy can look into. The parsers of MySQL and Redis are not in every build, or change routing. */
function protocolFilters(protocol: Protocol, statPrefix: string): readonly Filter[] {
  if (protocol !== 'Mongo') return [];
  return [
    extension('envoy.filters.network.mongo_proxy', 'envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy', {
      statPrefix,
    }),
  ];
}
