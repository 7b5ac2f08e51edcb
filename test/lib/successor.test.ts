import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { successor } from '../../src/lib/successor.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Link {
  readonly number: number;
}

describe('a successor', () => {
  it('is built once for what was before and the same change, and for each of some others', () => {
    let runs = 0;
    const next = successor((before: Link, by: number): Link => {
      runs++;
      return { number: before.number + by };
    });
    const start = { number: 0 };
    const made = Array.from({ length: 8 }, (_, by) => next(start, by));
    expect(made.map((_, by) => next(start, by))).toEqual(made);
    for (const [by, value] of made.entries()) expect(next(start, by)).toBe(value);
    expect(runs).toBe(8);
    expect(next({ number: 0 }, 1)).not.toBe(made[1]);
  });

  it('may be what was before', () => {
    const next = successor((before: Link, _by: number): Link => before);
    const start = { number: 0 };
    for (let by = 0; by < 20; by++) expect(next(start, by)).toBe(start);
  });

  it('lives no longer than somebody has it, though what it came of stays', async () => {
    const next = successor((before: Link, input: object): Link & { readonly input: object } => {
      return { number: before.number + 1, input };
    });
    const start = { number: 0 };
    const gone: WeakRef<object>[] = [];
    let last: Link = start;
    for (let at = 0; at < 50; at++) {
      const input = {};
      last = next(last, input);
      gone.push(new WeakRef(last), new WeakRef(input));
    }
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    // But for the last one and its input.
    expect(gone.filter((ref) => ref.deref() !== undefined)).toHaveLength(2);
    expect([start.number, last.number]).toEqual([0, 50]);
  });
});
