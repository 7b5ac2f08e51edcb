// Changes of few hosts: by them it is known of most scopes that they are what they were, without looking at what they are
// made of. A mesh with Sidecars has many small scopes, and an endpoint concerns one or two of them.
// In: two snapshots; a scope that holds in the first. Out: whether it may be another one in the second. Called by the plane's
// linkage.

import type { Service } from '../ir/service.ts';
import type { VirtualService } from '../ir/traffic.ts';
import { memo } from '../lib/memo.ts';
import { type Table, tableDiff, tableGet } from '../lib/table.ts';
import { type EgressImport, importedService, importedVirtualServices, routedHosts } from './egress.ts';
import type { LinkedScope } from './scope.ts';
import type { LinkedSnapshot } from './snapshot.ts';

/** More than these are many: every scope is made anew then. */
const MAX_HOSTS = 32;

/** Hosts of which anything that a scope may show is different, and what has come of them. */
export interface SmallChange {
  readonly hosts: ReadonlySet<string>;
  /** Of hosts whose services are others: the ones there are now. */
  readonly services: ReadonlyMap<string, readonly Service[]>;
  /** VirtualServices that have gone, come, or are others now: before and after. */
  readonly virtualServices: readonly VirtualService[];
}

/** What tells two snapshots apart, where it is little and nothing else; undefined where it may be anything. */
export function smallChange(from: LinkedSnapshot, to: LinkedSnapshot): SmallChange | undefined {
  if (!sameSurroundings(from, to)) return undefined;
  const hosts = new Set<string>();
  const services = new Map<string, readonly Service[]>();
  const [a, b] = [from.index, to.index];
  for (const [host, , now] of firstOf(a.base.services, b.base.services)) {
    hosts.add(host);
    services.set(host, now ?? []);
  }
  for (const [host] of firstOf(from.endpoints, to.endpoints)) hosts.add(host);
  for (const [host] of firstOf(a.rules.byHost, b.rules.byHost)) hosts.add(host);
  if (hosts.size > MAX_HOSTS) return undefined;
  const nodes = firstOf(a.virtualServices.linked.output, b.virtualServices.linked.output);
  const virtualServices = nodes.flatMap(([, before, after]) => [before, after]).filter((node) => node !== undefined);
  return virtualServices.length > MAX_HOSTS ? undefined : { hosts, services, virtualServices };
}

/** False where the scope, of the snapshot before the change, is known to be the same after it. */
export function mayConcern({ hosts, services, virtualServices }: SmallChange, scope: LinkedScope): boolean {
  const { listeners } = scope.parts;
  if (scope.proxyClass.type === 'router' || listeners.some(({ imported }) => imported.everything)) return true;
  for (const host of hosts) if (tableGet(scope.services, host) !== undefined) return true;
  return listeners.some(({ imported, listener }) => {
    if (importedVirtualServices(imported, virtualServices).length > 0) return true;
    if (services.size === 0) return false;
    const routed = hostsRouted(listener.virtualServices, imported);
    for (const [host, list] of services)
      if (routed.has(host) || importedService(imported, list) !== undefined) return true;
    return false;
  });
}

/** All that scopes are made of but services, their endpoints and rules, and VirtualServices. */
function sameSurroundings(from: LinkedSnapshot, to: LinkedSnapshot): boolean {
  const [a, b] = [from.index, to.index];
  return (
    from.settings === to.settings &&
    from.mesh === to.mesh &&
    from.networks === to.networks &&
    from.peerAuthn === to.peerAuthn &&
    a.sidecars === b.sidecars &&
    a.policies.telemetry === b.policies.telemetry &&
    a.policies.envoyFilters === b.policies.envoyFilters &&
    a.policies.wasmPlugins === b.policies.wasmPlugins &&
    a.policies.trafficExtensions === b.policies.trafficExtensions &&
    a.rules.wildcards === b.rules.wildcards &&
    a.rules.rootNamespace === b.rules.rootNamespace
  );
}

const hostsRouted = memo(
  (nodes: readonly VirtualService[], { namespace }: EgressImport): ReadonlySet<string> =>
    new Set(nodes.flatMap((node) => routedHosts(node, namespace).map(({ host }) => host))),
);

/** Differences, one more than are few at most. */
function firstOf<V>(from: Table<V>, to: Table<V>): readonly (readonly [string, V | undefined, V | undefined])[] {
  const found: (readonly [string, V | undefined, V | undefined])[] = [];
  for (const each of tableDiff(from, to)) {
    found.push(each);
    if (found.length > MAX_HOSTS) break;
  }
  return found;
}
