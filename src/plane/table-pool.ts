// Tables of resources that are equal, as one object. Classes differ in little (a zone changes the endpoints of few services,
// and nothing of clusters): what follows from a table, such as the bytes that are sent of it, is then made once for all.
// In: a table of one class. Out: the same, or an equal one of another class. Called by the classes for each type.

import { newPlaces, placesApart, sameList, type Table } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable } from '../resources/view.ts';

/** Tables remembered of each type, the newest last: as many classes as share anything at one moment. */
const MAX_TABLES = 64;

interface Known {
  readonly table: WeakRef<ResourceTable>;
  /** Of its first resource: most that differ, differ in that. */
  readonly version: string | undefined;
}

export class TablePool {
  readonly #known = new Map<string, readonly Known[]>();
  /** The pooled table of each that was asked for. */
  readonly #pooled = new WeakMap<ResourceTable, ResourceTable>();

  /** An equal table of the same type that somebody still has, or this one. */
  shared(typeUrl: string, table: ResourceTable): ResourceTable {
    const pooled = this.#pooled.get(table);
    if (pooled !== undefined) return pooled;
    const known = this.#known.get(typeUrl) ?? [];
    const version = firstVersion(table);
    // From the newest on: after a change all classes come to the same table, one after the other.
    const alike = (each: Known): boolean => each.version === version && isSame(table, each.table.deref());
    const found = known.findLast(alike)?.table.deref();
    if (found === undefined) {
      const alive = known.filter((each) => each.table.deref() !== undefined);
      this.#known.set(typeUrl, [...alive, { table: new WeakRef(table), version }].slice(-MAX_TABLES));
    }
    this.#pooled.set(table, found ?? table);
    return found ?? table;
  }
}

function firstVersion({ buckets }: ResourceTable): string | undefined {
  const bucket = buckets.find(({ size }) => size > 0);
  const [group] = bucket?.values() ?? [];
  return group?.[0]?.version;
}

function isSame(a: ResourceTable, b: ResourceTable | undefined): boolean {
  if (b === undefined || a.size !== b.size || a.buckets.length !== b.buckets.length) return false;
  const same = (i: number): boolean => {
    const [bucket, other] = [a.buckets[i], b.buckets[i]];
    return bucket === other || (bucket !== undefined && other !== undefined && sameBucket(bucket, other));
  };
  // Most came of the same table, by the same few buckets; and one from before the change differs in those.
  const apart = placesApart(a, b);
  if (apart !== undefined) return apart.every(same);
  return newPlaces(a).every(same) && a.buckets.every((_, i) => same(i));
}

type ResourceBucket = Table<readonly Resource[]>['buckets'][number];

function sameBucket(a: ResourceBucket, b: ResourceBucket): boolean {
  if (a.size !== b.size) return false;
  for (const [key, group] of a) {
    const other = b.get(key);
    if (other === undefined || !sameList(group, other)) return false;
  }
  return true;
}
