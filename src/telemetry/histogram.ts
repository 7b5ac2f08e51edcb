// Histograms that count as they go: what a registry of prom-client asks of a metric, without its work for each value.
// In: observed values. Out: what the page of metrics says of them, as prom-client would. Called by metrics.ts.

import type { Histogram } from '../lib/ports.ts';
import { type Labels, perLabels } from './per-labels.ts';

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds of buckets, ascending, without infinity. */
  readonly buckets: readonly number[];
  readonly labelNames: readonly string[];
}

const NO_LABELS: Labels = {};

export class CountingHistogram implements Histogram {
  readonly name: string;
  readonly #options: HistogramOptions;
  readonly #all: Series[] = [];
  readonly #find: (labels: Labels) => Series;

  constructor(options: HistogramOptions) {
    this.name = options.name;
    this.#options = options;
    this.#find = perLabels((labels) => {
      const series = new Series(labels, options.buckets);
      this.#all.push(series);
      return series;
    });
    // Where there is one series only, it is on the page from the start.
    if (options.labelNames.length === 0) this.#find(NO_LABELS);
  }

  observe(value: number, labels: Labels = NO_LABELS): void {
    this.#find(labels).observe(value);
  }

  /** Called by the registry; the fields are those of its own metrics. */
  get(): Promise<object> {
    const { name, help } = this.#options;
    const values = this.#all.flatMap((series) => series.lines(name));
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values });
  }
}

interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** What was observed for one set of labels. */
class Series {
  readonly #labels: Labels;
  readonly #bounds: readonly number[];
  /** For each bucket, those that no smaller one has; the last are above all bounds. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = [...bounds.map(() => 0), 0];
  }

  observe(value: number): void {
    if (Number.isNaN(value)) throw new TypeError('a histogram cannot observe NaN');
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at++;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  lines(name: string): Line[] {
    const labels = this.#labels;
    let count = 0;
    const buckets = this.#counts.map((own, at) => {
      count += own;
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[at] ?? '+Inf', ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
