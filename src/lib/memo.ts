// Memoisation on the identity of inputs: the one way in which work is saved between links and renders.
// In: an anchor object (the input that changes most locally, for instance a Service) and further inputs; out: the
// value built for exactly these objects. An anchor that is gone takes its entries with it; nothing is ever invalidated.

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

/** Variants kept per anchor: above it the oldest half goes, which costs a rebuild and never correctness. */
const MAX_VARIANTS = 128;

/** Wraps a pure function: equal inputs by `===` (or `Object.is`) give the value built before. */
export function memo<A extends object, I extends readonly unknown[], V>(
  build: (anchor: A, ...inputs: I) => V,
): Memo<A, I, V> {
  const cache = new WeakMap<A, Entry<V>[]>();
  const counts: MemoCounts = { runs: 0, hits: 0 };
  const call = (anchor: A, ...inputs: I): V => {
    let entries = cache.get(anchor);
    if (entries === undefined) {
      entries = [];
      cache.set(anchor, entries);
    }
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i];
      if (entry !== undefined && sameInputs(entry.inputs, inputs)) {
        counts.hits++;
        return entry.value;
      }
    }
    counts.runs++;
    const value = build(anchor, ...inputs);
    if (entries.length >= MAX_VARIANTS) entries.splice(0, MAX_VARIANTS / 2);
    entries.push({ inputs, value });
    return value;
  };
  return Object.assign(call, { counts });
}

function sameInputs(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
