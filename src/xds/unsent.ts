// What is on its way to all clients together, and whose first sync has to wait until it is less.
// In: bytes written and taken, by the calls; streams that are about to send something for the first time. Out: leave to do so,
// now or later, first come first served. Called by the calls and the streams; one per server.
// A thousand proxies that come at once would otherwise be written three megabytes each before the first has read them. What
// changes for those who are in sync never waits here.

import type { Gauge, Timers } from '../lib/ports.ts';

export interface UnsentOptions {
  readonly timers: Timers;
  /** Bytes above which first syncs wait; 0: none does. */
  readonly limit: number;
  /** Longest wait, ms: clients that don't read must not keep the others out. */
  readonly maxWait: number;
  readonly waiting: Gauge;
}

export interface Waiter {
  /** It is its turn. */
  proceed(): void;
}

export class Unsent {
  readonly #options: UnsentOptions;
  #bytes = 0;
  /** In the order of their coming, with what cancels their time limit. */
  readonly #waiting = new Map<Waiter, () => void>();
  readonly #overdue = new Set<Waiter>();
  #next: Waiter | undefined;

  constructor(options: UnsentOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes written, or (negative) taken by the connection. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (bytes < 0) this.#turn();
  }

  /** True when a first sync may go on now; otherwise its `proceed` is called when it is to ask again. */
  may(waiter: Waiter): boolean {
    if (waiter === this.#next || this.#overdue.has(waiter)) return true;
    const { limit, maxWait, timers } = this.#options;
    const free = limit <= 0 || this.#bytes < limit;
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
    if (this.#next !== undefined || this.#bytes >= this.#options.limit) return;
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
