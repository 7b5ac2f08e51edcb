// Who has to be brought up to date, and the loop that does it a few milliseconds at a time.
// In: sessions, and how one is brought up to date in steps. Out: nothing; `idle` resolves when all is done.
// Called by the plane. Who just came waits behind at most one other in turn, however many are being brought to a new snapshot.

import { Fifo } from '../lib/fifo.ts';
import type { Clock } from '../lib/ports.ts';
import type { Steps } from '../lib/steps.ts';

export interface WorkQueueOptions<S> {
  readonly clock: Clock;
  /** Resolves once waiting events were handled. */
  readonly yieldLoop: () => Promise<void>;
  /** Longest time for which the event loop is held, ms, as far as steps are short. */
  readonly slice: number;
  /** True when there was little to do and it is done; most often nothing has changed that concerns the session. */
  readonly glance: (session: S) => boolean;
  readonly bring: (session: S) => Steps<void>;
  readonly failed: (session: S, error: unknown) => void;
}

interface Work<S> {
  readonly session: S;
  readonly steps: Steps<void>;
}

export class WorkQueue<S extends object> {
  readonly #options: WorkQueueOptions<S>;
  readonly #joining = new Fifo<S>();
  readonly #following = new Fifo<S>();
  #current: Work<S> | undefined;
  #fresh = false;
  /** In a slice, or between two. */
  #running = false;
  #stopped = false;
  #waiting: (() => void)[] = [];

  constructor(options: WorkQueueOptions<S>) {
    this.#options = options;
  }

  /** A newcomer: short work is done when this returns. */
  join(session: S): void {
    this.#joining.add(session);
    this.#go();
  }

  /** These have to follow a change. */
  follow(sessions: Iterable<S>): void {
    for (const session of sessions) if (!this.#joining.has(session)) this.#following.add(session);
    this.#go();
  }

  remove(session: S): void {
    this.#joining.delete(session);
    this.#following.delete(session);
  }

  /** Resolves when nobody waits any more. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#joining.clear();
    this.#following.clear();
    this.#current = undefined;
    this.#rest();
  }

  #go(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#slice();
  }

  #slice(): void {
    const { clock, yieldLoop, slice } = this.#options;
    const end = clock.now() + slice;
    while (this.#step()) {
      if (clock.now() < end) continue;
      void yieldLoop().then(() => this.#slice());
      return;
    }
    this.#rest();
  }

  #rest(): void {
    this.#running = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** False when there is nothing left to do. */
  #step(): boolean {
    if (this.#stopped) return false;
    const session = this.#current?.session ?? this.#next();
    if (session === undefined) return false;
    try {
      if (this.#current === undefined) {
        if (this.#options.glance(session)) return this.#waitsAnybody();
        this.#current = { session, steps: this.#options.bring(session) };
      }
      if (this.#current.steps.next().done !== true) return true;
    } catch (error) {
      this.#options.failed(session, error);
    }
    this.#current = undefined;
    return this.#waitsAnybody();
  }

  #waitsAnybody(): boolean {
    return this.#joining.size + this.#following.size > 0;
  }

  #next(): S | undefined {
    this.#fresh = !this.#fresh;
    const [first, second] = this.#fresh ? [this.#joining, this.#following] : [this.#following, this.#joining];
    return first.take() ?? second.take();
  }
}
