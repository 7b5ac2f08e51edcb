// Metrics by prom-client, behind the Meter port. Asking twice for one name gives the same metric.

import { createRequire } from 'node:module';
import type PromClient from 'prom-client';
import type { Meter } from '../lib/ports.ts';

// Part by part: its index brings a pusher, cluster support, tracing and process metrics along, which an agent would hold too.
const part = createRequire(import.meta.url);
const Counter = part('prom-client/lib/counter') as typeof PromClient.Counter;
const Gauge = part('prom-client/lib/gauge') as typeof PromClient.Gauge;
const Histogram = part('prom-client/lib/histogram') as typeof PromClient.Histogram;
const Registry = part('prom-client/lib/registry') as typeof PromClient.Registry;

export interface MetricsRoot {
  readonly meter: Meter;
  /** The Prometheus text page. */
  render(): Promise<string>;
  readonly contentType: string;
  /** Called before each page, to refresh what is cheaper to read than to keep; the page waits for it. */
  onScrape(refresh: () => void | Promise<void>): void;
}

export function createMetrics(): MetricsRoot {
  const registry = new Registry();
  const refreshers: (() => void | Promise<void>)[] = [];
  const waiting: Batch[] = [];
  const sums: Sum[] = [];
  const named = <T>(name: string, make: () => T): T => (registry.getSingleMetric(name) as T | undefined) ?? make();
  const meter: Meter = {
    counter: (name, help, labelNames = []) => {
      const metric = named(name, () => new Counter({ name, help, labelNames: [...labelNames], registers: [registry] }));
      const child = perLabels((labels) => {
        const series = metric.labels(labels);
        const sum = new Sum((by) => series.inc(by));
        sums.push(sum);
        return sum;
      });
      return { inc: (labels, by = 1) => (labels === undefined ? metric.inc(by) : child(labels).add(by)) };
    },
    gauge: (name, help, labelNames = []) => {
      const metric = named(name, () => new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] }));
      return { set: (value, labels) => (labels === undefined ? metric.set(value) : metric.set({ ...labels }, value)) };
    },
    histogram: (name, help, buckets, labelNames = []) => {
      const make = () =>
        new Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers: [registry] });
      const metric = named(name, make);
      const child = perLabels((labels) => {
        const series = metric.labels(labels);
        const hand = (values: readonly number[]): void => {
          for (const value of values) series.observe(value);
        };
        return new Batch(hand, waiting);
      });
      return {
        observe: (value, labels) => (labels === undefined ? metric.observe(value) : child(labels).add(value)),
      };
    },
  };
  return {
    meter,
    render: async () => {
      await Promise.all(refreshers.map(async (refresh) => refresh()));
      flushAll(waiting);
      for (const sum of sums) sum.flush();
      return registry.metrics();
    },
    contentType: registry.contentType,
    onScrape: (refresh) => {
      refreshers.push(refresh);
    },
  };
}

type Labels = Readonly<Record<string, string>>;

/** What a series has grown by since the last page. */
class Sum {
  readonly #hand: (by: number) => void;
  #by = 0;

  constructor(hand: (by: number) => void) {
    this.#hand = hand;
  }

  add(value: number): void {
    // As prom-client does; it would be noticed only at the next page.
    if (!(value >= 0)) throw new Error(`a counter cannot grow by ${value}`);
    this.#by += value;
  }

  flush(): void {
    const by = this.#by;
    this.#by = 0;
    if (by > 0) this.#hand(by);
  }
}

/** Values of a series that wait at most, and series that have some. */
const BATCH = 128;

/** Values for one series, handed over many at a time: one by one, amid other work, each costs several times as much. */
class Batch {
  readonly #hand: (values: readonly number[]) => void;
  /** All that have values. */
  readonly #waiting: Batch[];
  #values: number[] = [];

  constructor(hand: (values: readonly number[]) => void, waiting: Batch[]) {
    this.#hand = hand;
    this.#waiting = waiting;
  }

  add(value: number): void {
    const count = this.#values.push(value);
    if (count === 1 && this.#waiting.push(this) < BATCH) return;
    if (count === BATCH || this.#waiting.length >= BATCH) flushAll(this.#waiting);
  }

  flush(): void {
    const values = this.#values;
    this.#values = [];
    this.#hand(values);
  }
}

function flushAll(waiting: Batch[]): void {
  for (const batch of waiting.splice(0)) batch.flush();
}

/**
 * Who passes the same object of labels each time spares the search for its series. Others are told apart by what is in theirs:
 * there are as many as there are series, whoever asks how often.
 */
function perLabels<T>(find: (labels: Record<string, string>) => T): (labels: Labels) => T {
  const known = new WeakMap<Labels, T>();
  const byText = new Map<string, T>();
  return (labels) => {
    let child = known.get(labels);
    if (child === undefined) {
      const text = JSON.stringify(labels);
      child = byText.get(text) ?? find({ ...labels });
      byText.set(text, child);
      known.set(labels, child);
    }
    return child;
  };
}
