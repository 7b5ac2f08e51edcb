// Who of the connected proxies may be linked to something else after a change, by what tells them apart.
// In: the newest snapshot, and the one in which all links are known to hold. Out: places, Nodes, namespaces. Called by the plane.

import { tableDiff } from '../lib/table.ts';
import { type PlaceChanges, placeChanges } from '../registry/service-targets.ts';
import { inputsOf, sameWorkloads } from './link.ts';
import type { Linker } from './linker.ts';
import type { LinkedSnapshot } from './snapshot.ts';

/** Whose links may be different in the next snapshot: those in these places, on these Nodes, and so on. */
export type Concerned =
  | 'all'
  | {
      readonly places: PlaceChanges;
      readonly nodes: readonly string[];
      readonly namespaces: readonly string[];
      readonly loose: boolean;
    };

/**
 * Compares what links are made from, but for what each has of its own: that is told apart by the places of its workload, and by
 * whether endpoints say what it is part of.
 */
export function concernedBy(linker: Linker, snapshot: LinkedSnapshot, namespaces: Iterable<string>): Concerned {
  const from = linker.standing?.snapshot;
  if (from === undefined || from.mesh !== snapshot.mesh || !sameWorkloads(from, snapshot)) return 'all';
  const { registry } = snapshot;
  const nodes = tableDiff(from.registry.state.tables.nodes, registry.state.tables.nodes);
  return {
    places: placeChanges(from.registry, registry),
    nodes: [...nodes].map(([, before, after]) => (after ?? before)?.name ?? ''),
    namespaces: movedNamespaces(linker, from, snapshot, namespaces),
    loose: from.registry.endpoints !== registry.endpoints,
  };
}

/** Namespaces of which services, or what their proxies depend on, are others. */
function movedNamespaces(
  linker: Linker,
  from: LinkedSnapshot,
  snapshot: LinkedSnapshot,
  namespaces: Iterable<string>,
): readonly string[] {
  const { byNamespace } = from.index.base;
  const services = new Set(
    [...tableDiff(byNamespace, snapshot.index.base.byNamespace)].map(([namespace]) => namespace),
  );
  return [...namespaces].filter((namespace) => {
    const before = linker.namespaces.get(namespace);
    const { outbound, inbound } = inputsOf(linker, snapshot, namespace);
    return before?.outbound !== outbound || before.inbound !== inbound || services.has(namespace);
  });
}
