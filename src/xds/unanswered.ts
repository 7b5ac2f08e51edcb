// Pushes that are on their way: sent, and not yet answered by their proxies.
// In: pushes sent and answered. Out: leave for the next. Called by the streams; one per server.
// One change may concern a thousand proxies, half a megabyte for each. Sent at once it would fill every connection, and all would
// work on it at the same moment; and what waits here is compared with the newest view when its turn comes, so that changes
// that follow each other quickly become one.

import type { Gauge, Timers } from '../lib/ports.ts';
import { Gate, type Waiter } from './gate.ts';

export interface UnansweredOptions {
  readonly timers: Timers;
  /** Bytes on their way above which pushes wait; 0: none does. */
  readonly limit: number;
  /** The same for the first of a change; it grows as they are answered. */
  readonly start?: number | undefined;
  readonly waiting: Gauge;
}

/** Pushes below this, bytes, are not counted, and don't wait: a thousand of them are what the limit is. */
export const SMALL_PUSH = 16 * 1024;
/** Longest wait of a push, ms: all of a large mesh, one after the other, on a machine that is busy. */
const MAX_WAIT_MS = 10_000;

/** Takes a push out of the count, once: it is answered, or its stream is gone. */
export type Flight = () => void;

export class Unanswered {
  readonly #gate: Gate;

  constructor({ timers, limit, start, waiting }: UnansweredOptions) {
    this.#gate = new Gate({ timers, limit, start, waiting, maxWait: MAX_WAIT_MS });
  }

  /** True when a push may set out now; otherwise its `proceed` is called when it is to ask again. */
  may(stream: Waiter): boolean {
    return this.#gate.may(stream);
  }

  /** A push has set out, and takes the place of the one before it; undefined when it is too small to count. */
  sent(bytes: number, before?: Flight): Flight | undefined {
    before?.();
    return bytes < SMALL_PUSH ? undefined : this.#gate.hold(bytes);
  }

  /** It has sent what it had to send for now. */
  done(stream: Waiter): void {
    this.#gate.done(stream);
  }

  /** It is gone. */
  leave(stream: Waiter): void {
    this.#gate.leave(stream);
  }
}
