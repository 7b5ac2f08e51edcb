// Memoisation on the identity of inputs: the one way in which work is saved between links and renders.
// In: an anchor object (the input that changes most locally, for instance a Service) and further inputs; out: the
// value built for exactly these objects. An anchor that is gone takes its entries with it; nothing is ever invalidated.
// The last few variants of an anchor stand in a list. Older ones move to a tree of WeakMaps, one level for each input:
// it is found through in constant time, and a variant goes with the first of its inputs that nobody else holds.

import { stamp } from './stamp.ts';

/** What a memo did since it was made; read by metrics and by tests that count work. */
export interface MemoCounts {
  runs: number;
  hits: number;
}

export interface Memo<A extends object, I extends readonly unknown[], V> {
  (anchor: A, ...inputs: I): V;
  readonly counts: MemoCounts;
}

interface Entry<V> {
  readonly inputs: readonly unknown[];
  readonly value: V;
}

/** What an anchor has: nearly always a single variant. */
type Slot<V> = Entry<V> | Variants<V>;

interface Variants<V> {
  readonly inputs: undefined;
  /** The newest last. */
  readonly recent: Entry<V>[];
  older: Branch<V> | undefined;
}

/** Variants under one prefix of inputs. */
interface Branch<V> {
  objects?: WeakMap<object, Branch<V>> | undefined;
  values?: Map<unknown, Branch<V>> | undefined;
  leaf?: Entry<V> | undefined;
}

/** Length of the list: what most anchors ever see, and few enough to compare one by one. */
const MAX_RECENT = 8;

/** Variants kept that differ in a plain value (text, number): above it the older half goes. */
const MAX_VALUES = 256;

/** Wraps a pure function: equal inputs by `===` (or `Object.is`) give the value built before. */
export function memo<A extends object, I extends readonly unknown[], V>(
  build: (anchor: A, ...inputs: I) => V,
): Memo<A, I, V> {
  const slots = stamp<A, Slot<V>>();
  const counts: MemoCounts = { runs: 0, hits: 0 };
  const call = (anchor: A, ...inputs: I): V => {
    const slot = slots.get(anchor);
    const found = slot && find(slot, inputs);
    if (found !== undefined) {
      counts.hits++;
      return found.value;
    }
    counts.runs++;
    const value = build(anchor, ...inputs);
    // Building may have asked for another variant of this anchor.
    const now = slots.get(anchor);
    if (now === undefined) slots.set(anchor, { inputs, value });
    else if (now.inputs === undefined) keep(now, { inputs, value });
    else slots.set(anchor, { inputs: undefined, recent: [now, { inputs, value }], older: undefined });
    return value;
  };
  return Object.assign(call, { counts });
}

function find<V>(slot: Slot<V>, inputs: readonly unknown[]): Entry<V> | undefined {
  if (slot.inputs !== undefined) return sameInputs(slot.inputs, inputs) ? slot : undefined;
  const { recent, older } = slot;
  for (let i = recent.length - 1; i >= 0; i--) {
    const entry = recent[i];
    if (entry !== undefined && sameInputs(entry.inputs, inputs)) return entry;
  }
  let branch = older;
  for (const input of inputs) {
    if (branch === undefined) return undefined;
    branch = isObject(input) ? branch.objects?.get(input) : branch.values?.get(input);
  }
  return branch?.leaf;
}

function keep<V>(slot: Variants<V>, entry: Entry<V>): void {
  slot.recent.push(entry);
  if (slot.recent.length <= MAX_RECENT) return;
  slot.older ??= {};
  for (const old of slot.recent.splice(0, MAX_RECENT / 2)) plant(slot.older, old);
}

function plant<V>(root: Branch<V>, entry: Entry<V>): void {
  let branch = root;
  for (const input of entry.inputs) branch = isObject(input) ? below(branch, input) : beside(branch, input);
  branch.leaf = entry;
}

function below<V>(branch: Branch<V>, input: object): Branch<V> {
  branch.objects ??= new WeakMap();
  let next = branch.objects.get(input);
  if (next === undefined) {
    next = {};
    branch.objects.set(input, next);
  }
  return next;
}

function beside<V>(branch: Branch<V>, input: unknown): Branch<V> {
  branch.values ??= new Map();
  let next = branch.values.get(input);
  if (next === undefined) {
    if (branch.values.size >= MAX_VALUES) {
      for (const old of [...branch.values.keys()].slice(0, MAX_VALUES / 2)) branch.values.delete(old);
    }
    next = {};
    branch.values.set(input, next);
  }
  return next;
}

function isObject(input: unknown): input is object {
  return (typeof input === 'object' && input !== null) || typeof input === 'function';
}

/** `Object.is` for each, in order. */
export function sameInputs(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
