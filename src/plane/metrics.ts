// The plane's metrics, by istiod's names where one exists.

import type { Snapshot } from '../ir/snapshot.ts';
import type { Counter, Meter } from '../lib/ports.ts';

export interface PlaneMetrics {
  readonly failures: Counter;
  readonly links: Counter;
  readonly relinks: Counter;
  readonly scopes: Counter;
  connected(count: number): void;
  settled(seconds: number): void;
  snapshot(snapshot: Snapshot): void;
}

const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 10, 30];

export function planeMetrics(meter: Meter): PlaneMetrics {
  const connected = meter.gauge('pilot_xds', 'Proxies connected over xDS.');
  const settle = meter.histogram(
    'meltemi_settle_seconds',
    'Time from a change being acted on to all views being up to date.',
    SECONDS,
  );
  const init = meter.counter('meltemi_snapshots_total', 'Snapshots built.');
  const services = meter.gauge('pilot_services', 'Services known.');
  const routes = meter.gauge('pilot_virt_services', 'VirtualServices known.');
  return {
    failures: meter.counter(
      'pilot_total_xds_internal_errors',
      'Translations that failed; the views of before were kept.',
      ['class'],
    ),
    links: meter.counter('meltemi_links_total', 'Classes and proxies for which linking came out differently.'),
    relinks: meter.counter('meltemi_relinks_total', 'Proxies looked at one by one, since a change might concern them.'),
    scopes: meter.counter(
      'meltemi_scopes_total',
      'What classes see, made or compared with all that it is made of, since a change might concern them.',
    ),
    connected: (count) => connected.set(count),
    settled: (seconds) => settle.observe(seconds),
    snapshot: (snapshot) => {
      init.inc();
      services.set(snapshot.services.size);
      routes.set(snapshot.counts.VirtualService ?? 0);
    },
  };
}
