// Outbound listeners as Envoy reads them. In: a plan and its chains. Out: the message. Called by outbound.ts.

import { lasting } from '../../codec/index.ts';
import type { Protocol } from '../../ir/service.ts';
import { protoDuration } from '../../lib/duration.ts';
import { memo } from '../../lib/memo.ts';
import { anyDnsCache } from '../clusters/discovery.ts';
import type { ChainContext, L4Context } from '../context.ts';
import { cidrRange } from '../envoy.ts';
import { type DnsCache, type HcmInputs, httpConnectionManager } from '../http/index.ts';
import { networkExtensions, networkFilters, type TcpTarget } from '../network/index.ts';
import { serviceDnsCache, sniForwardProxy } from './dynamic-dns.ts';
import type { L4Chain } from './l4-routes.ts';
import {
  ACCEPTS_PER_EVENT,
  addressFields,
  type FilterChain,
  type FilterChainMatch,
  HANDSHAKE_TIMEOUT,
  inspectorsFor,
  type Listener,
  needsHttpInspector,
  PLAINTEXT_PROTOCOLS,
  RAW_TRANSPORT,
} from './listener.ts';
import type { HttpChain, OutboundChain, TcpChain } from './outbound-chains.ts';
import type { ListenerPlan } from './outbound-plan.ts';
import { passthroughChain } from './virtual-outbound.ts';

/** What is nobody's, and whether hosts outside of the registry are resolved. */
export interface Unknowns {
  /** Where goes what is nobody's. */
  readonly catchAll: TcpTarget;
  /** Hosts outside of the registry are resolved by the proxy too. */
  readonly anyHost: boolean;
}

/** A listener with everything that a proxy says about itself. */
export function outboundListener(
  plan: ListenerPlan,
  chains: readonly OutboundChain[],
  unknowns: Unknowns,
  context: ChainContext,
): Listener {
  const { mesh } = context;
  const rendered = chains.map((chain) =>
    chain.kind === 'http' ? httpChain(chain, plan, unknowns.anyHost, context) : sniChain(chain, plan.port, context),
  );
  const listener = assembled(plan, rendered, () => passthroughChain(context, unknowns.catchAll));
  const inspected = rendered.some(({ match }) => needsHttpInspector(match));
  return {
    connectionBalanceConfig: context.exactBalance ? { exactBalance: {} } : undefined,
    ...listener,
    listenerFiltersTimeout: (inspected ? protoDuration(mesh.protocolDetectionTimeout) : undefined) ?? NO_TIMEOUT,
  };
}

/** A listener without HTTP: the same for every class with this context. */
export function tcpListener(
  plan: ListenerPlan,
  chains: readonly OutboundChain[],
  catchAll: TcpTarget,
  l4: L4Context,
): Listener {
  const rendered = chains.flatMap((chain) => (chain.kind === 'tcp' ? [tcpChain(chain, plan.port, l4)] : []));
  const listener = assembled(plan, rendered, () => passthroughChain(l4, catchAll));
  return l4.exactBalance ? { connectionBalanceConfig: { exactBalance: {} }, ...listener } : listener;
}

/** Without an inspector nothing is waited for; zero is for ever. */
const NO_TIMEOUT = '0s';

function assembled(plan: ListenerPlan, chains: readonly RenderedChain[], catchAll: () => FilterChain): Listener {
  const { listed, fallback } = withFallback(chains, catchAll);
  const inspectors = inspectorsFor(listed.map((chain) => chain.match));
  return {
    name: plan.name,
    ...addressFields(plan.binds, plan.port),
    bindToPort: plan.bindToPort ? undefined : false,
    filterChains: listed.map((chain) => chain.message),
    defaultFilterChain: fallback,
    listenerFilters: inspectors.length === 0 ? undefined : inspectors,
    listenerFiltersTimeout: NO_TIMEOUT,
    continueOnListenerFiltersTimeout: true,
    trafficDirection: 'OUTBOUND',
    maxConnectionsToAcceptPerSocketEvent: plan.bindToPort ? ACCEPTS_PER_EVENT : undefined,
  };
}

interface RenderedChain {
  readonly match: FilterChainMatch;
  readonly message: FilterChain;
}

interface Arranged {
  readonly listed: readonly RenderedChain[];
  readonly fallback: FilterChain | undefined;
}

/** A chain for every connection has to be the default one, unless it is the only one; without any, the catch-all is. */
function withFallback(chains: readonly RenderedChain[], catchAll: () => FilterChain): Arranged {
  const open = chains.find(({ match }) => isOpen(match));
  if (open === undefined) return { listed: chains, fallback: catchAll() };
  if (chains.length === 1) return { listed: chains, fallback: undefined };
  return { listed: chains.filter((chain) => chain !== open), fallback: open.message };
}

function isOpen(match: FilterChainMatch): boolean {
  return Object.values(match).every((value) => value === undefined);
}

function chainOf(match: FilterChainMatch, rest: FilterChain): RenderedChain {
  const message: FilterChain = {
    filterChainMatch: isOpen(match) ? undefined : match,
    ...rest,
    transportSocketConnectTimeout: HANDSHAKE_TIMEOUT,
  };
  return { match, message };
}

function httpChain(chain: HttpChain, plan: ListenerPlan, anyHost: boolean, context: ChainContext): RenderedChain {
  const { claim } = chain.claim;
  const match: FilterChainMatch = chain.inspected
    ? { applicationProtocols: PLAINTEXT_PROTOCOLS, transportProtocol: RAW_TRANSPORT }
    : {};
  const manager = httpConnectionManager({
    context,
    statPrefix: `outbound_${plan.name}`,
    routes: { kind: 'rds', name: chain.routeName },
    protocol: claim.port.protocol,
    port: plan.port,
    ...dnsCaches(claim.scoped.service.hostname, plan, context, anyHost),
  });
  return chainOf(match, { filters: [...networkExtensions(context, plan.port), manager] });
}

/** Caches of the services that share the routes, and the one for any other host. */
function dnsCaches(
  first: string,
  plan: ListenerPlan,
  { proxyClass, mesh }: ChainContext,
  anyHost: boolean,
): Pick<HcmInputs, 'dnsCaches' | 'moreDnsCaches'> {
  const cache = (host: string): DnsCache => serviceDnsCache(host, proxyClass.family, mesh);
  const hosts = resolvedHosts(plan);
  return {
    dnsCaches: [
      ...(hosts.includes(first) ? [cache(first)] : []),
      ...(anyHost ? [anyDnsCache(proxyClass.family, mesh, proxyClass.settings.dnsProxy)] : []),
    ],
    moreDnsCaches: hosts.filter((host) => host !== first).map(cache),
  };
}

/** Hosts behind the routes of a listener that are resolved when they are asked for. */
export const resolvedHosts = memo((plan: ListenerPlan): readonly string[] => {
  const resolved = plan.claims.filter(
    ({ claim }) => claim.kind !== 'tcp' && claim.scoped.service.resolution === 'DynamicDNS',
  );
  return [...new Set(resolved.map(({ claim }) => claim.scoped.service.hostname))];
});

function sniChain(chain: TcpChain, port: number, context: ChainContext): RenderedChain {
  const rendered = tcpChain(chain, port, context.l4);
  const { proxyClass, mesh } = context;
  const { hostname, resolution } = chain.claim.claim.scoped.service;
  if (resolution !== 'DynamicDNS') return rendered;
  // The host is resolved when it is asked for, before a TCP proxy connects to it.
  const forward = sniForwardProxy(hostname, chain.claim.claim.port.number, proxyClass.family, mesh);
  const filters = [forward, ...(rendered.message.filters ?? [])];
  return { match: rendered.match, message: { ...rendered.message, filters } };
}

function tcpChain({ outline, claim }: TcpChain, port: number, l4: L4Context): RenderedChain {
  return renderedTcp(outline, claim.claim.port.protocol, port, l4);
}

/** A listener of many services is written anew when one more comes: chains of the others are copied. Counted by tests. */
export const renderedTcp = memo(
  (outline: L4Chain, protocol: Protocol, port: number, context: L4Context): RenderedChain => {
    const ranges = outline.subnets.flatMap((subnet) => cidrRange(subnet) ?? []);
    const match: FilterChainMatch = {
      serverNames: outline.serverNames.length === 0 ? undefined : outline.serverNames,
      prefixRanges: ranges.length === 0 ? undefined : ranges,
    };
    const filters = networkFilters({ context, target: outline.target, protocol, port });
    const { message } = chainOf(match, { filters, metadata: chainMetadata(outline) });
    return { match, message: lasting(message) };
  },
);

/** `istio.config`: by which tools name the VirtualService behind a chain. */
function chainMetadata({ from, named }: L4Chain): FilterChain['metadata'] {
  if (from === undefined || !named) return undefined;
  const config = `/apis/networking.istio.io/v1/namespaces/${from.namespace}/virtual-service/${from.name}`;
  return { filterMetadata: { istio: { config } } };
}
