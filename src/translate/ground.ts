// All that the resources of a workload depend on, but for the workload itself and the rules of the services that it is part
// of: one object while it is the same, so that the thousands of proxies of a class cost a look-up when services or
// endpoints of others change. In: a scope, what was made for its class. Called by index.ts once for a class and change.

import type { Scope } from '../ir/snapshot.ts';
import { sameList } from '../lib/table.ts';
import { type InternalAddresses, internalTo } from './context.ts';
import { meshProviders, type Providers } from './observability/providers.ts';
import { catchAllOf } from './listeners/index.ts';
import type { PreparedListener } from './listeners/outbound.ts';
import type { TcpTarget } from './network/index.ts';

export interface WorkloadGround extends Pick<Scope, 'proxyClass' | 'mesh' | 'policies' | 'outboundPolicy'> {
  readonly providers: Providers;
  readonly internal: InternalAddresses | undefined;
  /** Where connections go that no service takes. */
  readonly catchAll: TcpTarget;
  /** Outbound listeners that name the workload; undefined for routers. */
  readonly named: readonly PreparedListener[] | undefined;
}

/** `before` where all is the same. */
export function workloadGround(
  scope: Scope,
  named: readonly PreparedListener[] | undefined,
  before?: WorkloadGround,
): WorkloadGround {
  const { proxyClass, mesh, policies, outboundPolicy, services } = scope;
  const providers = meshProviders(mesh, services);
  const next = {
    internal: internalTo(scope, 'sidecar-inbound'),
    catchAll: catchAllOf(scope),
    ...{ proxyClass, mesh, policies, outboundPolicy, providers, named },
  };
  return before !== undefined && sameList(Object.values(before), Object.values(next)) ? before : next;
}
