// When changes are acted on: alone at once, together once they fall quiet, and a churn for no more than a part of the time.

import { describe, expect, it } from 'vitest';
import { type Act, type Debounce, debounce } from '../../src/plane/debounce.ts';

/** A debounce of 20 and (without a pace of its own) 500 ms on a clock of its own; `took`: how long an act goes on, undefined where it sets off nothing. */
class Bench {
  now = 0;
  readonly acts: number[] = [];
  took: number | undefined = 0;
  /** How long an act takes before it has set off anything. */
  settling = 0;
  /** What comes during the next act. */
  meanwhile: (() => void) | undefined;
  #timers: { readonly at: number; readonly fn: () => void }[] = [];
  readonly debounce: Debounce;

  constructor(pace: { readonly max: number; readonly restPerPush?: number } = { max: 500 }) {
    const clock = { now: () => this.now };
    this.debounce = debounce({ quiet: 20, ...pace, clock, timers: this }, () => this.#act());
  }

  async #act(): Promise<Act | undefined> {
    this.acts.push(this.now);
    this.meanwhile?.();
    this.meanwhile = undefined;
    const { took, settling } = this;
    if (settling > 0) await new Promise<void>((resolve) => this.setTimeout(resolve, settling));
    if (took === undefined) return undefined;
    return { done: new Promise<void>((resolve) => this.setTimeout(resolve, took)) };
  }

  setTimeout(fn: () => void, ms: number): () => void {
    const timer = { at: this.now + ms, fn };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** To each act from the one before, to the first from the beginning. */
  get gaps(): readonly number[] {
    return this.acts.map((at, i) => at - (this.acts[i - 1] ?? 0));
  }

  async until(end: number): Promise<void> {
    for (; this.now <= end; this.now++) {
      const due = this.#timers.filter(({ at }) => at <= this.now);
      this.#timers = this.#timers.filter(({ at }) => at > this.now);
      for (const { fn } of due) fn();
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  }

  async churn(end: number, every: number): Promise<void> {
    for (let at = this.now; at <= end; at += every) {
      this.debounce.signal();
      await this.until(at + every - 1);
    }
  }
}

describe('changes', () => {
  it('leave at once when nothing was done just before', async () => {
    const bench = new Bench();
    bench.debounce.signal();
    await bench.until(100);
    bench.debounce.signal();
    await bench.until(200);
    expect(bench.acts).toEqual([0, 101]);
  });

  it('are gathered while they follow each other closely', async () => {
    const bench = new Bench();
    bench.debounce.signal();
    await bench.until(5);
    await bench.churn(60, 10);
    await bench.until(200);
    expect(bench.acts).toHaveLength(2);
  });

  it('that never rest are acted on all the same, in time', async () => {
    const bench = new Bench();
    await bench.churn(3_000, 7);
    expect(bench.acts.length).toBeGreaterThanOrEqual(6);
    expect(Math.max(...bench.gaps)).toBeLessThanOrEqual(510);
  });

  it('that set off nothing do not keep waiting what follows them', async () => {
    const bench = new Bench();
    bench.took = undefined;
    bench.debounce.signal();
    await bench.until(2);
    bench.took = 0;
    bench.debounce.signal();
    await bench.until(4);
    expect(bench.acts).toEqual([0, 3]);
  });

  it.each([
    ['as long as acting on those before took', 120, 200],
    ['twice as long when they came meanwhile', 1, 300],
  ])('wait %s', async (_, cameAt, actedAt) => {
    const bench = new Bench();
    bench.took = 100;
    bench.debounce.signal();
    await bench.until(cameAt);
    bench.debounce.signal();
    await bench.until(500);
    expect(bench.acts).toEqual([0, actedAt]);
  });

  it('take a third of the time when they go on', async () => {
    const bench = new Bench();
    bench.took = 80;
    await bench.churn(2_400, 30);
    const gaps = bench.gaps.slice(1);
    expect(gaps.length).toBeGreaterThanOrEqual(9);
    expect(Math.min(...gaps)).toBe(240);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(260);
  });

  it.each([
    ['during acts', 30],
    ['between them', 55],
  ])('take as small a part as is asked for, whether they come %s', async (_, every) => {
    const bench = new Bench({ max: 2_000, restPerPush: 15 });
    bench.took = 50;
    await bench.churn(6_000, every);
    const gaps = bench.gaps.slice(1);
    expect(gaps.length).toBeGreaterThanOrEqual(6);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(850);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(930);
  });

  it('do not wait for longer because they took long to translate: few are told', async () => {
    const bench = new Bench({ max: 2_000, restPerPush: 15 });
    bench.settling = 100;
    bench.took = 2;
    bench.debounce.signal();
    await bench.until(110);
    bench.debounce.signal();
    await bench.until(600);
    expect(bench.acts).toEqual([0, 234]);
  });

  it('wait no longer than the limit, however long that goes on', async () => {
    const bench = new Bench();
    bench.took = 10_000;
    await bench.churn(3_000, 50);
    expect(bench.acts).toHaveLength(7);
    expect(Math.max(...bench.gaps)).toBeLessThanOrEqual(520);
  });

  it('that are partial wait for the rest, which leaves at once', async () => {
    const bench = new Bench();
    bench.debounce.signal(true);
    await bench.until(4);
    bench.debounce.signal(true);
    await bench.until(9);
    bench.debounce.signal();
    await bench.until(200);
    expect(bench.acts).toEqual([10]);
  });

  it('that complete what came just after others were acted on leave at once, too', async () => {
    const bench = new Bench();
    bench.debounce.signal();
    await bench.until(14);
    bench.debounce.signal(true);
    await bench.until(29);
    bench.debounce.signal();
    await bench.until(200);
    expect(bench.acts).toEqual([0, 30]);
  });

  it('that stay partial are acted on when it is quiet', async () => {
    const bench = new Bench();
    bench.debounce.signal(true);
    await bench.until(200);
    expect(bench.acts).toEqual([20]);
  });

  it('that were partial and come in a burst are gathered as ever', async () => {
    const bench = new Bench();
    bench.debounce.signal();
    await bench.until(4);
    bench.debounce.signal(true);
    await bench.until(9);
    bench.debounce.signal();
    await bench.until(200);
    expect(bench.acts).toEqual([0, 30]);
  });

  it('that are partial wait for the rest also behind what sets off nothing', async () => {
    const bench = new Bench();
    bench.took = undefined;
    bench.meanwhile = () => bench.debounce.signal(true);
    bench.debounce.signal();
    await bench.until(9);
    bench.debounce.signal();
    await bench.until(200);
    expect(bench.acts).toEqual([0, 10]);
  });

  it('are not acted on after the end', async () => {
    const bench = new Bench();
    bench.debounce.signal();
    bench.debounce.stop();
    await bench.until(100);
    expect(bench.acts).toEqual([]);
  });
});
