// How much may be on its way: no more than the limit, and less in the beginning.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Gate, PATIENCE_MS, type Waiter } from '../../src/xds/gate.ts';
import { ManualTimers, Metrics } from './support.ts';

/** A gate before which everybody waits who may not pass at once; each takes one unit with it. */
class Bench {
  readonly timers = new ManualTimers();
  readonly gate: Gate;
  readonly under: (() => void)[] = [];
  most = 0;

  constructor(limit: number, start?: number) {
    const waiting = new Metrics().gauge('waiting');
    this.gate = new Gate({ timers: this.timers, limit, start, maxWait: 60_000, waiting });
  }

  come(count: number): this {
    for (let i = 0; i < count; i++) {
      const waiter: Waiter = { proceed: () => this.#pass(waiter) };
      this.#pass(waiter);
    }
    return this;
  }

  #pass(waiter: Waiter): void {
    if (!this.gate.may(waiter)) return;
    this.under.push(this.gate.hold(1));
    this.most = Math.max(this.most, this.gate.bytes);
    this.gate.done(waiter);
  }

  /** All that are on their way arrive; says how many there were. */
  arrive(): number {
    const arrived = this.under.splice(0);
    for (const release of arrived) release();
    return arrived.length;
  }
}

describe('what is on its way', () => {
  it('is as much as the limit says', () => {
    const bench = new Bench(8).come(20);
    expect([bench.arrive(), bench.arrive(), bench.arrive()]).toEqual([8, 8, 4]);
  });

  it('is little in the beginning, and twice as much each time around', () => {
    const bench = new Bench(16, 2).come(60);
    expect([1, 2, 3, 4, 5, 6].map(() => bench.arrive())).toEqual([2, 4, 8, 16, 16, 14]);
  });

  it('is little again after all has arrived', () => {
    const bench = new Bench(16, 2).come(60);
    while (bench.arrive() > 0);
    expect(bench.come(5).arrive()).toBe(2);
  });

  it('does not grow by what nobody answers', () => {
    const bench = new Bench(16, 2).come(60);
    bench.under.length = 0;
    bench.timers.advance(PATIENCE_MS);
    expect(bench.under).toHaveLength(2);
  });

  it('has no limit where none is set', () => {
    expect(new Bench(0, 0).come(50).under).toHaveLength(50);
  });

  it('is never more than the limit, and everybody passes in the end', () => {
    const step = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant('arrive' as const));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), fc.array(step), (a, b, steps) => {
        const bench = new Bench(Math.max(a, b), Math.min(a, b));
        let [come, gone] = [0, 0];
        for (const each of steps) {
          if (each === 'arrive') gone += bench.arrive();
          else {
            bench.come(each);
            come += each;
          }
        }
        for (let arrived = bench.arrive(); arrived > 0; arrived = bench.arrive()) gone += arrived;
        expect(bench.most).toBeLessThanOrEqual(Math.max(a, b));
        expect(gone).toBe(come);
      }),
    );
  });
});
