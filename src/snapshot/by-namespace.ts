// Objects of one kind grouped by namespace, each group oldest first. One changed object rebuilds its own group only.

import type { ConfigObject } from '../config/object.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { emptyTable, type Table, tableGet } from '../lib/table.ts';
import { changesBetween, regroup } from '../registry/groups.ts';

export interface NamespacedIndex<O> {
  readonly table: Table<O>;
  /** By namespace, oldest first. */
  readonly byNamespace: Table<readonly O[]>;
}

const NOTHING: readonly never[] = [];

/** The order in which objects win over each other: age, then name, then namespace. */
export const compareAge: (a: Aged, b: Aged) => number = orderBy<Aged>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.name, b.name),
  (a, b) => compareStrings(a.namespace, b.namespace),
);

export interface Aged {
  readonly created: number;
  readonly name: string;
  readonly namespace: string;
}

/** Groups the table; the previous index itself when the table is the same. */
export function indexByNamespace<O extends ConfigObject>(
  previous: NamespacedIndex<O> | undefined,
  table: Table<O>,
): NamespacedIndex<O> {
  if (previous?.table === table) return previous;
  const changes = changesBetween(previous?.table, table);
  const before = previous?.byNamespace ?? emptyTable<readonly O[]>();
  return { table, byNamespace: regroup(before, changes, (object) => [object.namespace], compareAge).index };
}

/** The objects of one namespace: the same list as long as they are the same objects. */
export function inNamespace<O>(index: NamespacedIndex<O>, namespace: string): readonly O[] {
  return tableGet(index.byNamespace, namespace) ?? NOTHING;
}

/** The objects of the root namespace, then those of the own one, each list once. */
export function inRootAndOwn<O>(
  index: NamespacedIndex<O>,
  rootNamespace: string,
  namespace: string,
): readonly (readonly O[])[] {
  const root = inNamespace(index, rootNamespace);
  return namespace === rootNamespace ? [root] : [root, inNamespace(index, namespace)];
}
