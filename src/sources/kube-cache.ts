// A few objects of a cluster, kept as they are: those that the control plane minds for itself (namespaces, webhooks, its own
// ConfigMaps). In: where to look. Out: the raw objects by `namespace/name`, and a call after each change.
// Called by kube-scope-watch.ts, kube-mesh.ts and the controllers.

import type { Log, Timers } from '../lib/ports.ts';
import type { KubeApi } from './kube-api.ts';
import { textOf } from './kube-discovery.ts';
import { ListWatch, type RawObject, type WatchEvent } from './kube-list-watch.ts';

export interface KubeCacheOptions {
  readonly api: KubeApi;
  readonly log: Log;
  readonly timers: Timers;
  readonly random?: (() => number) | undefined;
  readonly apiVersion: string;
  /** Of the collection: `/api/v1/namespaces`. */
  readonly path: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** What is kept of an object; all of it by default. */
  readonly keep?: ((raw: RawObject) => RawObject) | undefined;
  /** Keys whose objects came, changed or went. */
  readonly onChange: (keys: ReadonlySet<string>) => void;
}

export class KubeCache {
  readonly objects = new Map<string, RawObject>();
  readonly #options: KubeCacheOptions;
  readonly #watch: ListWatch;
  readonly #synced: Promise<void>;
  #markSynced: () => void = () => undefined;
  #listing: Map<string, RawObject> | undefined;

  constructor(options: KubeCacheOptions) {
    this.#options = options;
    this.#synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
    const { api, log, timers, random = Math.random, apiVersion, path, labelSelector, fieldSelector } = options;
    this.#watch = new ListWatch({
      api,
      what: path,
      discover: async () => ({ apiVersion, path }),
      sink: {
        begin: () => {
          this.#listing = new Map();
        },
        page: (items) => {
          for (const item of items) this.#listing?.set(keyOf(item), this.#kept(item));
        },
        end: () => this.#replace(),
        events: (events) => this.#apply(events),
        absent: () => undefined,
        refused: (message) => log.warn({ path, error: message }, 'the API server refuses a list or a watch'),
      },
      log,
      timers,
      random,
      labelSelector,
      fieldSelector,
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  /** Resolves after the first complete list. */
  synced(): Promise<void> {
    return this.#synced;
  }

  #kept(raw: RawObject): RawObject {
    return this.#options.keep?.(raw) ?? raw;
  }

  #replace(): void {
    const listing = this.#listing ?? new Map<string, RawObject>();
    this.#listing = undefined;
    const changed = new Set<string>();
    for (const key of this.objects.keys()) {
      if (listing.has(key)) continue;
      this.objects.delete(key);
      changed.add(key);
    }
    for (const [key, object] of listing) {
      if (versionOf(this.objects.get(key)) === versionOf(object) && versionOf(object) !== '') continue;
      this.objects.set(key, object);
      changed.add(key);
    }
    this.#markSynced();
    this.#options.onChange(changed);
  }

  #apply(events: readonly WatchEvent[]): void {
    const changed = new Set<string>();
    for (const { type, object } of events) {
      const key = keyOf(object);
      if (type === 'DELETED') this.objects.delete(key);
      else this.objects.set(key, this.#kept(object));
      changed.add(key);
    }
    this.#options.onChange(changed);
  }
}

function keyOf(raw: RawObject): string {
  return `${textOf(raw['metadata'], 'namespace')}/${textOf(raw['metadata'], 'name')}`;
}

function versionOf(raw: RawObject | undefined): string {
  return textOf(raw?.['metadata'], 'resourceVersion');
}

export function labelsOf(raw: RawObject | undefined): Readonly<Record<string, string>> {
  const metadata = raw?.['metadata'] as { readonly labels?: Readonly<Record<string, string>> } | undefined;
  return metadata?.labels ?? {};
}
