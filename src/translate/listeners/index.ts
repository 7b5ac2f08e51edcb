// Listeners of sidecars (LDS): what they make of outbound connections, shared by a class, and of inbound ones, shared by
// the pods of a workload. In: a scope; a workload. Out: drafts. Called by ../index.ts. What did not change is the same draft.

import type { Draft } from '../../ir/draft.ts';
import type { Workload } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import { keepList, sameList, tableGet } from '../../lib/table.ts';
import { loopback } from '../addresses.ts';
import { type ChainContext, inboundContext, type JwksCache, outboundContext, workloadContext } from '../context.ts';
import { draftOf } from '../draft.ts';
import { httpConnectionManager } from '../http/index.ts';
import { HTTP_PROXY_ROUTE } from '../routes/names.ts';
import { inboundDrafts } from './inbound.ts';
import { ACCEPTS_PER_EVENT, addressFields, canBind, HANDSHAKE_TIMEOUT, LISTENER, listenerName } from './listener.ts';
import { contextOrigins } from './origins.ts';
import { listenerDraft, type PreparedListener, preparedListener } from './outbound.ts';
import { type EndpointsRead, outboundPlans } from './outbound-plan.ts';
import { catchAllTarget, virtualOutbound } from './virtual-outbound.ts';

/** Outbound listeners of a class, and what the next run starts from. */
export interface OutboundListeners {
  /** Listeners that all proxies of the class share. */
  readonly drafts: readonly Draft[];
  /** Those that are each workload's own: rendered by `workloadListeners`. */
  readonly named: readonly PreparedListener[];
  readonly inputs: readonly unknown[];
  readonly prepared: ReadonlyMap<string, PreparedListener>;
  /** The endpoints that were read, by hostname. */
  readonly read: EndpointsRead;
}

export function outboundListeners(scope: Scope, previous: OutboundListeners | undefined): OutboundListeners {
  const context = outboundContext(scope);
  const inputs = [context, scope.egress, scope.services, scope.outboundPolicy];
  if (previous !== undefined && sameList(previous.inputs, inputs) && sameEndpoints(previous.read, scope))
    return previous;
  const read: EndpointsRead = new Map();
  const prepared = new Map<string, PreparedListener>();
  for (const [name, plan] of outboundPlans(scope, read)) {
    prepared.set(name, preparedListener(plan, scope, previous?.prepared.get(name)));
  }
  const sorted = [...prepared.values()].sort((a, b) => compareStrings(a.plan.name, b.plan.name));
  const named = keepList(
    previous?.named,
    sorted.filter((each) => each.named),
  );
  const shared = sorted.filter((each) => !each.named).map((each) => listenerDraft(each, context));
  const drafts = keepList(previous?.drafts, [...shared, ...virtualOutboundOf(context, scope)]);
  return { drafts, named, inputs, prepared, read };
}

/** Outbound listeners that name the workload in their traces, and its explicit proxy. */
export function workloadListeners(
  scope: Scope,
  workload: Workload,
  named: readonly PreparedListener[],
): readonly Draft[] {
  return ownListeners(workloadContext(scope, workload), named);
}

const ownListeners = memo((context: ChainContext, named: readonly PreparedListener[]): readonly Draft[] => [
  ...named.map((each) => listenerDraft(each, context)),
  ...explicitProxy(context),
]);

function sameEndpoints(read: EndpointsRead, scope: Scope): boolean {
  for (const [hostname, endpoints] of read) if (tableGet(scope.endpoints, hostname) !== endpoints) return false;
  return true;
}

function virtualOutboundOf(context: ChainContext, { outboundPolicy, services }: Scope): readonly Draft[] {
  // Nothing is captured, so nothing arrives there.
  if (context.proxyClass.interception === 'NONE') return [];
  const { egressProxy } = outboundPolicy;
  const scoped = egressProxy === undefined ? undefined : tableGet(services, egressProxy.host);
  return [catchAll(context, outboundPolicy, scoped)];
}

const catchAll = memo(
  (
    context: ChainContext,
    policy: Scope['outboundPolicy'],
    scoped: ReturnType<typeof tableGet<Scope['ordered'][number]>>,
  ): Draft =>
    virtualOutbound(
      context,
      policy,
      catchAllTarget(policy, () => scoped),
    ),
);

/** The listener that applications name as their HTTP proxy. */
const explicitProxy = memo((context: ChainContext): readonly Draft[] => {
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
  });
  const listener = {
    name,
    ...addressFields([bind], port),
    filterChains: [{ filters: [manager], transportSocketConnectTimeout: HANDSHAKE_TIMEOUT }],
    listenerFiltersTimeout: '0s',
    continueOnListenerFiltersTimeout: true,
    trafficDirection: 'OUTBOUND',
    maxConnectionsToAcceptPerSocketEvent: ACCEPTS_PER_EVENT,
  } as const;
  return [draftOf(LISTENER, name, listener, contextOrigins(context))];
});

/** Inbound listeners of a workload: `virtualInbound`, and those that bind a port of their own. */
export function inboundListeners(scope: Scope, workload: Workload, jwks?: JwksCache): readonly Draft[] {
  return inboundDrafts(workload, inboundContext(scope, workload, jwks));
}
