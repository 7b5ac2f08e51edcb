// Tables of resources that are equal, as one object. Classes differ in little (a zone changes the endpoints of few services,
// and nothing of clusters): what follows from a table, such as the bytes that are sent of it, is then made once for all.
// In: a table of one class. Out: the same, or an equal one of another class. Called by the classes for each type.

import { sameList, type Table } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable } from '../resources/view.ts';

/** Tables remembered of each type, the newest last: as many classes as share anything at one moment. */
const MAX_TABLES = 64;

export class TablePool {
  readonly #known = new Map<string, WeakRef<ResourceTable>[]>();
  /** The pooled table of each that was asked for. */
  readonly #pooled = new WeakMap<ResourceTable, ResourceTable>();

  /** An equal table of the same type that somebody still has, or this one. */
  shared(typeUrl: string, table: ResourceTable): ResourceTable {
    const pooled = this.#pooled.get(table);
    if (pooled !== undefined) return pooled;
    const alive: WeakRef<ResourceTable>[] = [];
    let found: ResourceTable | undefined;
    for (const ref of this.#known.get(typeUrl) ?? []) {
      const other = ref.deref();
      if (other === undefined) continue;
      alive.push(ref);
      if (found === undefined && sameTable(table, other)) found = other;
    }
    if (found === undefined) alive.push(new WeakRef(table));
    this.#known.set(typeUrl, alive.slice(-MAX_TABLES));
    this.#pooled.set(table, found ?? table);
    return found ?? table;
  }
}

function sameTable(a: ResourceTable, b: ResourceTable): boolean {
  if (a.size !== b.size || a.buckets.length !== b.buckets.length) return false;
  return a.buckets.every((bucket, i) => bucket === b.buckets[i] || sameBucket(bucket, b.buckets[i]));
}

type ResourceBucket = Table<readonly Resource[]>['buckets'][number];

function sameBucket(a: ResourceBucket, b: ResourceBucket | undefined): boolean {
  if (b === undefined || a.size !== b.size) return false;
  for (const [key, group] of a) {
    const other = b.get(key);
    if (other === undefined || !sameList(group, other)) return false;
  }
  return true;
}
