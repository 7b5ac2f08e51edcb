// What the engine counts for itself, on the page of metrics: work done and saved, and how long the event loop was held.
// Called once per server; whatever is cheaper to read than to keep is read when a page is asked for.

import type { MemoCounts } from '../lib/memo.ts';
import { ENCODED } from '../resources/resource.ts';
import type { MetricsRoot } from '../telemetry/metrics.ts';
import { RENDER_COUNTS } from '../translate/counts.ts';
import { watchLoop } from './event-loop.ts';

export function engineMetrics(metrics: MetricsRoot): { stop(): void } {
  metrics.ofProcess();
  countRenders(metrics);
  countEncoded(metrics);
  const loop = watchLoop(metrics.meter);
  metrics.onScrape(() => loop.refresh());
  return loop;
}

/** Renderers count for themselves; a page takes over what was added since the last. */
function countRenders(metrics: MetricsRoot): void {
  const { meter } = metrics;
  const runs = meter.counter('meltemi_render_runs_total', 'Results rendered.', ['kind']);
  const hits = meter.counter('meltemi_render_hits_total', 'Results that were there already.', ['kind']);
  const seen = new Map<string, MemoCounts>();
  metrics.onScrape(() => {
    for (const [kind, counts] of Object.entries(RENDER_COUNTS)) {
      const before = seen.get(kind) ?? { runs: 0, hits: 0 };
      runs.inc({ kind }, counts.runs - before.runs);
      hits.inc({ kind }, counts.hits - before.hits);
      seen.set(kind, { ...counts });
    }
  });
}

function countEncoded(metrics: MetricsRoot): void {
  const { meter } = metrics;
  const resources = meter.counter('meltemi_resources_encoded_total', 'Resources encoded and hashed.');
  const bytes = meter.counter('meltemi_bytes_encoded_total', 'Bytes of resources encoded and hashed.');
  const seen = { resources: 0, bytes: 0 };
  metrics.onScrape(() => {
    resources.inc(undefined, ENCODED.resources - seen.resources);
    bytes.inc(undefined, ENCODED.bytes - seen.bytes);
    Object.assign(seen, ENCODED);
  });
}
