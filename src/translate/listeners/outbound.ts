// Outbound per-port listeners of a sidecar, from plans to drafts.
// A draft is kept as long as everything that it was made from is the same object; HTTP listeners depend on their services
// alone (routes come by RDS), TCP and TLS chains on VirtualServices and DestinationRules too.

import { encode } from '../../codec/index.ts';
import type { Draft, Origin } from '../../ir/draft.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import type { DestinationRule, ScopedService, VirtualService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { sameList } from '../../lib/table.ts';
import { ruleOrigins } from '../clusters/origins.ts';
import type { ChainContext, L4Context } from '../context.ts';
import { lazyDraftOf, sharedOrigins } from '../draft.ts';
import type { TcpTarget } from '../network/index.ts';
import { ANYBODY, type L4Client, type L4Index, l4Destinations, NO_L4 } from './l4-routes.ts';
import { LISTENER, listenerName } from './listener.ts';
import { lostOrigins, serviceOrigins, virtualServiceOrigins } from './origins.ts';
import { type Folded, foldClaims, type OutboundChain, plainlyFolded } from './outbound-chains.ts';
import { outboundListener, resolvedHosts, tcpListener, type Unknowns } from './outbound-message.ts';
import type { ClaimedBy, ListenerPlan } from './outbound-plan.ts';
import type { Claim } from './place.ts';
import { isPlainHttp, plainHttp, plainListener, plainSniffed, plainTcp } from './plain-listener.ts';

/** What listeners of a class are rendered with, beside what the proxy says of itself. */
export interface OutboundFrame extends Unknowns {
  readonly l4: readonly L4Index[];
  readonly lookup: (host: string) => ScopedService | undefined;
}

/**
 * Who gets the same rendering. Connection managers name the workload in their traces, so such a listener is the
 * workload's own; what binds ports or follows routes is the class's; all others are the same for all classes that agree
 * on their L4Context.
 */
export type Reach = 'workload' | 'class' | 'mesh';

/**
 * A listener ready to be rendered: its plan and everything that rendering reads, but for what the proxy says about itself.
 * The same object while all of it is the same; so each proxy's rendering of it is kept with it.
 */
export interface PreparedListener {
  /** What shows in the bytes. */
  readonly inputs: readonly unknown[];
  readonly plan: ListenerPlan;
  readonly frame: OutboundFrame;
  readonly reach: Reach;
  /** undefined for one that is kept with its service */
  readonly renderings: Renderings | undefined;
  /**
   * Of a workload's own listener that several services share, without routes for connections: what shows of them. `plan` has no
   * claims then, so that it stays the same object whoever comes or goes without being seen; `claimOrigins` tells of them.
   */
  readonly shown: readonly OutboundChain[] | undefined;
}

/** By context. */
interface Renderings {
  readonly bytes: WeakMap<L4Context, Uint8Array>;
  readonly drafts: WeakMap<L4Context, Draft>;
}

export function preparedListener(
  plan: ListenerPlan,
  frame: OutboundFrame,
  before: PreparedListener | undefined,
): PreparedListener {
  const inputs = contentInputs(plan, frame);
  const same = before !== undefined && sameList(before.inputs, inputs);
  if (same && (before.plan === plan || before.shown !== undefined)) return before;
  const reach = reachOf(plan, frame);
  const shown = shownOf(plan, frame, reach);
  if (shown !== undefined) {
    const renderings = { bytes: new WeakMap(), drafts: new WeakMap() };
    return { inputs, plan: { ...plan, claims: [], refused: [] }, frame, reach, renderings, shown };
  }
  if (reach === 'mesh' && loneClaim(plan) !== undefined) {
    return { inputs, plan, frame, reach, renderings: undefined, shown };
  }
  // Services that share routes, or get nothing, are not in the bytes: of them only the origins tell.
  const bytes = (same ? before.renderings?.bytes : undefined) ?? new WeakMap();
  return { inputs, plan, frame, reach, renderings: { bytes, drafts: new WeakMap() }, shown };
}

function shownOf(plan: ListenerPlan, { l4 }: OutboundFrame, reach: Reach): PreparedListener['shown'] {
  const many = reach === 'workload' && l4 === NO_L4 && plan.claims.length > 1;
  return many && resolvedHosts(plan).length === 0 ? plainlyFolded(plan).chains : undefined;
}

function reachOf({ claims, bindToPort }: ListenerPlan, { l4 }: OutboundFrame): Reach {
  if (claims.some(({ claim }) => claim.kind !== 'tcp')) return 'workload';
  const dynamic = claims.some(({ claim }) => claim.scoped.service.resolution === 'DynamicDNS');
  return bindToPort || dynamic || l4 !== NO_L4 ? 'class' : 'mesh';
}

/** The listener as a proxy with this context is given it; rendered once. */
export function listenerDraft(prepared: PreparedListener, context: ChainContext): Draft {
  if (prepared.reach === 'mesh') return meshDraft(prepared, context.l4);
  return renderedOnce(prepared, context, () => contextBytes(prepared, context));
}

/** As `listenerDraft`, where all classes share it. */
export function meshDraft(prepared: PreparedListener, l4: L4Context): Draft {
  const { plan, frame } = prepared;
  const alone = loneClaim(plan);
  if (alone === undefined) return renderedOnce(prepared, l4, () => meshBytes(plan, frame.catchAll, l4));
  const { scoped, port } = alone.claim;
  return loneListener(scoped.service, scoped.rule, port, plan.binds.join(), l4, frame.catchAll);
}

function renderedOnce(prepared: PreparedListener, context: L4Context | ChainContext, render: () => Uint8Array): Draft {
  const { plan, renderings } = prepared;
  const known = renderings?.drafts.get(context);
  if (known !== undefined) return known;
  const bytes = renderings?.bytes.get(context) ?? render();
  const draft = lazyDraftOf(LISTENER, plan.name, bytes, () => listenerOrigins(prepared, context));
  renderings?.bytes.set(context, bytes);
  renderings?.drafts.set(context, draft);
  return draft;
}

function meshBytes(plan: ListenerPlan, catchAll: TcpTarget, l4: L4Context): Uint8Array {
  return encode(LISTENER, tcpListener(plan, plainlyFolded(plan).chains, catchAll, l4));
}

function contextBytes({ plan, frame, shown }: PreparedListener, context: ChainContext): Uint8Array {
  const lone = frame.l4 === NO_L4 ? loneClaim(plan) : undefined;
  const plain = lone === undefined ? undefined : plainListener(lone.claim, context);
  if (plain?.kind === 'auto') return plainSniffed(plain, context, frame);
  const chains = shown ?? folded(plan, frame, context.proxyClass).chains;
  const [first] = chains;
  if (first?.kind === 'http' && isPlainHttp(plan, chains, context)) return plainHttp(plan, first, context, frame);
  return encode(LISTENER, outboundListener(plan, chains, frame, context));
}

/** The only claim of a listener: one TCP port of one service on its own address, the most common kind of all. */
function loneClaim({ claims, refused }: ListenerPlan): ClaimedBy | undefined {
  return claims.length === 1 && refused.length === 0 && claims[0]?.claim.cidrs.length === 0 ? claims[0] : undefined;
}

const loneListener = memo(
  (
    service: Service,
    rule: DestinationRule | undefined,
    port: ServicePort,
    bindList: string,
    l4: L4Context,
    catchAll: TcpTarget,
  ): Draft => {
    const binds = bindList.split(',');
    const name = listenerName(binds[0] ?? '', port.number);
    const origins = (): readonly Origin[] => [
      ...l4.origins,
      ...serviceOrigins(service),
      ...ruleOrigins(rule, port.number, undefined),
    ];
    const scoped = { service, rule, mtls: undefined };
    const claim: Claim = { kind: 'tcp', scoped, port, binds, bindToPort: false, cidrs: [] };
    const plain = plainListener(claim, l4);
    if (plain !== undefined) return lazyDraftOf(LISTENER, name, plainTcp(plain, l4, catchAll), origins);
    const plan = { name, binds, port: port.number, bindToPort: false, claims: [{ claim, egress: 0 }], refused: [] };
    return lazyDraftOf(LISTENER, name, meshBytes(plan, catchAll, l4), origins);
  },
);

function folded(plan: ListenerPlan, { lookup, l4 }: OutboundFrame, client: L4Client): Folded {
  return l4 === NO_L4 ? plainlyFolded(plan) : foldClaims({ plan, client, lookup, l4 });
}

function nodesOf({ claim, egress }: ClaimedBy, { l4 }: OutboundFrame): readonly VirtualService[] {
  return l4[egress]?.forHost(claim.scoped.service.hostname) ?? [];
}

/** Everything that a listener shows, by identity. */
function contentInputs(plan: ListenerPlan, frame: OutboundFrame): readonly unknown[] {
  const { catchAll, anyHost, l4 } = frame;
  const inputs: unknown[] = [catchAll, anyHost, plan.name, plan.bindToPort, plan.binds.join()];
  if (l4 === NO_L4 && plan.claims.length > 1) addChains(inputs, plan);
  else addClaims(inputs, plan, frame);
  return inputs;
}

/** Of several services without routes for connections those don't show that have no chain. */
function addChains(inputs: unknown[], plan: ListenerPlan): void {
  inputs.push(resolvedHosts(plan).join());
  for (const chain of plainlyFolded(plan).chains) {
    const { kind, port, scoped, cidrs } = chain.claim.claim;
    inputs.push(chain.kind, kind, port.protocol, port.number);
    if (chain.kind === 'tcp') inputs.push(scoped.service, scoped.rule, cidrs.join());
    else inputs.push(chain.inspected, chain.routeName, scoped.service.resolution === 'DynamicDNS' && scoped.service);
  }
}

/** With such routes, who asks decides over the chains. */
function addClaims(inputs: unknown[], plan: ListenerPlan, frame: OutboundFrame): void {
  let http = false;
  for (const by of plan.claims) {
    const { kind, port, scoped, cidrs } = by.claim;
    const nodes = nodesOf(by, frame);
    const sharesRoutes = kind === 'http' || kind === 'proxy';
    const shown = !sharesRoutes || !http || nodes.length > 0;
    if (shown) inputs.push(kind, port.protocol, port.number);
    if (shown && !sharesRoutes) inputs.push(scoped.service, scoped.rule, cidrs.join());
    if (scoped.service.resolution === 'DynamicDNS') inputs.push(scoped.service.hostname);
    if (kind !== 'tcp') http = true;
    for (const node of nodes) {
      inputs.push(scoped.service, node);
      for (const host of l4Destinations(node)) {
        const destination = frame.lookup(host);
        inputs.push(destination?.service, destination?.rule);
      }
    }
  }
}

function listenerOrigins(
  { plan, frame, shown }: PreparedListener,
  context: L4Context | ChainContext,
): readonly Origin[] {
  const client = frame.l4 !== NO_L4 && 'proxyClass' in context ? context.proxyClass : ANYBODY;
  const shared = shown === undefined ? planOrigins(plan, frame, client) : shown.flatMap(chainOrigins);
  return context.origins.length === 0 ? shared : [...context.origins, ...shared];
}

/** What shows of a service: nothing, where it shares its routes. */
function chainOrigins({ kind, claim: { claim } }: OutboundChain): readonly Origin[] {
  if (kind === 'http') return [];
  const { scoped, port } = claim;
  return [...serviceOrigins(scoped.service), ...ruleOrigins(scoped.rule, port.number, undefined)];
}

/** Who claims a listener of which drafts tell only what shows, those that got nothing among them. */
export function claimOrigins(plan: ListenerPlan, { frame, shown }: PreparedListener): readonly Origin[] {
  return shown === undefined ? [] : planOrigins(plan, frame, ANYBODY);
}

/** Of thousands of services, and the same for all workloads that have the listener. */
const planOrigins = memo((plan: ListenerPlan, frame: OutboundFrame, client: L4Client): readonly Origin[] => {
  const { chains, losers } = folded(plan, frame, client);
  const origins: Origin[] = [];
  const lost = new Map(losers.map(({ service, reason }) => [service, reason]));
  const won = new Set(chains.map(({ claim }) => claim.claim.scoped.service));
  for (const { claim } of plan.claims) {
    const { service } = claim.scoped;
    if (won.has(service) || !lost.has(service)) origins.push(...serviceOrigins(service));
    if (claim.kind === 'tcp') origins.push(...ruleOrigins(claim.scoped.rule, claim.port.number, undefined));
  }
  for (const [service, reason] of lost) if (!won.has(service)) origins.push(...lostOrigins(service, reason));
  for (const chain of chains) {
    if (chain.kind === 'tcp' && chain.outline.from !== undefined) {
      const { from } = chain.outline;
      const rules = new Set(l4Destinations(from).map((host) => frame.lookup(host)?.rule));
      origins.push(...virtualServiceOrigins(from), ...[...rules].flatMap((rule) => ruleOrigins(rule, 0, undefined)));
    }
  }
  return sharedOrigins(origins);
});
