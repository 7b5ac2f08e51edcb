// A Kubernetes API server as a source of objects: one reflector for each kind, all running side by side.
// In: a kubeconfig, or the cluster that the process runs in. Out: batches of events to the store's sink; synced once
// every kind has been listed or found absent. Called by server.ts.

import { KINDS } from '../config/kinds.ts';
import type { Kind } from '../config/object.ts';
import type { Log, Meter, Timers } from '../lib/ports.ts';
import { kubeApi, type KubeApi, loadKubeconfig } from './kube-api.ts';
import { Reflector } from './kube-reflector.ts';
import type { Source, SourceSink } from './source.ts';

export interface KubernetesSourceOptions {
  /** Without it: the cluster that the process runs in. */
  readonly kubeconfig?: string | undefined;
  /** In place of a kubeconfig. */
  readonly api?: KubeApi | undefined;
  /** All by default. */
  readonly kinds?: readonly Kind[] | undefined;
  /** Only objects of this namespace. */
  readonly namespace?: string | undefined;
  /** The origin of objects. */
  readonly clusterId?: string | undefined;
  readonly name?: string | undefined;
  readonly log: Log;
  readonly meter: Meter;
  readonly timers: Timers;
  /** For jitter. */
  readonly random?: (() => number) | undefined;
  readonly pageSize?: number | undefined;
  /** How often a kind that the server lacks is looked for. */
  readonly pollAbsentMs?: number | undefined;
}

const PAGE_SIZE = 500;
const POLL_ABSENT_MS = 30_000;

export function kubernetesSource(options: KubernetesSourceOptions): Source {
  const name = options.name ?? 'kubernetes';
  const stops: AbortController[] = [];
  let running: Promise<unknown> = Promise.resolve();
  return {
    name,
    start: async (sink) => {
      const api = options.api ?? kubeApi(loadKubeconfig(options.kubeconfig));
      const reflectors = reflectorsOf(options, api, sink);
      running = Promise.all(
        reflectors.map((reflector) => {
          const stop = new AbortController();
          stops.push(stop);
          return reflector.run(stop.signal);
        }),
      );
    },
    stop: async () => {
      for (const stop of stops) stop.abort();
      await running;
    },
  };
}

function reflectorsOf(options: KubernetesSourceOptions, api: KubeApi, sink: SourceSink): readonly Reflector[] {
  const kinds = KINDS.filter((info) => options.kinds?.includes(info.kind) ?? true);
  const events = options.meter.counter('meltemi_kube_events_total', 'Watch events received, by kind and type.', [
    'kind',
    'type',
  ]);
  const lists = options.meter.counter('meltemi_kube_lists_total', 'Complete lists read, by kind.', ['kind']);
  let waiting = kinds.length;
  if (waiting === 0) sink.synced();
  return kinds.map(
    (info) =>
      new Reflector({
        api,
        info,
        clusterId: options.clusterId ?? 'Kubernetes',
        log: options.log,
        timers: options.timers,
        random: options.random ?? Math.random,
        namespace: options.namespace,
        pageSize: options.pageSize ?? PAGE_SIZE,
        pollAbsentMs: options.pollAbsentMs ?? POLL_ABSENT_MS,
        events,
        lists,
        emit: (batch) => sink.apply(batch),
        onListed: () => {
          if (--waiting === 0) sink.synced();
        },
      }),
  );
}
