// Key sets of RequestAuthentications, fetched and kept fresh: data for snapshots, like objects.
// In: the sources that rules name now. Out: documents by URI, and a call after each change. Called by server/config.ts.
// Every URI has its own timer, so that one that hangs or fails costs nobody else; a set that was got stays in force until
// a newer one is there or no rule names it any more. Nothing waits for it: what isn't there yet is simply not in the map.

import { deepEqual } from '../lib/equal.ts';
import type { Log, Meter, Timers } from '../lib/ports.ts';
import { fetchKeys, type RemoteSource } from './jwks-fetch.ts';

export interface JwksOptions {
  readonly log: Log;
  readonly meter: Meter;
  readonly timers: Timers;
  /** Time between two fetches of a set, ms. */
  readonly refresh?: number | undefined;
  /** After a failure: the first wait, doubled up to the last, ms. */
  readonly retry?: { readonly first: number; readonly last: number } | undefined;
  /** Replaced in tests. */
  readonly fetch?: typeof fetchKeys | undefined;
  readonly onChange: () => void;
}

/** A source of keys, and the time that its rule allows one request, ms. */
export interface WantedKeys {
  readonly source: RemoteSource;
  readonly timeout: number;
}

export interface JwksResolver {
  /** The sets that rules name now; others are forgotten. */
  want(sources: readonly WantedKeys[]): void;
  /** The same map while nothing changed. */
  current(): ReadonlyMap<string, string>;
  /** Resolves when every wanted set was tried once, or after so many ms. */
  tried(within: number): Promise<void>;
  stop(): void;
}

const REFRESH_MS = 20 * 60_000;
const RETRY_MS = { first: 1000, last: 60_000 };

export function jwksResolver(options: JwksOptions): JwksResolver {
  const success = options.meter.counter('pilot_jwks_resolver_network_fetch_success_total', 'Key sets fetched.');
  const failure = options.meter.counter('pilot_jwks_resolver_network_fetch_fail_total', 'Key sets not fetched.');
  const followed = new Map<string, FollowedSet>();
  let documents: ReadonlyMap<string, string> = new Map();
  const publish = (): void => {
    const next = new Map(
      [...followed].flatMap(([uri, { document }]) => (document === undefined ? [] : [[uri, document]])),
    );
    if (deepEqual([...documents], [...next])) return;
    documents = next;
    options.onChange();
  };
  const done = (uri: string, error: Error | undefined): void => {
    if (error === undefined) success.inc();
    else {
      failure.inc();
      const kept = documents.has(uri) ? 'the keys of before stay' : 'its tokens are refused until it is';
      options.log.warn({ reason: error.message }, `a key set is not fetched, ${kept}`);
    }
    publish();
  };
  return {
    want: (sources) => {
      const wanted = new Map(sources.map((each) => [each.source.uri, each]));
      for (const [uri, set] of followed) {
        if (wanted.has(uri)) continue;
        set.stop();
        followed.delete(uri);
      }
      for (const [uri, each] of wanted) {
        const set = followed.get(uri);
        if (set === undefined) followed.set(uri, new FollowedSet(each, options, (error) => done(uri, error)));
        else set.timeout = each.timeout;
      }
      publish();
    },
    current: () => documents,
    tried: (within) =>
      new Promise((resolve) => {
        const cancel = options.timers.setTimeout(resolve, within);
        void Promise.all([...followed.values()].map((set) => set.first)).then(() => {
          cancel();
          resolve();
        });
      }),
    stop: () => {
      for (const set of followed.values()) set.stop();
      followed.clear();
    },
  };
}

/** One key set while a rule names it. */
class FollowedSet {
  document: string | undefined;
  timeout: number;
  /** Resolves after the first attempt, whatever became of it. */
  readonly first: Promise<void>;
  readonly #source: RemoteSource;
  readonly #options: JwksOptions;
  readonly #done: (error: Error | undefined) => void;
  readonly #abort = new AbortController();
  #cancel: (() => void) | undefined;
  #failures = 0;

  constructor({ source, timeout }: WantedKeys, options: JwksOptions, done: (error: Error | undefined) => void) {
    this.timeout = timeout;
    this.#source = source;
    this.#options = options;
    this.#done = done;
    this.first = this.#run();
  }

  stop(): void {
    this.#abort.abort();
    this.#cancel?.();
  }

  async #run(): Promise<void> {
    const { fetch = fetchKeys, refresh = REFRESH_MS, timers } = this.#options;
    let failed: Error | undefined;
    try {
      const document = await fetch(this.#source, this.timeout, this.#abort.signal);
      this.#failures = 0;
      if (!this.#abort.signal.aborted) this.document = document;
    } catch (error) {
      failed = error instanceof Error ? error : new Error('not fetched');
      this.#failures++;
    }
    if (this.#abort.signal.aborted) return;
    this.#done(failed);
    const wait = failed === undefined ? refresh : Math.min(this.#backoff(), refresh);
    this.#cancel = timers.setTimeout(() => void this.#run(), wait);
  }

  #backoff(): number {
    const { first, last } = this.#options.retry ?? RETRY_MS;
    return Math.min(first * 2 ** (this.#failures - 1), last);
  }
}
