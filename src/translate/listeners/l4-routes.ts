// TCP and TLS routes of VirtualServices for one service port of a sidecar: what each filter chain matches and where it
// leads. In: a service port, the VirtualServices of its egress listener, the proxy's labels. Out: chain outlines.

import type { L4MatchAttributes, RouteDestination, TLSMatchAttributes } from '../../config/generated/types.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import { isTls, type ServicePort } from '../../ir/service.ts';
import { type EgressListener, MESH_GATEWAY, type ScopedService, type VirtualService } from '../../ir/traffic.ts';
import { type HostIndex, hostIndex, hostsOverlap, isWildcard } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { keepList, sameList } from '../../lib/table.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { type TcpTarget, tcpSettings } from '../network/index.ts';

/** One filter chain before it is rendered. */
export interface L4Chain {
  readonly serverNames: readonly string[];
  readonly subnets: readonly string[];
  readonly target: TcpTarget;
  /** The VirtualService that it comes from, where one does, and whether tools are told so by metadata. */
  readonly from?: VirtualService | undefined;
  readonly named: boolean;
}

/** What of a proxy routes ask for. */
export type L4Client = Pick<ProxyClass, 'namespace' | 'labels'>;

/** Who asks where no route tells clients apart. */
export const ANYBODY: L4Client = { namespace: '', labels: {} };

export interface L4Inputs {
  readonly scoped: ScopedService;
  /** Number and protocol of the listener, which a Sidecar may have set. */
  readonly port: ServicePort;
  readonly client: L4Client;
  /** Prefixes that stand for the service's address. */
  readonly cidrs: readonly string[];
  /** The listener tells services apart by nothing but SNI. */
  readonly sniNeeded: boolean;
  readonly virtualServices: readonly VirtualService[];
  readonly lookup: (host: string) => ScopedService | undefined;
}

/** VirtualServices with routes for connections, by host, in order of age. */
export interface L4Index {
  readonly nodes: readonly VirtualService[];
  readonly forHost: (hostname: string) => readonly VirtualService[];
}

const NONE: readonly VirtualService[] = [];

const l4Index = memo((virtualServices: readonly VirtualService[]): L4Index => {
  const routed = virtualServices.filter((node) => node.tcp.length > 0 || node.tls.length > 0);
  const applying = routed.filter((node) => node.gateways.includes(MESH_GATEWAY));
  const positions: HostIndex<number> = hostIndex(
    applying.flatMap((node, position) => node.hosts.map((host) => [host, position] as const)),
  );
  const at = (found: readonly number[]): readonly VirtualService[] =>
    [...new Set(found)].sort((a, b) => a - b).flatMap((position) => applying[position] ?? []);
  return {
    nodes: applying,
    forHost: (hostname) => {
      if (applying.length === 0) return NONE;
      if (!isWildcard(hostname)) return at(positions.all(hostname));
      return applying.filter((node) => node.hosts.some((host) => hostsOverlap(host, hostname)));
    },
  };
});

/** The indexes where nothing routes connections: most meshes, for most of their classes. */
export const NO_L4: readonly L4Index[] = [];

/** The indexes of egress listeners; the previous ones where they hold the same routes. */
export function l4Indexes(
  egress: readonly EgressListener[],
  previous: readonly L4Index[] | undefined,
): readonly L4Index[] {
  const next = egress.map(({ virtualServices }, position) => {
    const before = previous?.[position];
    const index = l4Index(virtualServices);
    return before !== undefined && sameList(before.nodes, index.nodes) ? before : index;
  });
  return next.every(({ nodes }) => nodes.length === 0) ? NO_L4 : keepList(previous, next);
}

/** Services that routes lead to beside the one that is listened for: what they are shapes the chains. */
export function l4Destinations(node: VirtualService): readonly string[] {
  const routes = [...node.tcp, ...node.tls].flatMap((route) => route.route ?? []);
  return routes.flatMap((route) => route.destination?.host ?? []);
}

/** Chains of a TCP or TLS port, at least one. */
export function l4Chains(inputs: L4Inputs): readonly L4Chain[] {
  return isTls(inputs.port.protocol) ? tlsChains(inputs) : tcpChains(inputs);
}

function tlsRouteChains(inputs: L4Inputs): readonly L4Chain[] {
  const seen = new Set<string>();
  const chains: L4Chain[] = [];
  for (const node of inputs.virtualServices) {
    for (const route of node.tls) {
      for (const match of route.match ?? []) {
        if (!appliesTo(match, inputs)) continue;
        const names = (match.sniHosts ?? []).map((host) => host.toLowerCase());
        // `*` is every connection; Envoy takes no such name.
        const serverNames = names.includes('*') ? [] : names;
        const subnets = match.destinationSubnets ?? [];
        // Matches that differ only in what was decided here would be the same to Envoy.
        const key = JSON.stringify([serverNames, subnets]);
        if (seen.has(key)) continue;
        seen.add(key);
        const wanted = subnets.length > 0 ? subnets : inputs.cidrs;
        chains.push({
          serverNames,
          subnets: wanted,
          target: routeTarget(node, route.route, inputs),
          from: node,
          named: true,
        });
      }
    }
  }
  return chains;
}

function tlsChains(inputs: L4Inputs): readonly L4Chain[] {
  const chains = tlsRouteChains(inputs);
  if (chains.length > 0) return chains;
  const { hostname, aliases } = inputs.scoped.service;
  const serverNames = inputs.cidrs.length > 0 || inputs.sniNeeded ? [hostname, ...aliases] : [];
  return [{ serverNames, subnets: inputs.cidrs, target: ownTarget(inputs), named: false }];
}

function tcpChains(inputs: L4Inputs): readonly L4Chain[] {
  const chains: L4Chain[] = [];
  for (const node of inputs.virtualServices) {
    for (const route of node.tcp) {
      const target = (): TcpTarget => routeTarget(node, route.route, inputs);
      const matches = (route.match ?? []).filter((match) => appliesTo(match, inputs));
      const open = matches.some((match) => (match.destinationSubnets ?? []).length === 0);
      if ((route.match ?? []).length === 0 || open) {
        // Nothing gets past a route without a condition.
        return [...chains, { serverNames: [], subnets: inputs.cidrs, target: target(), from: node, named: true }];
      }
      const subnets = matches.flatMap((match) => match.destinationSubnets ?? []);
      if (subnets.length > 0) chains.push({ serverNames: [], subnets, target: target(), from: node, named: false });
    }
  }
  return [...chains, { serverNames: [], subnets: inputs.cidrs, target: ownTarget(inputs), named: false }];
}

function appliesTo(match: L4MatchAttributes | TLSMatchAttributes, { port, client }: L4Inputs): boolean {
  if (match.gateways !== undefined && match.gateways.length > 0 && !match.gateways.includes(MESH_GATEWAY)) return false;
  if (match.port !== undefined && match.port !== 0 && match.port !== port.number) return false;
  if (
    match.sourceNamespace !== undefined &&
    match.sourceNamespace !== '' &&
    match.sourceNamespace !== client.namespace
  ) {
    return false;
  }
  return Object.entries(match.sourceLabels ?? {}).every(([key, value]) => client.labels[key] === value);
}

/** The service itself: its own port where there is only one, else the port of the listener. */
function ownTarget({ scoped, port }: L4Inputs): TcpTarget {
  const number = onlyPort(scoped) ?? port.number;
  const name = outboundClusterName(number, '', scoped.service.hostname);
  return { clusters: [{ name, weight: 1 }], settings: tcpSettings(scoped.rule, '') };
}

function onlyPort({ service }: ScopedService): number | undefined {
  return service.ports.length === 1 ? service.ports[0]?.number : undefined;
}

function routeTarget(
  node: VirtualService,
  routes: readonly RouteDestination[] | undefined,
  inputs: L4Inputs,
): TcpTarget {
  const destinations = (routes ?? []).map(({ destination, weight }) => {
    const host = destination?.host ?? '';
    const scoped = inputs.lookup(host);
    const port =
      destination?.port?.number ?? (scoped === undefined ? undefined : onlyPort(scoped)) ?? inputs.port.number;
    const subset = destination?.subset ?? '';
    return { name: outboundClusterName(port, subset, host), weight: weight ?? 0, scoped, port, subset };
  });
  const [first] = destinations;
  if (first === undefined) return ownTarget(inputs);
  const weighted = destinations.filter(({ weight }) => weight > 0);
  // Weights that are all unset give nothing to choose by: the first destination takes everything.
  const used = weighted.length > 0 ? weighted : destinations.slice(0, 1);
  const single = destinations.length === 1;
  return {
    clusters: used.map(({ name, weight }) => ({ name, weight })),
    statPrefix: single ? undefined : `${node.name}.${node.namespace}`,
    settings: tcpSettings(first.scoped?.rule, single ? first.subset : ''),
  };
}
