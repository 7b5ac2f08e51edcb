// How late the event loop of a process comes round, as a metric. In: a Meter, when it is asked for. Called once per process.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Meter } from '../lib/ports.ts';

/** Of the event loop's delay since the page before. */
const QUANTILES = [0.5, 0.9, 0.99, 1] as const;

/** How often the delay is looked at, ms: shorter ones are within it. */
const RESOLUTION = 20;

export interface LoopWatch {
  /** Brings the metric up to date; the next one is of what comes after. */
  refresh(): void;
  stop(): void;
}

/** `labels`: of a worker. */
export function watchLoop(meter: Meter, { worker = '' }: { readonly worker?: string } = {}): LoopWatch {
  const delay = meter.gauge(
    worker === '' ? 'meltemi_event_loop_delay_seconds' : 'meltemi_worker_event_loop_delay_seconds',
    'How much later than due the event loop came round, since the page of metrics before.',
    worker === '' ? ['quantile'] : ['quantile', 'worker'],
  );
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION });
  histogram.enable();
  return {
    refresh: () => {
      for (const quantile of QUANTILES) {
        const late = histogram.count === 0 ? 0 : histogram.percentile(quantile * 100) / 1e9 - RESOLUTION / 1000;
        const labels = { quantile: String(quantile) };
        delay.set(Math.max(0, late), worker === '' ? labels : { ...labels, worker });
      }
      histogram.reset();
    },
    stop: () => histogram.disable(),
  };
}
