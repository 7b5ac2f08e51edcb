// Chains of gateway listeners that forward bytes: TCP servers, TLS that ends here, and TLS passed through by SNI.
// In: a server, the VirtualServices bound to its Gateway. Out: chains in order of the VirtualServices.

import type { L4MatchAttributes, RouteDestination } from '../../config/generated/types.ts';
import { originOf } from '../../ir/draft.ts';
import type { Protocol } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { DestinationRule, GatewayServer, VirtualService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { tableGet } from '../../lib/table.ts';
import { outboundClusterName } from '../clusters/names.ts';
import type { ChainContext } from '../context.ts';
import { networkFilters, tcpSettings } from '../network/index.ts';
import { type GatewayChain, gatewayChain } from './chain.ts';
import { sharedHosts } from './hosts.ts';
import { serverOrigin, serverTls } from './http-chains.ts';

/** Of an object made from the Gateway API: the route that it was made from, as `KIND/NAME.NAMESPACE`. */
const PARENT_ANNOTATION = 'internal.istio.io/parents';

/** The chain of a TCP server, or of one that terminates TLS: the first route decides. None without a route. */
export function forwardingChains(scope: Scope, server: GatewayServer, context: ChainContext): readonly GatewayChain[] {
  for (const node of boundTo(scope, server)) {
    const found = firstRoute(node, server);
    if (found === undefined) continue;
    const targets = targetsOf(scope, server, found.routes);
    return targets.length === 0 ? [] : [forwardingChain(server, context, node, found.field, ...targets)];
  }
  return [];
}

/** A chain for each SNI match of a PASSTHROUGH server. */
export function passthroughChains(scope: Scope, server: GatewayServer, context: ChainContext): readonly GatewayChain[] {
  const chains: GatewayChain[] = [];
  for (const node of boundTo(scope, server)) {
    for (const [index, route] of node.tls.entries()) {
      const targets = targetsOf(scope, server, route.route ?? []);
      if (targets.length === 0) continue;
      for (const [position, match] of (route.match ?? []).entries()) {
        if (appliesTo(match, server)) chains.push(sniChain(server, context, node, index, position, ...targets));
      }
    }
  }
  return chains;
}

function boundTo(scope: Scope, server: GatewayServer): readonly VirtualService[] {
  const nodes = scope.gateway?.virtualServices.get(server.gatewayName) ?? [];
  return nodes.filter((node) => sharedHosts(server, node).length > 0);
}

function firstRoute(
  node: VirtualService,
  server: GatewayServer,
): { readonly routes: readonly RouteDestination[]; readonly field: string } | undefined {
  for (const [index, { match = [], route = [] }] of node.tcp.entries()) {
    const applies = match.length === 0 || match.some((each) => appliesTo(each, server));
    if (applies && route.length > 0) return { routes: route, field: `spec.tcp[${index}]` };
  }
  // A TLSRoute bound to a listener that terminates TLS forwards what is inside.
  if (server.server.tls === undefined || node.object.annotations[PARENT_ANNOTATION]?.startsWith('TLSRoute/') !== true) {
    return undefined;
  }
  for (const [index, { match = [], route = [] }] of node.tls.entries()) {
    if (match.some((each) => appliesTo(each, server))) return { routes: route, field: `spec.tls[${index}]` };
  }
  return undefined;
}

/** Of a match only port and gateway count: the sender's conditions mean sidecars. */
function appliesTo({ port, gateways }: Pick<L4MatchAttributes, 'port' | 'gateways'>, server: GatewayServer): boolean {
  if (port !== undefined && port !== 0 && port !== server.port) return false;
  return gateways === undefined || gateways.length === 0 || gateways.includes(server.gatewayName);
}

/** Where a route leads: for each destination five memo inputs, so that equal targets give the chain of before. */
type Target = readonly [
  cluster: string,
  weight: number,
  port: number,
  subset: string,
  rule: DestinationRule | undefined,
];
type TargetField = Target[number];

function targetsOf(scope: Scope, server: GatewayServer, routes: readonly RouteDestination[]): readonly TargetField[] {
  const used = routes.length > 1 ? routes.filter(({ weight = 0 }) => weight > 0) : routes;
  // Weights that are all unset give nothing to choose by: the first destination takes everything.
  const counted = used.length === 0 ? routes.slice(0, 1) : used;
  return counted.flatMap(({ destination, weight = 0 }): Target => {
    const host = destination?.host ?? '';
    const scoped = tableGet(scope.services, host);
    const ports = scoped?.service.ports ?? [];
    const port = destination?.port?.number ?? (ports.length === 1 ? ports[0]?.number : undefined) ?? server.port;
    const subset = destination?.subset ?? '';
    const name = outboundClusterName(port, subset, scoped?.service.externalName ?? host);
    return [name, routes.length > 1 ? weight : 1, port, subset, scoped?.rule];
  });
}

function readTargets(fields: readonly TargetField[]): readonly Target[] {
  return Array.from(
    { length: fields.length / 5 },
    (_, index) => fields.slice(index * 5, index * 5 + 5) as unknown as Target,
  );
}

const forwardingChain = memo(
  (
    server: GatewayServer,
    context: ChainContext,
    node: VirtualService,
    field: string,
    ...targets: readonly TargetField[]
  ) =>
    gatewayChain({
      serverNames: server.server.tls === undefined ? undefined : server.hosts.map(({ host }) => host),
      filters: filtersTo(server, context, node, targets),
      transportSocket: serverTls(server, context),
      origins: [serverOrigin(server), originOf(node.object, field)],
    }),
);

const sniChain = memo(
  (
    server: GatewayServer,
    context: ChainContext,
    node: VirtualService,
    route: number,
    match: number,
    ...targets: readonly TargetField[]
  ) =>
    gatewayChain({
      serverNames: node.tls[route]?.match?.[match]?.sniHosts,
      filters: filtersTo(server, context, node, targets),
      origins: [serverOrigin(server), originOf(node.object, `spec.tls[${route}].match[${match}]`)],
    }),
);

function filtersTo(
  server: GatewayServer,
  context: ChainContext,
  node: VirtualService,
  fields: readonly TargetField[],
): ReturnType<typeof networkFilters> {
  const targets = readTargets(fields);
  const single = targets.length === 1;
  const [first] = targets;
  return networkFilters({
    context,
    target: {
      clusters: targets.map(([name, weight]) => ({ name, weight })),
      statPrefix: single ? undefined : `${node.name}.${node.namespace}`,
      settings: first === undefined ? undefined : tcpSettings(first[4], single ? first[3] : ''),
    },
    protocol: protocolOf(server.protocol),
    port: server.port,
  });
}

function protocolOf(protocol: string): Protocol {
  return protocol.toUpperCase() === 'MONGO' ? 'Mongo' : 'TCP';
}
