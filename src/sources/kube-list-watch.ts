// One collection of one API server, followed: list, watch, and start over where that is needed.
// In: the API. Out: raw objects to a sink. Called by kube-reflector.ts for objects of the mesh, by kube-cache.ts for the few
// that the control plane minds for itself. Runs until aborted, never throws.
//
//   discover -> list (page by page) -> watch from the list's resourceVersion -> stream ends -> watch again from the last one
//      ^  404: the kind is gone           ^ 410: too old                          | network error: wait, then go on as before

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log, Timers } from '../lib/ports.ts';
import { type Decode, KubeError, type KubeReader } from './kube-api.ts';
import { isRecord, itemsOf, type Served, textOf } from './kube-discovery.ts';
import type { Outage } from './kube-outage.ts';
import { wait } from './wait.ts';

export type RawObject = Readonly<Record<string, unknown>>;

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: RawObject;
  /** As of a page. */
  readonly checked: boolean;
}

/** What becomes of what is read. Calls of one collection never overlap. */
export interface ListWatchSink {
  /** A list begins; pages follow. It may begin again before it has ended. */
  begin(): void;
  /** `checked`: they are what the list's decoder makes of typed fields. */
  page(items: readonly RawObject[], served: Served, checked: boolean): void;
  /** What the pages lacked is gone. */
  end(): void;
  /** They arrived together. */
  events(events: readonly WatchEvent[], served: Served): void;
  /** The server has no such kind at present. */
  absent(): void;
  /** The server refuses: not allowed, or not known. */
  refused(message: string): void;
}

export interface ListWatchOptions {
  readonly api: KubeReader;
  /** For log lines. */
  readonly what: string;
  /** Undefined while the server has no such kind. */
  readonly discover: (signal: AbortSignal) => Promise<Served | undefined>;
  readonly sink: ListWatchSink;
  readonly log: Log;
  readonly timers: Timers;
  readonly random: () => number;
  readonly fieldSelector?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly pageSize?: number | undefined;
  /** Read a page and an event in Kubernetes' own encoding, to the shape of the JSON with `checked: true`. */
  readonly decode?: { readonly list: Decode; readonly event: Decode } | undefined;
  /** Shared by all that follow the same server. */
  readonly outage?: Outage | undefined;
  /** How often a kind that the server lacks is looked for, in the end. */
  readonly pollAbsentMs?: number | undefined;
}

/** Backoff after a failure: doubled from the first to the second, each with jitter. */
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 10_000;
/** Servers end watches on their own; asking for different times spreads the renewals. */
const MIN_WATCH_SECONDS = 300;
/**
 * What a page of JSON is parsed into is soon garbage. Of smaller pages little lives long enough to be copied by the collector: a
 * tenth of the CPU and 30 MB less until 8,000 objects are read, compared with pages of 500. Decoded ones leave next to nothing.
 */
const PAGE_SIZE = 250;
const DECODED_PAGE_SIZE = 500;
const POLL_ABSENT_MS = 10_000;
/** Which version of a kind there is is looked at again after this, ms, while newer ones may come up: twice as late each time. */
const FIRST_LOOK_MS = 1_000;
const MAX_LOOKS = 5;

export class ListWatch {
  readonly #options: ListWatchOptions;
  #served: Served | undefined;
  #version: string | undefined;
  #failures = 0;
  /** In a row. */
  #absences = 0;
  /** Of versions, without an event in between. */
  #expiries = 0;
  #interrupt: AbortController | undefined;
  #looks = 0;
  #cancelLook: (() => void) | undefined;

  constructor(options: ListWatchOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#cancelLook?.(), { once: true });
    while (!signal.aborted) {
      const interrupt = new AbortController();
      this.#interrupt = interrupt;
      const stop = (): void => interrupt.abort();
      signal.addEventListener('abort', stop, { once: true });
      try {
        await this.#step(interrupt.signal);
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (!interrupt.signal.aborted) await this.#recover(error, interrupt.signal);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    }
  }

  /** Reads the whole collection once more, now. */
  relist(): void {
    this.#version = undefined;
    this.#interrupt?.abort();
  }

  /** The server may have the kind by now, or another version of it. */
  lookAgain(): void {
    this.#absences = this.#looks = 0;
    if (this.#served === undefined) this.#interrupt?.abort();
    else this.#lookLater();
  }

  /** What changes about a kind comes in several steps: one look when they may be over. */
  #lookLater(): void {
    const { timers, pollAbsentMs = POLL_ABSENT_MS } = this.#options;
    const pause = Math.min(FIRST_LOOK_MS * 2 ** this.#looks, pollAbsentMs);
    this.#cancelLook ??= timers.setTimeout(() => {
      this.#cancelLook = undefined;
      const signal = this.#interrupt?.signal;
      if (signal?.aborted === false) void this.#look(signal);
    }, pause);
  }

  /** Reads all of the kind again where the server has another version of it now. */
  async #look(signal: AbortSignal): Promise<void> {
    // Without an answer nothing is known: the watch itself will tell.
    const served = await this.#options.discover(signal).catch(() => undefined);
    if (signal.aborted || served === undefined) return;
    if (served.path !== this.#served?.path) {
      this.#served = served;
      this.relist();
    }
    if (served.provisional === true && ++this.#looks < MAX_LOOKS) this.#lookLater();
  }

  async #step(signal: AbortSignal): Promise<void> {
    const { discover, sink, random, pollAbsentMs = POLL_ABSENT_MS } = this.#options;
    if (this.#served === undefined) {
      this.#served = await discover(signal);
      if (this.#served === undefined) {
        sink.absent();
        this.#options.outage?.left(this);
        // A definition that was put just now takes a moment to be served.
        const pause = Math.min(FIRST_WAIT_MS * 2 ** this.#absences++, pollAbsentMs);
        return wait(this.#options.timers, pause * (0.75 + random() / 2), signal);
      }
      this.#absences = 0;
      if (this.#served.provisional === true) this.#lookLater();
    }
    if (this.#version === undefined) await this.#list(this.#served, signal);
    else await this.#watch(this.#served, this.#version, signal);
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { log, what, random, sink } = this.#options;
    const status = error instanceof KubeError ? error.status : 0;
    const message = error instanceof Error ? error.message : String(error);
    // Too old to go on from, as after an outage: list again, at once unless that happens in a row.
    if (status === 410) this.#version = undefined;
    if (status === 410 && this.#expiries++ === 0) return;
    if (status === 404) {
      this.#served = undefined;
      this.#version = undefined;
    }
    if (status === 401 || status === 403) sink.refused(message);
    this.#failures++;
    const pause = Math.min(FIRST_WAIT_MS * 2 ** (this.#failures - 1), MAX_WAIT_MS) * (0.5 + random() / 2);
    const level = status === 404 || this.#failures < 3 ? 'info' : 'warn';
    log[level]({ kind: what, status, error: message, retryInMs: Math.round(pause) }, 'list or watch failed');
    await this.#pause(pause, status === 0, signal);
  }

  async #pause(ms: number, unreached: boolean, signal: AbortSignal): Promise<void> {
    const { timers, outage } = this.#options;
    if (!unreached || outage === undefined) return wait(timers, ms, signal);
    const early = new AbortController();
    const end = (): void => early.abort();
    signal.addEventListener('abort', end, { once: true });
    const leave = outage.wait(this, end);
    await wait(timers, ms, early.signal);
    leave();
    signal.removeEventListener('abort', end);
  }

  async #list(served: Served, signal: AbortSignal): Promise<void> {
    const { api, sink, fieldSelector, labelSelector, decode } = this.#options;
    const { pageSize: limit = decode === undefined ? PAGE_SIZE : DECODED_PAGE_SIZE } = this.#options;
    sink.begin();
    const read = (token?: string): Promise<unknown> =>
      api.get(served.path, { limit, continue: token, fieldSelector, labelSelector }, signal, decode?.list);
    let version = '';
    for (let next: Promise<unknown> | undefined = read(); next !== undefined; ) {
      const page = await next;
      this.#options.outage?.answered(this);
      const metadata = isRecord(page) ? page['metadata'] : undefined;
      version = textOf(metadata, 'resourceVersion');
      const token = textOf(metadata, 'continue');
      next = token === '' ? undefined : read(token);
      // The server makes the next one while this one is taken in: one turn, in which it is asked. What came of it is seen above.
      next?.catch(() => undefined);
      if (next !== undefined) await nextTurn();
      sink.page(itemsOf(page, 'items').filter(isRecord), served, isRecord(page) && page['checked'] === true);
    }
    // Asked to read anew meanwhile: what was read may be from before.
    if (signal.aborted) return;
    this.#version = version;
    sink.end();
  }

  async #watch(served: Served, from: string, signal: AbortSignal): Promise<void> {
    const { api, random, fieldSelector, labelSelector, decode } = this.#options;
    const timeoutSeconds = Math.round(MIN_WATCH_SECONDS * (1 + random()));
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: from,
      timeoutSeconds,
      fieldSelector,
      labelSelector,
    };
    let heard = false;
    const ended = new AbortController();
    const stop = (): void => ended.abort();
    signal.addEventListener('abort', stop, { once: true });
    let failure: KubeError | undefined;
    try {
      const take = (values: readonly unknown[]): void => {
        // What still arrives after an interruption would bring back a version that was given up.
        if (ended.signal.aborted) return;
        heard = true;
        failure = this.#take(values, served);
        if (failure === undefined) this.#failures = this.#expiries = 0;
        else ended.abort();
      };
      const opened = (): void => this.#options.outage?.answered(this);
      await api.follow(served.path, query, ended.signal, take, opened, decode?.event);
    } catch (error) {
      if (failure === undefined) throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
    if (failure !== undefined) throw failure;
    // A server that ends every watch at once must not be asked in a loop.
    if (!heard) await wait(this.#options.timers, FIRST_WAIT_MS * (0.5 + random() / 2), signal);
  }

  /** The events that arrived together become one batch. */
  #take(values: readonly unknown[], served: Served): KubeError | undefined {
    const events: WatchEvent[] = [];
    let failure: KubeError | undefined;
    for (const value of values) {
      if (!isRecord(value)) continue;
      const type = textOf(value, 'type');
      const object = value['object'];
      if (type === 'ERROR') {
        const code = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 0;
        failure = new KubeError(code, textOf(object, 'message') || 'the watch failed');
        break;
      }
      if (!isRecord(object)) continue;
      const checked = value['checked'] === true;
      if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') events.push({ type, object, checked });
      const version = textOf(checked ? value : object['metadata'], 'resourceVersion');
      if (version !== '') this.#version = version;
    }
    if (events.length > 0) this.#options.sink.events(events, served);
    return failure;
  }
}
