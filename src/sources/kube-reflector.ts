// One kind of one API server: list, watch, and start over where that is needed.
// In: the API. Out: batches of events. Called by kubernetes.ts, one for each kind; runs until aborted, never throws.
//
//   discover -> list (pages of 500) -> watch from the list's resourceVersion -> stream ends -> watch again from the last one
//      ^  404: the kind is gone           ^ 410: too old                          | network error: wait, then go on as before

import type { KindInfo } from '../config/kinds.ts';
import { type Finding, type ObjectEvent, type ObjectRef, refKey } from '../config/object.ts';
import { type Parsed, parseKnown } from '../config/parse/index.ts';
import type { Counter, Log, Timers } from '../lib/ports.ts';
import { type KubeApi, KubeError } from './kube-api.ts';
import { discover, isRecord, itemsOf, type Served, textOf } from './kube-discovery.ts';

export interface ReflectorOptions {
  readonly api: KubeApi;
  readonly info: KindInfo;
  readonly clusterId: string;
  readonly log: Log;
  readonly timers: Timers;
  readonly random: () => number;
  /** Only objects of this namespace; all where it is undefined. */
  readonly namespace?: string | undefined;
  readonly pageSize: number;
  readonly pollAbsentMs: number;
  readonly events: Counter;
  readonly lists: Counter;
  readonly emit: (events: readonly ObjectEvent[]) => void;
  /** Everything that was there is handed over. Called once. */
  readonly onListed: () => void;
}

/** Backoff after a failure: doubled from the first to the second, each with jitter. */
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 30_000;
/** Servers end watches on their own; asking for different times spreads the renewals. */
const MIN_WATCH_SECONDS = 300;

/** Secrets that never hold a certificate for a proxy, and of which a cluster has many. */
const FIELD_SELECTORS: Readonly<Record<string, string>> = {
  Secret: 'type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token',
};

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #known = new Map<string, ObjectRef>();
  #served: Served | undefined;
  #version: string | undefined;
  #listed = false;
  #failures = 0;

  constructor(options: ReflectorOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#step(signal);
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error, signal);
      }
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#served === undefined) {
      this.#served = await discover(this.#options.api, this.#options.info, signal);
      if (this.#served === undefined) {
        this.#forget();
        return this.#wait(this.#options.pollAbsentMs * (0.75 + this.#options.random() / 2), signal);
      }
    }
    if (this.#version === undefined) await this.#list(this.#served, signal);
    else await this.#watch(this.#served, this.#version, signal);
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { log, info, random } = this.#options;
    const status = error instanceof KubeError ? error.status : 0;
    const message = error instanceof Error ? error.message : String(error);
    // Too old to go on from: list again, at once unless that happens in a row.
    if (status === 410) this.#version = undefined;
    if (status === 410 && this.#failures++ === 0) return;
    if (status === 404) {
      this.#served = undefined;
      this.#version = undefined;
    }
    if (status === 401 || status === 403) this.#tell(message);
    this.#failures++;
    const wait = Math.min(FIRST_WAIT_MS * 2 ** (this.#failures - 1), MAX_WAIT_MS) * (0.5 + random() / 2);
    const level = status === 404 || this.#failures < 3 ? 'info' : 'warn';
    log[level]({ kind: info.kind, status, error: message, retryInMs: Math.round(wait) }, 'list or watch failed');
    await this.#wait(wait, signal);
  }

  /** The kind does not exist now: neither do its objects. */
  #forget(): void {
    const events: ObjectEvent[] = [...this.#known.values()].map((ref) => ({ kind: 'delete', ref }));
    this.#known.clear();
    if (events.length > 0) this.#options.emit(events);
    this.#markListed();
  }

  #markListed(): void {
    if (this.#listed) return;
    this.#listed = true;
    this.#options.onListed();
  }

  #path(served: Served): string {
    const { namespace, info } = this.#options;
    if (namespace === undefined || !info.namespaced) return served.path;
    const slash = served.path.lastIndexOf('/');
    return `${served.path.slice(0, slash)}/namespaces/${namespace}${served.path.slice(slash)}`;
  }

  /** All pages become one batch: what they lack is gone. */
  async #list(served: Served, signal: AbortSignal): Promise<void> {
    const { api, info, pageSize, emit, lists } = this.#options;
    const events: ObjectEvent[] = [];
    const present = new Map<string, ObjectRef>();
    let token: string | undefined;
    let version = '';
    do {
      const query = { limit: pageSize, continue: token, fieldSelector: FIELD_SELECTORS[info.kind] };
      const page = await api.get(this.#path(served), query, signal);
      for (const item of itemsOf(page, 'items')) {
        const found = this.#read(item, served, events);
        if (found !== undefined) present.set(refKey(found), found);
      }
      const metadata = isRecord(page) ? page['metadata'] : undefined;
      version = textOf(metadata, 'resourceVersion');
      token = textOf(metadata, 'continue') || undefined;
    } while (token !== undefined);
    for (const [key, ref] of this.#known) if (!present.has(key)) events.push({ kind: 'delete', ref });
    this.#known.clear();
    for (const [key, ref] of present) this.#known.set(key, ref);
    lists.inc({ kind: info.kind });
    events.push({ kind: 'findings', scope: this.#scope(), findings: [] });
    emit(events);
    this.#version = version;
    this.#markListed();
  }

  async #watch(served: Served, from: string, signal: AbortSignal): Promise<void> {
    const { api, info, random } = this.#options;
    const timeoutSeconds = Math.round(MIN_WATCH_SECONDS * (1 + random()));
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: from,
      timeoutSeconds,
      fieldSelector: FIELD_SELECTORS[info.kind],
    };
    let heard = false;
    const ended = new AbortController();
    const stop = (): void => ended.abort();
    signal.addEventListener('abort', stop, { once: true });
    let failure: KubeError | undefined;
    try {
      await api.follow(this.#path(served), query, ended.signal, (values) => {
        heard = true;
        failure = this.#take(values, served);
        if (failure !== undefined) ended.abort();
        else this.#failures = 0;
      });
    } catch (error) {
      if (failure === undefined) throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
    if (failure !== undefined) throw failure;
    // A server that ends every watch at once must not be asked in a loop.
    if (!heard) await this.#wait(FIRST_WAIT_MS * (0.5 + random() / 2), signal);
  }

  /** The events that arrived together become one batch. */
  #take(values: readonly unknown[], served: Served): KubeError | undefined {
    const { info, emit, events: counter } = this.#options;
    const events: ObjectEvent[] = [];
    let failure: KubeError | undefined;
    for (const value of values) {
      if (!isRecord(value)) continue;
      const type = textOf(value, 'type');
      const item = value['object'];
      counter.inc({ kind: info.kind, type });
      if (type === 'ERROR') {
        const code = isRecord(item) && typeof item['code'] === 'number' ? item['code'] : 0;
        failure = new KubeError(code, textOf(item, 'message') || 'the watch failed');
        break;
      }
      if (type === 'ADDED' || type === 'MODIFIED') {
        const found = this.#read(item, served, events);
        if (found !== undefined) this.#known.set(refKey(found), found);
      } else if (type === 'DELETED') this.#deleted(item, events);
      const version = textOf(isRecord(item) ? item['metadata'] : undefined, 'resourceVersion');
      if (version !== '') this.#version = version;
    }
    if (events.length > 0) emit(events);
    return failure;
  }

  /** What the object is called, whether it is usable or not; undefined where that can't be told. */
  #read(item: unknown, served: Served, events: ObjectEvent[]): ObjectRef | undefined {
    if (!isRecord(item)) return undefined;
    const parsed: Parsed = parseKnown(item, served.apiVersion, this.#options.info, {
      unknownFields: 'warning',
      origin: this.#options.clusterId,
    });
    if (parsed.kind === 'object') {
      events.push({ kind: 'upsert', object: parsed.object, warnings: parsed.warnings });
      return { kind: parsed.object.kind, namespace: parsed.object.namespace, name: parsed.object.name };
    }
    if (parsed.kind !== 'invalid' || parsed.ref === undefined) return undefined;
    for (const finding of parsed.findings) events.push({ kind: 'invalid', ref: parsed.ref, finding });
    return parsed.ref;
  }

  #deleted(item: unknown, events: ObjectEvent[]): void {
    const metadata = isRecord(item) ? item['metadata'] : undefined;
    const namespace = this.#options.info.namespaced ? textOf(metadata, 'namespace') : '';
    const ref: ObjectRef = { kind: this.#options.info.kind, namespace, name: textOf(metadata, 'name') };
    if (this.#known.delete(refKey(ref))) events.push({ kind: 'delete', ref });
  }

  #scope(): string {
    return `${this.#options.clusterId}/${this.#options.info.plural}`;
  }

  #tell(message: string): void {
    const finding: Finding = {
      severity: 'error',
      code: 'MEL0040',
      origin: this.#options.clusterId,
      message: `${this.#options.info.plural}: ${message}`,
    };
    this.#options.emit([{ kind: 'findings', scope: this.#scope(), findings: [finding] }]);
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#options.timers.setTimeout(done, ms);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
