// Two operations on tables that linking needs beside the derivations of lib: keeping buckets of an earlier table, and
// a sorted list that follows a table.

import { type Bucket, changedPlaces, keepList, sameEntries, type Table, tableDiff } from '../lib/table.ts';

/** `next` with every bucket that equals the previous one replaced by it; the previous table itself when all do. */
export function keepTable<V>(previous: Table<V> | undefined, next: Table<V>): Table<V> {
  if (previous === undefined || previous === next || previous.buckets.length !== next.buckets.length) return next;
  let buckets: Bucket<V>[] | undefined;
  let differs = false;
  for (const index of changedPlaces(previous, next)) {
    const before = previous.buckets[index] as Bucket<V>;
    const bucket = next.buckets[index] as Bucket<V>;
    if (!sameEntries(before, bucket)) differs = true;
    else (buckets ??= next.buckets.slice())[index] = before;
  }
  if (!differs) return previous;
  return buckets === undefined ? next : { buckets, size: next.size };
}

/** The values of a table in a total order. */
export interface Ordered<V> {
  readonly table: Table<V>;
  readonly list: readonly V[];
}

/** The list of `table`, made from that of a similar table by taking out and putting in what differs. */
export function orderedFrom<V>(
  from: Ordered<V> | undefined,
  table: Table<V>,
  compare: (a: V, b: V) => number,
  previous: readonly V[] | undefined,
): Ordered<V> {
  if (from?.table === table) return from;
  const removed = new Set<V>();
  const added: V[] = [];
  if (from === undefined) {
    for (const bucket of table.buckets) added.push(...bucket.values());
  } else {
    for (const [, before, after] of tableDiff(from.table, table)) {
      if (before !== undefined) removed.add(before);
      if (after !== undefined) added.push(after);
    }
  }
  added.sort(compare);
  const kept = from === undefined ? [] : from.list.filter((value) => !removed.has(value));
  return { table, list: keepList(previous, mergeSorted(kept, added, compare)) };
}

/** Both lists in one order; of equals those of the first come first. */
export function mergeSorted<V>(a: readonly V[], b: readonly V[], compare: (a: V, b: V) => number): readonly V[] {
  if (b.length === 0) return a;
  if (a.length === 0) return b;
  const out: V[] = [];
  let next = 0;
  for (const value of a) {
    for (let other = b[next]; other !== undefined && compare(other, value) < 0; other = b[next]) {
      out.push(other);
      next++;
    }
    out.push(value);
  }
  for (; next < b.length; next++) out.push(b[next] as V);
  return out;
}
