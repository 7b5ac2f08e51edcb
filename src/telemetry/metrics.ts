// Metrics by prom-client, behind the Meter port. Asking twice for one name gives the same metric.

import { createRequire } from 'node:module';
import type PromClient from 'prom-client';
import type { Meter } from '../lib/ports.ts';
import { CountingHistogram } from './histogram.ts';
import { perLabels } from './per-labels.ts';

// Part by part: its index brings a pusher, cluster support, tracing and process metrics along, which an agent would hold too.
const part = createRequire(import.meta.url);
const Counter = part('prom-client/lib/counter') as typeof PromClient.Counter;
const Gauge = part('prom-client/lib/gauge') as typeof PromClient.Gauge;
const Registry = part('prom-client/lib/registry') as typeof PromClient.Registry;

export interface MetricsRoot {
  readonly meter: Meter;
  /** The Prometheus text page. */
  render(): Promise<string>;
  readonly contentType: string;
  /** Called before each page, to refresh what is cheaper to read than to keep; the page waits for it. */
  onScrape(refresh: () => void | Promise<void>): void;
  /** Tells of this process as well: CPU, memory, descriptors, start, by the names that all Prometheus clients use. */
  ofProcess(): void;
}

/** What prom-client knows of processes, by its modules; lags, collections and handles are left out. */
const OF_PROCESS = [
  'osMemoryHeap',
  'processCpuTotal',
  'processStartTime',
  'processOpenFileDescriptors',
  'processMaxFileDescriptors',
  'heapSizeAndUsed',
  'version',
];

export function createMetrics(): MetricsRoot {
  const registry = new Registry();
  const refreshers: (() => void | Promise<void>)[] = [];
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
      return named(name, () => {
        const made = new CountingHistogram({ name, help, buckets, labelNames });
        registry.registerMetric(made as unknown as PromClient.Metric);
        return made;
      });
    },
  };
  return {
    meter,
    render: async () => {
      await Promise.all(refreshers.map(async (refresh) => refresh()));
      for (const sum of sums) sum.flush();
      return registry.metrics();
    },
    contentType: registry.contentType,
    onScrape: (refresh) => {
      refreshers.push(refresh);
    },
    ofProcess: () => {
      for (const module of OF_PROCESS) {
        (part(`prom-client/lib/metrics/${module}`) as (registry: PromClient.Registry) => void)(registry);
      }
    },
  };
}

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
