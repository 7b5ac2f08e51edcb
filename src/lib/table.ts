// An immutable keyed table cut into buckets, and the derivations over it.
// In: keyed values whose identity means equality. Out: tables that share every untouched bucket by identity.
// A derivation opens only the buckets that changed, and in them only the entries that changed: the cost of one
// change is the number of buckets plus one bucket, whatever the size of the table.
// Called by every stage between store and views.

import { fnv1a } from './hash.ts';
import { finish, type Steps } from './steps.ts';
import { Successors } from './successor.ts';

export type Bucket<V> = ReadonlyMap<string, V>;

/** Large tables use 256 buckets: 10,000 entries make buckets of 40, and comparing 256 identities costs a microsecond. */
export const TABLE_BUCKETS = 256;

const EMPTY: Bucket<never> = new Map<string, never>();

export interface Table<V> {
  readonly buckets: readonly Bucket<V>[];
  readonly size: number;
}

const EMPTY_TABLE: Table<never> = { buckets: emptyBuckets(TABLE_BUCKETS), size: 0 };

function emptyBuckets(count: number): Bucket<never>[] {
  return Array.from({ length: count }, () => EMPTY);
}

export function emptyTable<V>(): Table<V> {
  return EMPTY_TABLE;
}

function emptyOf(count: number): Table<never> {
  return count === TABLE_BUCKETS ? EMPTY_TABLE : { buckets: emptyBuckets(count), size: 0 };
}

export function bucketIndex(key: string, count: number): number {
  return fnv1a(key) % count;
}

export function tableGet<V>(table: Table<V>, key: string): V | undefined {
  return table.buckets[bucketIndex(key, table.buckets.length)]?.get(key);
}

export function* tableValues<V>(table: Table<V>): Generator<V> {
  for (const bucket of table.buckets) if (bucket !== EMPTY) yield* bucket.values();
}

export function* tableEntries<V>(table: Table<V>): Generator<[string, V]> {
  for (const bucket of table.buckets) if (bucket !== EMPTY) yield* bucket.entries();
}

/**
 * The table with the given entries put (a value) or taken out (undefined). Buckets without a real change, and the
 * table itself when nothing changed, keep their identity.
 */
export function tableWith<V>(table: Table<V>, changes: Iterable<readonly [string, V | undefined]>): Table<V> {
  const opened = new Map<number, Map<string, V>>();
  for (const [key, value] of changes) putEntry(table, opened, key, value);
  const edit = new BucketEdit(table, table.buckets.length);
  for (const index of ascending(opened.keys())) edit.put(index, opened.get(index) ?? EMPTY);
  return edit.table();
}

/** A bucket is copied with the first entry of it that differs. */
function putEntry<V>(
  { buckets }: Table<V>,
  opened: Map<number, Map<string, V>>,
  key: string,
  value: V | undefined,
): void {
  const index = bucketIndex(key, buckets.length);
  const open = opened.get(index);
  const current = open ?? buckets[index] ?? EMPTY;
  if (current.get(key) === value) return;
  const copy = open ?? new Map(current);
  if (open === undefined) opened.set(index, copy);
  if (value === undefined) copy.delete(key);
  else copy.set(key, value);
}

/** A table holding exactly these entries; buckets equal to the previous table's keep their identity. */
export function tableFrom<V>(entries: Iterable<readonly [string, V]>, previous: Table<V> = emptyTable<V>()): Table<V> {
  const count = previous.buckets.length;
  const buckets: (Map<string, V> | undefined)[] = Array.from({ length: count });
  for (const [key, value] of entries) {
    const index = bucketIndex(key, count);
    let bucket = buckets[index];
    if (bucket === undefined) {
      bucket = new Map();
      buckets[index] = bucket;
    }
    bucket.set(key, value);
  }
  const edit = new BucketEdit(previous, count);
  for (let index = 0; index < count; index++) edit.put(index, buckets[index] ?? EMPTY);
  return edit.table();
}

/** A one-bucket table for the few entries of one proxy, where 256 buckets would cost more than they save. */
export function smallTable<V>(entries: Iterable<readonly [string, V]>): Table<V> {
  const bucket = new Map(entries);
  return { buckets: [bucket], size: bucket.size };
}

/** True when both hold the same values under the same keys. */
export function sameEntries<V>(a: Bucket<V>, b: Bucket<V>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

/** Where a table came from, and the buckets in which it is not what that one was. */
interface Step {
  readonly from: WeakRef<Table<unknown>>;
  readonly places: readonly number[];
}

/** The last one that is known of each table: those that derive something of it come from the same one before. */
const steps = new WeakMap<Table<unknown>, Step>();

const NO_PLACES: readonly number[] = [];
const ALL_PLACES: readonly number[] = Array.from({ length: TABLE_BUCKETS }, (_, index) => index);

function cameOf<V>(from: Table<V>, to: Table<V>, places: readonly number[]): Table<V> {
  // From the empty table all is new.
  if (from.size > 0) steps.set(to, { from: new WeakRef(from), places });
  return to;
}

const ascending = (places: Iterable<number>): number[] => [...places].sort((a, b) => a - b);

/**
 * Indices of the buckets that are not the same object in both, ascending. Looked for once for each pair, and not at all where
 * one table came of the other: a change goes through all derivations, for each class of proxies, by its own buckets alone.
 */
export function changedPlaces(from: Table<unknown>, to: Table<unknown>): readonly number[] {
  if (from === to) return NO_PLACES;
  const known = steps.get(to);
  if (known?.from.deref() === from) return known.places;
  const places: number[] = [];
  const count = Math.max(from.buckets.length, to.buckets.length);
  for (let index = 0; index < count; index++) if (from.buckets[index] !== to.buckets[index]) places.push(index);
  steps.set(to, { from: new WeakRef(from), places });
  return places;
}

/** Where a table is not what the one was that it came of, as far as that is known. */
export function newPlaces(table: Table<unknown>): readonly number[] {
  return steps.get(table)?.places ?? NO_PLACES;
}

/** Where two tables may differ: undefined when nothing is known of it but by comparing them. */
export function placesApart(a: Table<unknown>, b: Table<unknown>): readonly number[] | undefined {
  const [one, other] = [steps.get(a), steps.get(b)];
  const from = one?.from.deref();
  if (from === undefined || from !== other?.from.deref()) return undefined;
  return eitherOf(one?.places ?? NO_PLACES, other.places);
}

/** Places of both lists, ascending. */
export function eitherOf(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 0 || sameList(a, b)) return b;
  return b.length === 0 ? a : ascending(new Set([...a, ...b]));
}

export function allPlaces(count: number): readonly number[] {
  return count === TABLE_BUCKETS ? ALL_PLACES : Array.from({ length: count }, (_, index) => index);
}

/** A table derived from another, with what it was derived from, so that the next derivation can start there. */
export interface Derived<A, B> {
  readonly input: Table<A>;
  readonly shared: readonly unknown[];
  readonly output: Table<B>;
}

/**
 * Maps every entry of `input` by `build`; undefined leaves the entry out. `shared` are the further inputs that every
 * entry may read: when one of them is not the same object as before, every entry is built again, and `build` gets
 * the entry's previous output to keep where it is equal.
 */
export function deriveTable<A, B>(
  previous: Derived<A, B> | undefined,
  input: Table<A>,
  shared: readonly unknown[],
  build: (value: A, key: string, before: B | undefined) => B | undefined,
): Derived<A, B> {
  const keep = previous !== undefined && sameList(previous.shared, shared);
  if (keep && previous.input === input) return previous;
  const { buckets } = input;
  const kept = keep && previous.input.buckets.length === buckets.length ? previous.input : undefined;
  const edit = new BucketEdit(previous?.output, buckets.length);
  for (const index of kept === undefined ? allPlaces(buckets.length) : changedPlaces(kept, input))
    edit.put(index, deriveBucket(buckets[index] ?? EMPTY, kept?.buckets[index], edit.before(index), build));
  return { input, shared, output: edit.table() };
}

/** A derivation over two tables of the same keys; an entry is built again when its value in either one changed. */
export interface Derived2<A, C, B> {
  readonly left: Table<A>;
  readonly right: Table<C>;
  readonly shared: readonly unknown[];
  readonly output: Table<B>;
}

/** As `deriveTable`, with a second value for each key of `left` looked up in `right` (undefined when it has none). */
export function deriveTable2<A, C, B>(
  previous: Derived2<A, C, B> | undefined,
  left: Table<A>,
  right: Table<C>,
  shared: readonly unknown[],
  build: (value: A, other: C | undefined, key: string, before: B | undefined) => B | undefined,
): Derived2<A, C, B> {
  return finish(deriveTable2Steps(previous, left, right, shared, build));
}

/**
 * As `deriveTable`, made once for all that come from the same by the same change. `shared` has to tell of everything that `build`
 * reads, whoever asks.
 */
export function deriveTableOnce<A, B>(
  previous: Derived<A, B> | undefined,
  input: Table<A>,
  shared: readonly unknown[],
  build: (value: A, key: string, before: B | undefined) => B | undefined,
): Derived<A, B> {
  const inputs = [input, ...shared];
  return known(previous, inputs) ?? remembered(previous, inputs, deriveTable(previous, input, shared, build));
}

const derivations = new Successors<object, object>();

function known<D extends object>(previous: D | undefined, inputs: readonly unknown[]): D | undefined {
  return previous && (derivations.find(previous, inputs) as D | undefined);
}

function remembered<D extends object>(previous: D | undefined, inputs: readonly unknown[], derived: D): D {
  if (previous !== undefined) derivations.remember(previous, inputs, derived);
  return derived;
}

/** `deriveTable2` in steps of one bucket, once as `deriveTableOnce` does. */
export function* deriveTable2Once<A, C, B>(
  previous: Derived2<A, C, B> | undefined,
  left: Table<A>,
  right: Table<C>,
  shared: readonly unknown[],
  build: (value: A, other: C | undefined, key: string, before: B | undefined) => B | undefined,
): Steps<Derived2<A, C, B>> {
  const inputs = [left, right, ...shared];
  const derived = known(previous, inputs);
  if (derived !== undefined) return derived;
  return remembered(previous, inputs, yield* deriveTable2Steps(previous, left, right, shared, build));
}

/** The same in steps of one bucket. */
export function* deriveTable2Steps<A, C, B>(
  previous: Derived2<A, C, B> | undefined,
  left: Table<A>,
  right: Table<C>,
  shared: readonly unknown[],
  build: (value: A, other: C | undefined, key: string, before: B | undefined) => B | undefined,
): Steps<Derived2<A, C, B>> {
  const keep = previous !== undefined && sameList(previous.shared, shared);
  if (keep && previous.left === left && previous.right === right) return previous;
  const { buckets } = left;
  const kept = keep && sameShape(previous, left, right) ? previous : undefined;
  const edit = new BucketEdit(previous?.output, buckets.length);
  const places =
    kept === undefined
      ? allPlaces(buckets.length)
      : eitherOf(changedPlaces(kept.left, left), changedPlaces(kept.right, right));
  for (const index of places) {
    const bucket = buckets[index] ?? EMPTY;
    // Most buckets of a small table.
    if (bucket.size === 0 && edit.before(index).size === 0) continue;
    const others = right.buckets[index] ?? EMPTY;
    const lefts = kept?.left.buckets[index];
    const rights = kept?.right.buckets[index];
    const now = deriveBucket(bucket, undefined, edit.before(index), (value, key, before) => {
      const unchanged = lefts !== undefined && lefts.get(key) === value && rights?.get(key) === others.get(key);
      return unchanged ? before : build(value, others.get(key), key, before);
    });
    edit.put(index, now);
    yield;
  }
  return { left, right, shared, output: edit.table() };
}

function sameShape<A, C, B>(previous: Derived2<A, C, B>, left: Table<A>, right: Table<C>): boolean {
  const { length } = left.buckets;
  return [previous.left, previous.right, right].every(({ buckets }) => buckets.length === length);
}

/** A table that comes of another bucket by bucket; the array of buckets is copied with the first one that differs. */
export class BucketEdit<V> {
  readonly #base: Table<V>;
  #buckets: Bucket<V>[] | undefined;
  readonly #places: number[] = [];
  #size: number;

  constructor(base: Table<V> | undefined, count: number) {
    this.#base = base?.buckets.length === count ? base : emptyOf(count);
    this.#size = this.#base.size;
  }

  before(index: number): Bucket<V> {
    return this.#base.buckets[index] ?? EMPTY;
  }

  /** In ascending order. One that is equal to that of before is left in its place. */
  put(index: number, bucket: Bucket<V>): void {
    const before = this.before(index);
    if (bucket === before || sameEntries(bucket, before)) return;
    this.#buckets ??= this.#base.buckets.slice();
    this.#buckets[index] = bucket.size === 0 ? EMPTY : bucket;
    this.#places.push(index);
    this.#size += bucket.size - before.size;
  }

  table(): Table<V> {
    if (this.#buckets === undefined) return this.#base;
    return cameOf(this.#base, { buckets: this.#buckets, size: this.#size }, this.#places);
  }
}

function deriveBucket<A, B>(
  bucket: Bucket<A>,
  oldIn: Bucket<A> | undefined,
  oldOut: Bucket<B>,
  build: (value: A, key: string, before: B | undefined) => B | undefined,
): Bucket<B> {
  if (bucket.size === 0) return EMPTY;
  const out = new Map<string, B>();
  bucket.forEach((value, key) => {
    const before = oldOut.get(key);
    const result = oldIn !== undefined && oldIn.get(key) === value ? before : build(value, key, before);
    if (result !== undefined) out.set(key, result);
  });
  return out;
}

/** True when both lists hold the same objects in the same order. */
export function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** `next`, or `previous` itself when both hold the same objects in the same order: keeps identity over rebuilds. */
export function keepList<T>(previous: readonly T[] | undefined, next: readonly T[]): readonly T[] {
  return previous !== undefined && sameList(previous, next) ? previous : next;
}

/** The keys whose values differ between two tables of the same shape; buckets that are the same object are not opened. */
export function* tableDiff<V>(
  from: Table<V>,
  to: Table<V>,
): Generator<readonly [string, V | undefined, V | undefined]> {
  for (const i of changedPlaces(from, to)) yield* bucketDiff(from.buckets[i] ?? EMPTY, to.buckets[i] ?? EMPTY);
}

function bucketDiff<V>(from: Bucket<V>, to: Bucket<V>): readonly (readonly [string, V | undefined, V | undefined])[] {
  const differing: (readonly [string, V | undefined, V | undefined])[] = [];
  to.forEach((value, key) => {
    const before = from.get(key);
    if (before !== value) differing.push([key, before, value]);
  });
  from.forEach((value, key) => {
    if (!to.has(key)) differing.push([key, value, undefined]);
  });
  return differing;
}
