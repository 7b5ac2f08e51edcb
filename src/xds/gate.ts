// How much may be on its way to all clients together, and who has to wait until it is less.
// In: bytes that set out and that have arrived; streams that are about to send. Out: leave to do so, now or later, first come
// first served. Called by the calls and the streams; a server has one for first syncs (bytes that connections haven't taken),
// one for pushes (bytes that proxies haven't answered, see unanswered.ts) and one for streams that open (see openings.ts).

import type { Gauge, Timers } from '../lib/ports.ts';

export interface GateOptions {
  readonly timers: Timers;
  /** Bytes on their way above which streams wait; 0: none does. */
  readonly limit: number;
  /**
   * The limit for whoever comes while nothing is on its way. It grows by what arrives, as a window of TCP does: twice as much
   * each time around. Unset: the limit itself.
   */
  readonly start?: number | undefined;
  /** Longest wait, ms: slow clients must not keep the others out. */
  readonly maxWait: number;
  readonly waiting: Gauge;
}

/** What isn't over after this, ms, counts as if it were: a proxy far away, one that is silent, an Envoy that warms its clusters first. */
export const PATIENCE_MS = 1_000;

/** It is looked at more than once: what came while the event loop was held is read in between. */
const LOOKS = 2;
/** Whoever is busy gets no more than this: ten times as much. */
const MAX_LOOKS = 10 * LOOKS;
const never = (): boolean => false;

export interface Waiter {
  /** It is its turn. */
  proceed(): void;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #start: number;
  #bytes = 0;
  /** Bytes on their way above which streams wait at present. */
  #window: number;
  /** In the order of their coming, with what cancels their time limit. */
  readonly #waiting = new Map<Waiter, () => void>();
  readonly #overdue = new Set<Waiter>();
  #next: Waiter | undefined;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#start = options.start ?? options.limit;
    this.#window = this.#start;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that set out, or (negative) have arrived. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (bytes >= 0) return;
    this.#turn();
    if (this.#bytes === 0 && this.#waiting.size === 0) this.#window = this.#start;
  }

  /** Counts so much until the result is called, or until patience ends; while it is `busy` that is longer. */
  hold(amount: number, busy: () => boolean = never): () => void {
    let held = true;
    let idle = 0;
    let looks = 0;
    const release = (arrived: boolean): void => {
      if (!held) return;
      held = false;
      cancel();
      // The more has arrived in time, the more may be on its way.
      if (arrived) this.#window = Math.min(this.#options.limit, this.#window + amount);
      this.add(-amount);
    };
    const look = (): void => {
      idle = busy() ? 0 : idle + 1;
      if (idle >= LOOKS || ++looks >= MAX_LOOKS) return release(false);
      cancel = this.#options.timers.setTimeout(look, PATIENCE_MS / LOOKS);
    };
    let cancel = this.#options.timers.setTimeout(look, PATIENCE_MS / LOOKS);
    this.add(amount);
    return () => release(true);
  }

  /** True when it may send now; otherwise its `proceed` is called when it is to ask again. */
  may(waiter: Waiter): boolean {
    if (waiter === this.#next || this.#overdue.has(waiter)) return true;
    const { limit, maxWait, timers } = this.#options;
    const free = limit <= 0 || this.#bytes < this.#window;
    if (free && this.#next === undefined && this.#waiting.size === 0) return true;
    if (this.#waiting.has(waiter)) return false;
    const cancel = timers.setTimeout(() => {
      this.#waiting.delete(waiter);
      this.#overdue.add(waiter);
      this.#count();
      waiter.proceed();
    }, maxWait);
    this.#waiting.set(waiter, cancel);
    this.#count();
    return false;
  }

  /** It has sent what it had to send for now, or it is gone: the next may. */
  done(waiter: Waiter): void {
    this.#overdue.delete(waiter);
    if (waiter !== this.#next) return;
    this.#next = undefined;
    this.#turn();
  }

  /** It is gone. */
  leave(waiter: Waiter): void {
    this.#waiting.get(waiter)?.();
    if (this.#waiting.delete(waiter)) this.#count();
    this.done(waiter);
  }

  #turn(): void {
    if (this.#next !== undefined || this.#bytes >= this.#window) return;
    for (const [waiter, cancel] of this.#waiting) {
      cancel();
      this.#waiting.delete(waiter);
      this.#count();
      this.#next = waiter;
      waiter.proceed();
      return;
    }
  }

  #count(): void {
    this.#options.waiting.set(this.#waiting.size);
  }
}
