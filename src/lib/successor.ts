// What comes of something by a change, found again by whoever comes from the same by the same change: classes of proxies go from
// one table, plan or group to the next, one class after the other.
// In: what was there before (the anchor) and the further inputs; out: what was built of exactly these. As memo.ts does, but what
// came of something lives no longer than somebody has it: a class that stands still would keep all that others went through since.

import { sameInputs } from './memo.ts';
import { stamp } from './stamp.ts';

interface Step<V> {
  readonly inputs: readonly unknown[];
  readonly value: V;
}

/** Changes remembered of one thing, the newest first: as many as classes that start from the same go different ways. */
const MAX_STEPS = 8;

export class Successors<A extends object, V extends object> {
  readonly #steps = stamp<A, readonly WeakRef<Step<V>>[]>();
  /** With a value goes the last step that led to it: until then it is found. */
  readonly #last = stamp<V, Step<V>>();

  find(before: A, inputs: readonly unknown[]): V | undefined {
    for (const ref of this.#steps.get(before) ?? []) {
      const step = ref.deref();
      if (step !== undefined && sameInputs(step.inputs, inputs)) return step.value;
    }
    return undefined;
  }

  remember(before: A, inputs: readonly unknown[], value: V): void {
    const step = { inputs, value };
    this.#last.set(value, step);
    this.#steps.set(before, [new WeakRef(step), ...(this.#steps.get(before) ?? []).slice(0, MAX_STEPS - 1)]);
  }
}

/** Wraps a pure function of what was there before. */
export function successor<A extends object, I extends readonly unknown[], V extends object>(
  build: (before: A, ...inputs: I) => V,
): (before: A, ...inputs: I) => V {
  const successors = new Successors<A, V>();
  return (before, ...inputs) => {
    const found = successors.find(before, inputs);
    if (found !== undefined) return found;
    const value = build(before, ...inputs);
    successors.remember(before, inputs, value);
    return value;
  };
}
