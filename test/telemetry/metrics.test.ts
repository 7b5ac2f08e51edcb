// That metrics are counted right whoever passes which object of labels, and that asking often leaves nothing behind.

import { createRequire } from 'node:module';
import type PromClient from 'prom-client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const part = createRequire(import.meta.url);
const Counter = part('prom-client/lib/counter') as typeof PromClient.Counter;
const { Histogram, Registry } = part('prom-client') as typeof PromClient;

afterEach(() => {
  vi.restoreAllMocks();
});

describe('metrics', () => {
  it('find the series of labels that are written anew each time, and keep nothing for each time', async () => {
    const labels = vi.spyOn(Counter.prototype, 'labels');
    const metrics = createMetrics();
    const counter = metrics.meter.counter('streams', 'Streams.', ['mode']);
    for (let i = 0; i < 1000; i++) counter.inc({ mode: i % 4 === 0 ? 'sotw' : 'delta' });
    expect(labels).toHaveBeenCalledTimes(2);
    expect(await metrics.render()).toContain('streams{mode="delta"} 750');
    counter.inc({ mode: 'delta' }, 5);
    const page = await metrics.render();
    expect(page).toContain('streams{mode="delta"} 755');
    expect(page).toContain('streams{mode="sotw"} 250');
  });

  it('do not let a counter shrink', () => {
    const counter = createMetrics().meter.counter('bytes', 'Bytes.', ['type']);
    expect(() => counter.inc({ type: 'cds' }, -1)).toThrow('cannot grow by -1');
    expect(() => counter.inc({ type: 'cds' }, Number.NaN)).toThrow('cannot grow by NaN');
  });

  it('tell of the process by the names that dashboards know', async () => {
    const metrics = createMetrics();
    metrics.ofProcess();
    const page = await metrics.render();
    for (const name of ['process_resident_memory_bytes', 'process_cpu_seconds_total', 'process_start_time_seconds']) {
      expect(Number(new RegExp(`^${name} (\\S+)`, 'm').exec(page)?.[1])).toBeGreaterThan(0);
    }
  });

  it('observe by the same labels, too', async () => {
    const metrics = createMetrics();
    const histogram = metrics.meter.histogram('seconds', 'Seconds.', [1, 2], ['type']);
    for (let i = 0; i < 300; i++) histogram.observe(i % 3, { type: 'eds' });
    const page = await metrics.render();
    expect(page).toContain('seconds_bucket{le="1",type="eds"} 200');
    expect(page).toContain('seconds_count{type="eds"} 300');
  });

  it('write histograms as prom-client does', async () => {
    const registry = new Registry();
    const metrics = createMetrics();
    for (const labelNames of [[], ['type', 'mode']]) {
      const about = { name: `seconds_${labelNames.length}`, help: 'Seconds\\n.', labelNames };
      const theirs = new Histogram({ ...about, buckets: [0.5, 1, 10], registers: [registry] });
      const ours = metrics.meter.histogram(about.name, about.help, [0.5, 1, 10], about.labelNames);
      if (labelNames.length > 0)
        for (const [at, value] of [0.1, 0.5, 0.51, 3, 10, 11, -1].entries()) {
          const labels = { type: at % 2 === 0 ? 'eds' : 'a"b', mode: 'delta' };
          theirs.observe(labels, value);
          ours.observe(value, labels);
        }
    }
    expect(await metrics.render()).toBe(await registry.metrics());
    expect(() => metrics.meter.histogram('seconds_0', '', []).observe(Number.NaN)).toThrow('cannot observe NaN');
  });
});
