// Network filters of a chain that ends in a TCP proxy, and those that stand before a connection manager.
// In: a L4Context, the clusters to connect to and what their DestinationRule says of connections. Out: filters in order.
// Called by listeners and gateway.

import type { TunnelSettings } from '../../config/generated/types.ts';
import type { Protocol } from '../../ir/service.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { Messages } from '../../messages/index.ts';
import { subsetOf } from '../clusters/policy.ts';
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
 * Undefined without a rule. Connections of clients go by the rule's own policy, whatever it says of single ports; a subset
 * has its own hash and its own tunnel.
 */
export function tcpSettings(rule: DestinationRule | undefined, subset: string): TcpSettings | undefined {
  if (rule === undefined) return undefined;
  const policy = rule.trafficPolicy;
  const chosen = subsetOf(rule, subset)?.trafficPolicy;
  const { loadBalancer } = chosen?.loadBalancer === undefined ? { ...policy } : chosen;
  return {
    idleTimeout: protoDuration(policy?.connectionPool?.tcp?.idleTimeout),
    maxConnectionDuration: protoDuration(policy?.connectionPool?.tcp?.maxConnectionDuration),
    hashSourceIp: loadBalancer?.consistentHash?.useSourceIp === true,
    tunnel: subset === '' ? policy?.tunnel : chosen?.tunnel,
  };
}

function statPrefixOf({ statPrefix, clusters }: TcpTarget): string {
  return statPrefix ?? clusters[0]?.name ?? '';
}

function clusterSpecifier({ clusters, statPrefix }: TcpTarget): Pick<TcpProxy, 'cluster' | 'weightedClusters'> {
  const [first] = clusters;
  // Several that were written are several, whatever is left of them.
  return clusters.length === 1 && statPrefix === undefined
    ? { cluster: first?.name }
    : { weightedClusters: { clusters } };
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
