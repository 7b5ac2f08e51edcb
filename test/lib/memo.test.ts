import { describe, expect, it } from 'vitest';
import { memo } from '../../src/lib/memo.ts';

describe('memo', () => {
  it('builds once for the same inputs, and again when one of them is another', () => {
    const build = memo((anchor: object, name: string, other: object | undefined) => ({ anchor, name, other }));
    const [anchor, other] = [{}, {}];
    const first = build(anchor, 'a', other);
    expect(build(anchor, 'a', other)).toBe(first);
    for (const next of [
      build({}, 'a', other),
      build(anchor, 'b', other),
      build(anchor, 'a', {}),
      build(anchor, 'a', undefined),
    ])
      expect(next).not.toBe(first);
    expect(build.counts).toEqual({ runs: 5, hits: 1 });
  });

  it('finds every variant of many, whatever kind of input tells them apart', () => {
    const inputs = [
      ...Array.from({ length: 100 }, () => ({})),
      ...Array.from({ length: 50 }, (_, i) => i),
      'text',
      undefined,
      true,
      Number.NaN,
    ];
    const build = memo((_anchor: object, input: unknown, more: readonly unknown[]) => ({ input, more }));
    const anchor = {};
    const more: readonly unknown[] = [];
    const made = inputs.map((input) => build(anchor, input, more));
    expect(inputs.map((input) => build(anchor, input, more))).toEqual(made);
    inputs.forEach((input, i) => expect(build(anchor, input, more)).toBe(made[i]));
    expect(build.counts.runs).toBe(inputs.length);
  });

  it('tells lists of inputs of different length apart', () => {
    const build = memo((_anchor: object, ...rest: readonly unknown[]) => rest);
    const anchor = {};
    const lists = Array.from({ length: 30 }, (_, i) => Array.from({ length: i }, () => anchor));
    const made = lists.map((list) => build(anchor, ...list));
    lists.forEach((list, i) => expect(build(anchor, ...list)).toBe(made[i]));
  });

  it('does not keep any number of plain values', () => {
    const build = memo((_anchor: object, value: number) => ({ value }));
    const anchor = {};
    for (let i = 0; i < 2000; i++) build(anchor, i);
    const { runs } = build.counts;
    build(anchor, 0);
    expect(build.counts.runs).toBe(runs + 1);
    build(anchor, 1999);
    expect(build.counts.runs).toBe(runs + 1);
  });
});
