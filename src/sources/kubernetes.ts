// A Kubernetes API server as a source of objects: one reflector for each kind, all running side by side.
// In: a kubeconfig, or the cluster that the process runs in. Out: batches of events to the store's sink; synced once
// every kind has been listed or found absent. Called by server.ts.

import { setMaxListeners } from 'node:events';
import { isCustom, type KindInfo, KINDS } from '../config/kinds.ts';
import type { Kind } from '../config/object.ts';
import type { LabelSelector } from '../lib/label-selector.ts';
import type { Log, Meter, Timers } from '../lib/ports.ts';
import { kubeAccess } from './kube-access.ts';
import { kubeApi, type KubeApi } from './kube-api.ts';
import { DefinitionWatch } from './kube-definitions.ts';
import { type Discovery, shared } from './kube-discovery.ts';
import { Outage } from './kube-outage.ts';
import { Reflector, type ScopeChange } from './kube-reflector.ts';
import type { Owner } from './kube-scope.ts';
import { ScopeWatch } from './kube-scope-watch.ts';
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
  /** Without it every object is served. */
  readonly scope?: ScopeSettings | undefined;
}

/** Which control plane this is, and what it leaves out. */
export interface ScopeSettings {
  /** Empty for the unnamed one. */
  readonly revision: string;
  readonly systemNamespace: string;
  readonly rootNamespace: string;
  readonly selectors: readonly LabelSelector[];
}

export interface KubernetesSource extends Source {
  /** The mesh configuration has changed: other namespaces may be selected. */
  select(selectors: readonly LabelSelector[], rootNamespace: string): void;
  /** True for namespaces in which this control plane has any business. */
  selected(namespace: string): boolean;
  /** Who answers for an object of configuration, and writes its status. */
  ownerOf(namespace: string, labels: Readonly<Record<string, string>>): Owner['kind'];
  /** Hears whenever `selected` may answer differently; the result ends it. */
  onSelection(listener: () => void): () => void;
}

export function kubernetesSource(options: KubernetesSourceOptions): KubernetesSource {
  const stop = new AbortController();
  // Each kind and each watch waits for it.
  setMaxListeners(0, stop.signal);
  const listeners = new Set<() => void>();
  let scope: ScopeWatch | undefined;
  let running: Promise<unknown> = Promise.resolve();
  return {
    name: options.name ?? 'kubernetes',
    start: async (sink) => {
      const api = options.api ?? kubeApi(await kubeAccess(options.kubeconfig));
      let reflectors: readonly Reflector[] = [];
      scope = scopeOf(options, api, (change) => {
        for (const reflector of reflectors) reflector.refresh(change);
        if (change.selection.size > 0) for (const listener of listeners) listener();
      });
      const definitions = definitionsOf(options, api, (names) => {
        for (const reflector of reflectors) if (names.has(reflector.definition)) reflector.redefined();
      });
      const read = async (): Promise<void> => {
        await Promise.all([scope?.synced(), definitions?.settled()]);
        reflectors = reflectorsOf(options, api, sink, { scope, definitions, discovery: shared(api, stop.signal) });
        await Promise.all(reflectors.map((reflector) => reflector.run(stop.signal)));
      };
      running = Promise.all([
        scope?.run(stop.signal),
        definitions?.run(stop.signal),
        Promise.race([read(), aborted(stop)]),
      ]);
    },
    stop: async () => {
      stop.abort();
      await running;
    },
    select: (selectors, rootNamespace) => scope?.select(selectors, rootNamespace),
    selected: (namespace) => scope?.selected(namespace) ?? true,
    ownerOf: (namespace, labels) => scope?.ownerOf(namespace, labels).kind ?? 'own',
    onSelection: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function aborted(stop: AbortController): Promise<void> {
  return new Promise((resolve) => stop.signal.addEventListener('abort', () => resolve(), { once: true }));
}

function scopeOf(
  { scope, log, timers, random }: KubernetesSourceOptions,
  api: KubeApi,
  onChange: (change: ScopeChange) => void,
): ScopeWatch | undefined {
  return scope === undefined ? undefined : new ScopeWatch({ ...scope, api, log, timers, random, onChange });
}

/** Undefined where no kind is read that needs a definition. */
function definitionsOf(
  options: KubernetesSourceOptions,
  api: KubeApi,
  onChange: (names: ReadonlySet<string>) => void,
): DefinitionWatch | undefined {
  const { log, timers, random = Math.random, pollAbsentMs } = options;
  if (!kindsOf(options).some(isCustom)) return undefined;
  return new DefinitionWatch({ api, log, timers, random, pollAbsentMs, onChange });
}

function kindsOf({ kinds }: KubernetesSourceOptions): readonly KindInfo[] {
  return KINDS.filter((info) => kinds?.includes(info.kind) ?? true);
}

interface Watches {
  readonly scope: ScopeWatch | undefined;
  readonly definitions: DefinitionWatch | undefined;
  readonly discovery: Discovery;
}

function reflectorsOf(
  options: KubernetesSourceOptions,
  api: KubeApi,
  sink: SourceSink,
  { scope, definitions, discovery }: Watches,
): readonly Reflector[] {
  const { meter } = options;
  const kinds = kindsOf(options);
  const events = meter.counter('meltemi_kube_events_total', 'Watch events received, by kind and type.', [
    'kind',
    'type',
  ]);
  const lists = meter.counter('meltemi_kube_lists_total', 'Complete lists read, by kind.', ['kind']);
  const unowned = meter.gauge(
    'meltemi_unowned_config_objects',
    'Objects of configuration that no installed revision owns, by kind.',
    ['kind'],
  );
  const outage = new Outage();
  let waiting = kinds.length;
  if (waiting === 0) sink.synced();
  return kinds.map(
    (info) =>
      new Reflector({
        api,
        discovery,
        info,
        clusterId: options.clusterId ?? 'Kubernetes',
        log: options.log,
        timers: options.timers,
        random: options.random ?? Math.random,
        namespace: options.namespace,
        scope,
        defined: (each) => !isCustom(each) || definitions?.defined(each) !== false,
        systemNamespace: options.scope?.systemNamespace,
        pageSize: options.pageSize,
        pollAbsentMs: options.pollAbsentMs,
        outage,
        events,
        lists,
        unowned,
        emit: (batch) => sink.apply(batch),
        onListed: () => {
          if (--waiting === 0) sink.synced();
        },
      }),
  );
}
