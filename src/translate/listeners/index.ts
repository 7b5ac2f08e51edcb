// Listeners of sidecars (LDS): what they make of outbound connections, shared by a class, and of inbound ones, shared by
// the pods of a workload. In: a scope; a workload. Out: drafts. Called by ../index.ts. What did not change is the same draft.

import type { Draft, Origin } from '../../ir/draft.ts';
import type { Workload } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { DestinationRule, OutboundPolicy } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { carriedOver, replacedByName } from '../../lib/positions.ts';
import { successor } from '../../lib/successor.ts';
import {
  type Derived,
  deriveTable,
  emptyTable,
  keepList,
  sameList,
  type Table,
  tableDiff,
  tableGet,
} from '../../lib/table.ts';
import { loopback, loopbacks } from '../addresses.ts';
import { type ChainContext, inboundContext, type L4Context, outboundContext, workloadContext } from '../context.ts';
import { draftOf } from '../draft.ts';
import type { WorkloadGround } from '../ground.ts';
import { httpConnectionManager } from '../http/index.ts';
import { networkExtensions, type TcpTarget } from '../network/index.ts';
import { anyDnsCache } from '../clusters/discovery.ts';
import { HTTP_PROXY_ROUTE } from '../routes/names.ts';
import { inboundDrafts } from './inbound.ts';
import { type L4Index, l4Destinations, l4Indexes, NO_L4 } from './l4-routes.ts';
import { ACCEPTS_PER_EVENT, addressFields, canBind, HANDSHAKE_TIMEOUT, LISTENER, listenerName } from './listener.ts';
import {
  claimOrigins,
  listenerDraft,
  meshDraft,
  type OutboundFrame,
  type PreparedListener,
  preparedListener,
} from './outbound.ts';
import { type ListenerPlan, type OutboundPlans, outboundPlans } from './outbound-plan.ts';
import { catchAllTarget, virtualOutbound } from './virtual-outbound.ts';
import { type MeshSettings, meshSettings } from '../mesh.ts';

/** Outbound listeners of a class, and what the next run starts from. */
export interface OutboundListeners {
  /** Listeners that all proxies of the class share. */
  readonly drafts: readonly Draft[];
  /** Those that are each workload's own: rendered by `workloadListeners`. */
  readonly named: readonly PreparedListener[];
  readonly inputs: readonly unknown[];
  readonly plans: OutboundPlans;
  readonly prepared: Derived<ListenerPlan, PreparedListener>;
  /** All that are prepared, by name. */
  readonly sorted: SortedListeners;
  readonly meshWide: MeshWide | undefined;
  readonly l4: readonly L4Index[];
  /** Services and rules that routes for connections lead to. */
  readonly destinations: readonly unknown[];
}

export function outboundListeners(scope: Scope, previous: OutboundListeners | undefined): OutboundListeners {
  const context = outboundContext(scope);
  const plans = outboundPlans(scope, previous?.plans);
  const inputs = [context, scope.egress, scope.services, scope.outboundPolicy, plans];
  if (previous !== undefined && sameList(previous.inputs, inputs)) return previous;
  const l4 = l4Indexes(scope.egress, previous?.l4);
  const catchAll = catchAllOf(scope);
  const anyHost = resolvesAnyHost(scope);
  const reached = l4.flatMap((index) => destinationsOf(index, scope));
  const destinations = keepList(previous?.destinations, reached);
  const frame: OutboundFrame = { catchAll, anyHost, l4, lookup: (host) => tableGet(scope.services, host) };
  const prepared =
    l4 === NO_L4
      ? sharedPrepared(plans.plans, previous?.prepared, catchAll, anyHost)
      : preparedListeners(plans.plans, previous?.prepared, frame, destinations);
  const sorted = sortedByName(prepared.output, previous?.prepared.output, previous?.sorted);
  const meshWide = sorted.meshWide ? meshWideOf(sorted.shared, context.l4, previous?.meshWide) : undefined;
  const shared = meshWide?.drafts ?? sorted.shared.map((each) => listenerDraft(each, context));
  const captures = anyHost ? [] : captured(context, scope.outboundPolicy, catchAll);
  const drafts = keepList(previous?.drafts, [...shared, ...captures]);
  return { drafts, named: sorted.named, inputs, plans, prepared, sorted, meshWide, l4, destinations };
}

function preparedListeners(
  plans: Table<ListenerPlan>,
  previous: Derived<ListenerPlan, PreparedListener> | undefined,
  frame: OutboundFrame,
  destinations: readonly unknown[],
): Derived<ListenerPlan, PreparedListener> {
  const { catchAll, anyHost, l4 } = frame;
  return deriveTable(previous, plans, [catchAll, anyHost, l4, destinations], (plan, _name, before) =>
    preparedListener(plan, frame, before),
  );
}

const NO_DESTINATIONS: readonly unknown[] = [];

/** Without routes for connections nothing of the class is in it. */
function sharedPrepared(
  plans: Table<ListenerPlan>,
  previous: Derived<ListenerPlan, PreparedListener> | undefined,
  catchAll: TcpTarget,
  anyHost: boolean,
): Derived<ListenerPlan, PreparedListener> {
  return previous === undefined
    ? firstPrepared(plans, catchAll, anyHost)
    : preparedAfter(previous, plans, catchAll, anyHost);
}

const firstPrepared = memo(
  (plans: Table<ListenerPlan>, catchAll: TcpTarget, anyHost: boolean): Derived<ListenerPlan, PreparedListener> =>
    preparedListeners(plans, undefined, withoutRoutes(catchAll, anyHost), NO_DESTINATIONS),
);

const preparedAfter = successor(
  (
    previous: Derived<ListenerPlan, PreparedListener>,
    plans: Table<ListenerPlan>,
    catchAll: TcpTarget,
    anyHost: boolean,
  ): Derived<ListenerPlan, PreparedListener> =>
    preparedListeners(plans, previous, withoutRoutes(catchAll, anyHost), NO_DESTINATIONS),
);

function withoutRoutes(catchAll: TcpTarget, anyHost: boolean): OutboundFrame {
  return { catchAll, anyHost, l4: NO_L4, lookup: () => undefined };
}

/** Listeners that all classes with the same L4Context share. */
interface MeshWide {
  readonly l4: L4Context;
  readonly listeners: readonly PreparedListener[];
  readonly drafts: readonly Draft[];
}

function meshWideOf(listeners: readonly PreparedListener[], l4: L4Context, previous: MeshWide | undefined): MeshWide {
  return previous?.l4 === l4 ? meshWideAfter(previous, listeners) : firstMeshWide(listeners, l4);
}

const firstMeshWide = memo(
  (listeners: readonly PreparedListener[], l4: L4Context): MeshWide => ({
    l4,
    listeners,
    drafts: listeners.map((each) => meshDraft(each, l4)),
  }),
);

const meshWideAfter = successor((previous: MeshWide, listeners: readonly PreparedListener[]): MeshWide => {
  const { l4 } = previous;
  const make = (each: PreparedListener, known: Draft | undefined): Draft => known ?? meshDraft(each, l4);
  return { l4, listeners, drafts: carriedOver(previous.listeners, previous.drafts, listeners, make) };
});

/** Outbound listeners that name the workload in their traces, and its explicit proxy. */
export function workloadListeners(ground: WorkloadGround, workload: Workload): readonly Draft[] {
  const { named = NO_LISTENERS, outboundPolicy, catchAll } = ground;
  const context = workloadContext(ground, workload);
  const anyHost = resolvesAnyHost(ground);
  const own = ownListeners(context, named, anyHost);
  // It has a connection manager too then.
  return anyHost ? withCapturing(own, captured(context, outboundPolicy, catchAll)) : own;
}

const NO_LISTENERS: readonly PreparedListener[] = [];

const withCapturing = memo((own: readonly Draft[], capturing: readonly Draft[]): readonly Draft[] => [
  ...own,
  ...capturing,
]);

function resolvesAnyHost({ outboundPolicy }: Pick<Scope, 'outboundPolicy'>): boolean {
  return outboundPolicy.mode === 'ALLOW_ANY_DYNAMIC_DNS' && outboundPolicy.egressProxy === undefined;
}

const ownListeners = memo(
  (context: ChainContext, named: readonly PreparedListener[], anyHost: boolean): readonly Draft[] => [
    ...named.map((each) => listenerDraft(each, context)),
    ...explicitProxy(context, anyHost),
  ],
);

function destinationsOf({ nodes }: L4Index, { services }: Scope): readonly unknown[] {
  return nodes.flatMap(l4Destinations).flatMap((host) => {
    const scoped = tableGet(services, host);
    return [scoped?.service, scoped?.rule];
  });
}

/** The same object for every class with the same policy. */
export function catchAllOf({ mesh, outboundPolicy, services }: Scope): TcpTarget {
  const { mode, egressProxy } = outboundPolicy;
  const settings = meshSettings(mesh);
  if (egressProxy === undefined) return sharedTarget(settings, mode, '', 0, '', undefined);
  const { host, port, subset } = egressProxy;
  return sharedTarget(settings, mode, host, port, subset, tableGet(services, host)?.rule);
}

const sharedTarget = memo(
  (
    _mesh: MeshSettings,
    mode: OutboundPolicy['mode'],
    host: string,
    port: number,
    subset: string,
    rule: DestinationRule | undefined,
  ): TcpTarget => catchAllTarget({ mode, egressProxy: host === '' ? undefined : { host, port, subset } }, rule),
);

/** Services behind an outbound listener that its drafts don't name, since they are not in its bytes. */
export function sharersOf({ plans, prepared }: OutboundListeners, name: string): readonly Origin[] {
  const [plan, listener] = [tableGet(plans.plans, name), tableGet(prepared.output, name)];
  return plan === undefined || listener === undefined ? [] : claimOrigins(plan, listener);
}

interface SortedListeners {
  readonly all: readonly PreparedListener[];
  readonly named: readonly PreparedListener[];
  readonly shared: readonly PreparedListener[];
  /** All that are shared are so by all classes. */
  readonly meshWide: boolean;
}

/** In order of names: only what changed is looked at, the rest is copied. */
function sortedByName(
  prepared: Table<PreparedListener>,
  from: Table<PreparedListener> | undefined,
  previous: SortedListeners | undefined,
): SortedListeners {
  return from === undefined || previous === undefined ? firstSorted(prepared) : sortedAfter(previous, from, prepared);
}

const firstSorted = memo(
  (prepared: Table<PreparedListener>): SortedListeners => sorted(undefined, emptyTable<PreparedListener>(), prepared),
);

const sortedAfter = successor(
  (previous: SortedListeners, from: Table<PreparedListener>, prepared: Table<PreparedListener>): SortedListeners =>
    sorted(previous, from, prepared),
);

function sorted(
  previous: SortedListeners | undefined,
  from: Table<PreparedListener>,
  prepared: Table<PreparedListener>,
): SortedListeners {
  const gone: string[] = [];
  const come: PreparedListener[] = [];
  for (const [name, , after] of tableDiff(from, prepared)) {
    gone.push(name);
    if (after !== undefined) come.push(after);
  }
  const all = replacedByName(previous?.all ?? NO_LISTENERS, nameOf, gone, come);
  const named = all.filter((each) => each.reach === 'workload');
  const shared = all.filter((each) => each.reach !== 'workload');
  const meshWide = shared.every((each) => each.reach === 'mesh');
  return { all, named: keepList(previous?.named, named), shared: keepList(previous?.shared, shared), meshWide };
}

function nameOf({ plan }: PreparedListener): string {
  return plan.name;
}

/** `virtualOutbound`, where anything is captured. */
const captured = memo(
  (context: ChainContext, { mode, egressProxy }: OutboundPolicy, catchAll: TcpTarget): readonly Draft[] =>
    context.proxyClass.interception === 'NONE' ? [] : [virtualOutbound(context, { mode, egressProxy }, catchAll)],
);

/** The listener that applications name as their HTTP proxy. */
const explicitProxy = memo((context: ChainContext, anyHost: boolean): readonly Draft[] => {
  const { proxyClass, mesh } = context;
  const port = proxyClass.settings.httpProxyPort > 0 ? proxyClass.settings.httpProxyPort : mesh.proxyHttpPort;
  const bind = loopback(proxyClass.family);
  if (port <= 0 || !canBind(proxyClass.settings, bind, port, [])) return [];
  const name = listenerName(bind, port);
  const manager = httpConnectionManager({
    context,
    statPrefix: `outbound_${name}`,
    routes: { kind: 'rds', name: HTTP_PROXY_ROUTE },
    protocol: 'HTTP_PROXY',
    port,
    explicitProxy: true,
    dnsCaches: anyHost ? [anyDnsCache(proxyClass.family, mesh, proxyClass.settings.dnsProxy)] : undefined,
  });
  const listener = {
    name,
    ...addressFields(loopbacks(proxyClass.family), port),
    filterChains: [
      { filters: [...networkExtensions(context, port), manager], transportSocketConnectTimeout: HANDSHAKE_TIMEOUT },
    ],
    listenerFiltersTimeout: '0s',
    continueOnListenerFiltersTimeout: true,
    trafficDirection: 'OUTBOUND',
    maxConnectionsToAcceptPerSocketEvent: ACCEPTS_PER_EVENT,
    connectionBalanceConfig: context.exactBalance ? { exactBalance: {} } : undefined,
  } as const;
  return [draftOf(LISTENER, name, listener, context.origins)];
});

/** Inbound listeners of a workload: `virtualInbound`, and those that bind a port of their own. */
export function inboundListeners(ground: WorkloadGround, workload: Workload): readonly Draft[] {
  return inboundDrafts(workload, inboundContext(ground, workload));
}
