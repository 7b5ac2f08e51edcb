// Outbound per-port listeners of a sidecar, from plans to drafts.
// A draft is kept as long as everything that it was made from is the same object; HTTP listeners depend on their services
// alone (routes come by RDS), TCP and TLS chains on VirtualServices and DestinationRules too.

import type { Draft, Origin } from '../../ir/draft.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { ScopedService } from '../../ir/traffic.ts';
import { protoDuration } from '../../lib/duration.ts';
import { sameList, tableGet } from '../../lib/table.ts';
import { anyDnsCache } from '../clusters/discovery.ts';
import type { ChainContext } from '../context.ts';
import { draftOf } from '../draft.ts';
import { cidrRange } from '../envoy.ts';
import { type DnsCache, httpConnectionManager } from '../http/index.ts';
import { networkExtensions, networkFilters } from '../network/index.ts';
import { serviceDnsCache, sniForwardProxy } from './dynamic-dns.ts';
import { l4Destinations, l4Index } from './l4-routes.ts';
import {
  ACCEPTS_PER_EVENT,
  addressFields,
  type FilterChain,
  type FilterChainMatch,
  HANDSHAKE_TIMEOUT,
  inspectorsFor,
  LISTENER,
  type Listener,
  needsHttpInspector,
  plaintextProtocols,
  RAW_TRANSPORT,
} from './listener.ts';
import { contextOrigins, lostOrigins, serviceOrigins, virtualServiceOrigins } from './origins.ts';
import { foldClaims, type Folded, type HttpChain, type TcpChain } from './outbound-chains.ts';
import type { ListenerPlan } from './outbound-plan.ts';
import { catchAllTarget, passthroughChain } from './virtual-outbound.ts';

/**
 * A listener ready to be rendered: its plan and everything that rendering reads, but for what the proxy says about itself.
 * The same object while all of it is the same; so each proxy's rendering of it is kept with it.
 */
export interface PreparedListener {
  readonly inputs: readonly unknown[];
  readonly plan: ListenerPlan;
  readonly scope: Scope;
  /** Connection managers name the workload in their traces: such a listener is the workload's own, others are the class's. */
  readonly named: boolean;
  readonly drafts: WeakMap<ChainContext, Draft>;
}

export function preparedListener(
  plan: ListenerPlan,
  scope: Scope,
  previous: PreparedListener | undefined,
): PreparedListener {
  const inputs = [...catchAllInputs(scope), ...planInputs(plan, scope)];
  if (previous !== undefined && sameList(previous.inputs, inputs)) return previous;
  const named = plan.claims.some(({ claim }) => claim.kind !== 'tcp');
  return { inputs, plan, scope, named, drafts: new WeakMap() };
}

/** The listener as a proxy with this context is given it; rendered once. */
export function listenerDraft(prepared: PreparedListener, context: ChainContext): Draft {
  let draft = prepared.drafts.get(context);
  if (draft === undefined) {
    draft = outboundListener(prepared.plan, context, prepared.scope);
    prepared.drafts.set(context, draft);
  }
  return draft;
}

function lookupIn(scope: Scope): (host: string) => ScopedService | undefined {
  return (host) => tableGet(scope.services, host);
}

/** The policy, and the rule of the proxy that it sends everything to. */
function catchAllInputs({ outboundPolicy, services }: Scope): readonly unknown[] {
  const { egressProxy } = outboundPolicy;
  return egressProxy === undefined ? [outboundPolicy] : [outboundPolicy, tableGet(services, egressProxy.host)?.rule];
}

/** Everything in a plan that a listener shows; services only, where only services count. */
function planInputs(plan: ListenerPlan, scope: Scope): readonly unknown[] {
  const inputs: unknown[] = [plan.name, plan.bindToPort, plan.binds.join()];
  for (const { claim, egress } of plan.claims) {
    const { service } = claim.scoped;
    const nodes = l4Index(egress.virtualServices).forHost(service.hostname);
    inputs.push(claim.kind, claim.port, service);
    if (claim.kind === 'tcp' || claim.kind === 'auto') inputs.push(claim.scoped.rule);
    for (const node of nodes) {
      inputs.push(node);
      for (const host of l4Destinations(node)) {
        const scoped = tableGet(scope.services, host);
        inputs.push(scoped?.service, scoped?.rule);
      }
    }
  }
  for (const { scoped } of plan.refused) inputs.push(scoped.service);
  return inputs;
}

function outboundListener(plan: ListenerPlan, context: ChainContext, scope: Scope): Draft {
  const { proxyClass, mesh } = context;
  const lookup = lookupIn(scope);
  const folded = foldClaims({ plan, proxyClass, lookup });
  const anyHost = resolvesAnyHost(scope);
  const chains = folded.chains.map((chain) =>
    chain.kind === 'http' ? httpChain(chain, plan, context, anyHost) : tcpChain(chain, plan, context),
  );
  const { listed, fallback } = withFallback(chains, () =>
    passthroughChain(context, catchAllTarget(scope.outboundPolicy, lookup)),
  );
  const matches = listed.map((chain) => chain.match);
  const timeout = matches.some(needsHttpInspector) ? protoDuration(mesh.protocolDetectionTimeout) : undefined;
  const inspectors = inspectorsFor(matches);
  const listener: Listener = {
    name: plan.name,
    ...addressFields(plan.binds, plan.port),
    bindToPort: plan.bindToPort ? undefined : false,
    filterChains: listed.map((chain) => chain.message),
    defaultFilterChain: fallback,
    listenerFilters: inspectors.length === 0 ? undefined : inspectors,
    listenerFiltersTimeout: timeout ?? '0s',
    continueOnListenerFiltersTimeout: true,
    trafficDirection: 'OUTBOUND',
    maxConnectionsToAcceptPerSocketEvent: plan.bindToPort ? ACCEPTS_PER_EVENT : undefined,
    connectionBalanceConfig:
      plan.bindToPort && proxyClass.settings.outboundExactBalance ? { exactBalance: {} } : undefined,
  };
  return draftOf(LISTENER, plan.name, listener, listenerOrigins(plan, folded, context));
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

/** Hosts outside of the registry are resolved by the proxy too. */
function resolvesAnyHost({ outboundPolicy }: Scope): boolean {
  return outboundPolicy.mode === 'ALLOW_ANY_DYNAMIC_DNS';
}

function chainOf(match: FilterChainMatch, rest: FilterChain): RenderedChain {
  const message: FilterChain = {
    filterChainMatch: isOpen(match) ? undefined : match,
    ...rest,
    transportSocketConnectTimeout: HANDSHAKE_TIMEOUT,
  };
  return { match, message };
}

function httpChain(chain: HttpChain, plan: ListenerPlan, context: ChainContext, anyHost: boolean): RenderedChain {
  const { claim } = chain.claim;
  const { settings } = context.proxyClass;
  const match: FilterChainMatch = chain.inspected
    ? { applicationProtocols: plaintextProtocols(settings), transportProtocol: RAW_TRANSPORT }
    : {};
  const manager = httpConnectionManager({
    context,
    statPrefix: `outbound_${plan.name}`,
    routes: { kind: 'rds', name: chain.routeName },
    protocol: claim.port.protocol,
    port: plan.port,
    explicitProxy: claim.kind === 'proxy',
    dnsCaches: dnsCaches(plan, context, anyHost),
  });
  return chainOf(match, { filters: [...networkExtensions(context, plan.port), manager] });
}

/** Caches of the services that share the routes, and the one for any other host. */
function dnsCaches(plan: ListenerPlan, { proxyClass }: ChainContext, anyHost: boolean): readonly DnsCache[] {
  const hosts = plan.claims
    .filter(({ claim }) => claim.kind !== 'tcp' && claim.scoped.service.resolution === 'DynamicDNS')
    .map(({ claim }) => claim.scoped.service.hostname);
  const caches = [...new Set(hosts)].map((host) => serviceDnsCache(host, proxyClass.family));
  return anyHost ? [...caches, anyDnsCache(proxyClass.family)] : caches;
}

function tcpChain(chain: TcpChain, plan: ListenerPlan, context: ChainContext): RenderedChain {
  const { outline, claim } = chain;
  const { service } = claim.claim.scoped;
  const ranges = outline.subnets.flatMap((subnet) => cidrRange(subnet) ?? []);
  const match: FilterChainMatch = {
    serverNames: outline.serverNames.length === 0 ? undefined : outline.serverNames,
    prefixRanges: ranges.length === 0 ? undefined : ranges,
  };
  const filters = networkFilters({
    context,
    target: outline.target,
    protocol: claim.claim.port.protocol,
    port: plan.port,
  });
  const dynamic =
    service.resolution === 'DynamicDNS'
      ? [sniForwardProxy(service.hostname, plan.port, context.proxyClass.family)]
      : [];
  return chainOf(match, { filters: [...dynamic, ...filters], metadata: chainMetadata(chain) });
}

/** `istio.config`: by which tools name the VirtualService behind a chain. */
function chainMetadata({ outline }: TcpChain): FilterChain['metadata'] {
  if (outline.from === undefined || !outline.named) return undefined;
  const { namespace, name } = outline.from;
  const config = `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${name}`;
  return { filterMetadata: { istio: { config } } };
}

function listenerOrigins(plan: ListenerPlan, folded: Folded, context: ChainContext): readonly Origin[] {
  const origins: Origin[] = [...contextOrigins(context)];
  const lost = new Map(folded.losers.map(({ service, reason }) => [service, reason]));
  const won = new Set(folded.chains.map(({ claim }) => claim.claim.scoped.service));
  for (const { claim } of plan.claims) {
    const { service } = claim.scoped;
    if (won.has(service) || !lost.has(service)) origins.push(...serviceOrigins(service));
  }
  for (const [service, reason] of lost) if (!won.has(service)) origins.push(...lostOrigins(service, reason));
  for (const chain of folded.chains) {
    if (chain.kind === 'tcp' && chain.outline.from !== undefined)
      origins.push(...virtualServiceOrigins(chain.outline.from));
  }
  return origins;
}
