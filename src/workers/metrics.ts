// Metrics of workers on the page of the process: what they count is sent on now and then, and before each page.
// In: what the parts of a worker count (ForwardingMeter); batches of it (Absorbed). Out: sums in one Meter. What a worker
// counted stays when it ends; what it measured goes.

import type { Counter, Gauge, Histogram, Meter } from '../lib/ports.ts';

type Labels = Readonly<Record<string, string>>;

/** A metric's make, with what was counted since the last batch. */
interface Counted<T> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly buckets: readonly number[];
  readonly series: readonly (readonly [Labels, T])[];
}

export interface MetricsBatch {
  readonly counters: readonly Counted<number>[];
  readonly gauges: readonly Counted<number>[];
  /** All that was observed, one by one. */
  readonly histograms: readonly Counted<readonly number[]>[];
}

interface Counting<T> extends Omit<Counted<T>, 'series'> {
  readonly series: Map<string, [Labels, T]>;
}

const NO_LABELS: Labels = {};

/** Gauges of which the largest counts, and not the sum. */
const LARGEST: ReadonlySet<string> = new Set(['pilot_xds_recv_max']);

export class ForwardingMeter implements Meter {
  readonly #counters = new Map<string, Counting<number>>();
  readonly #gauges = new Map<string, Counting<number>>();
  readonly #histograms = new Map<string, Counting<number[]>>();
  /** Observations that wait. */
  #observed = 0;

  get observed(): number {
    return this.#observed;
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    const metric = made(this.#counters, { name, help, labelNames, buckets: [] });
    return {
      inc: (labels = NO_LABELS, by = 1) => {
        const series = seriesOf(metric, labels, () => 0);
        series[1] += by;
      },
    };
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    const metric = made(this.#gauges, { name, help, labelNames, buckets: [] });
    return {
      set: (value, labels = NO_LABELS) => {
        seriesOf(metric, labels, () => 0)[1] = value;
      },
    };
  }

  histogram(name: string, help: string, buckets: readonly number[], labelNames: readonly string[] = []): Histogram {
    const metric = made(this.#histograms, { name, help, labelNames, buckets });
    return {
      observe: (value, labels = NO_LABELS) => {
        this.#observed++;
        seriesOf(metric, labels, (): number[] => [])[1].push(value);
      },
    };
  }

  /** What was counted since the last time; gauges as they are. */
  take(): MetricsBatch {
    this.#observed = 0;
    return {
      counters: taken(this.#counters, (series) => {
        const [labels, value] = series;
        series[1] = 0;
        return [labels, value];
      }),
      gauges: taken(this.#gauges, ([labels, value]) => [labels, value]),
      histograms: taken(this.#histograms, (series) => {
        const [labels, values] = series;
        series[1] = [];
        return [labels, values];
      }),
    };
  }
}

function made<T>(all: Map<string, Counting<T>>, make: Omit<Counted<T>, 'series'>): Counting<T> {
  let metric = all.get(make.name);
  if (metric === undefined) {
    metric = { ...make, series: new Map() };
    all.set(make.name, metric);
  }
  return metric;
}

function seriesOf<T>({ labelNames, series }: Counting<T>, labels: Labels, first: () => T): [Labels, T] {
  const key = labelNames.length === 1 ? (labels[labelNames[0] as string] ?? '') : keyOf(labelNames, labels);
  let found = series.get(key);
  if (found === undefined) {
    found = [labels, first()];
    series.set(key, found);
  }
  return found;
}

function keyOf(labelNames: readonly string[], labels: Labels): string {
  return labelNames.map((name) => labels[name] ?? '').join('\0');
}

function taken<T>(
  all: ReadonlyMap<string, Counting<T>>,
  take: (series: [Labels, T]) => readonly [Labels, T],
): readonly Counted<T>[] {
  return [...all.values()].map(({ series, ...make }) => ({ ...make, series: [...series.values()].map(take) }));
}

/** What workers have sent of themselves, in one meter. */
export class Absorbed {
  readonly #meter: Meter;
  /** By gauge and labels, what each worker measures. */
  readonly #gauges = new Map<
    string,
    { readonly make: Counted<number>; readonly labels: Labels; readonly of: Map<number, number> }
  >();

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  take(worker: number, { counters, gauges, histograms }: MetricsBatch): void {
    for (const { name, help, labelNames, series } of counters) {
      const counter = this.#meter.counter(name, help, labelNames);
      for (const [labels, by] of series) counter.inc(labelNames.length === 0 ? undefined : labels, by);
      // A counter of which nothing was counted yet is on the page all the same.
      if (series.length === 0 && labelNames.length === 0) counter.inc(undefined, 0);
    }
    for (const make of gauges) for (const [labels, value] of make.series) this.#measure(worker, make, labels, value);
    for (const { name, help, buckets, labelNames, series } of histograms) {
      const histogram = this.#meter.histogram(name, help, buckets, labelNames);
      for (const [labels, values] of series)
        for (const value of values) histogram.observe(value, labelNames.length === 0 ? undefined : labels);
    }
  }

  /** The worker has ended. */
  forget(worker: number): void {
    for (const gauge of this.#gauges.values()) if (gauge.of.delete(worker)) this.#show(gauge);
  }

  #measure(worker: number, make: Counted<number>, labels: Labels, value: number): void {
    const key = `${make.name}\0${keyOf(make.labelNames, labels)}`;
    let gauge = this.#gauges.get(key);
    if (gauge === undefined) {
      gauge = { make, labels, of: new Map() };
      this.#gauges.set(key, gauge);
    }
    gauge.of.set(worker, value);
    this.#show(gauge);
  }

  #show({
    make,
    labels,
    of,
  }: {
    readonly make: Counted<number>;
    readonly labels: Labels;
    readonly of: ReadonlyMap<number, number>;
  }): void {
    const values = [...of.values()];
    const value = LARGEST.has(make.name) ? Math.max(0, ...values) : values.reduce((sum, one) => sum + one, 0);
    const gauge = this.#meter.gauge(make.name, make.help, make.labelNames);
    gauge.set(value, make.labelNames.length === 0 ? undefined : labels);
  }
}
