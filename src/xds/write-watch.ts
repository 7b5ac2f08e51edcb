// Watches a client that doesn't read: nothing is sent to it meanwhile, and one that takes nothing at all is cut off.
// In: "full" and "writable" of an outlet. Out: a call when the client is given up. Called by the stream.

import type { Timers } from '../lib/ports.ts';

/** Keepalive pings take some bytes too: a client that takes less than this in the time limit isn't reading. */
const LEAST_PROGRESS = 16 * 1024;

export interface WriteWatchOptions {
  readonly timers: Timers;
  /** ms. */
  readonly limit: number;
  /** Bytes that the connection has taken so far. */
  readonly taken: () => number;
  readonly giveUp: () => void;
}

export class WriteWatch {
  readonly #options: WriteWatchOptions;
  #cancel: (() => void) | undefined;

  constructor(options: WriteWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#wait(this.#options.taken());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** One that is merely slow may go on. */
  #wait(before: number): void {
    const { timers, limit, taken, giveUp } = this.#options;
    this.#cancel = timers.setTimeout(() => {
      this.#cancel = undefined;
      const now = taken();
      if (now - before >= LEAST_PROGRESS) this.#wait(now);
      else giveUp();
    }, limit);
  }
}
