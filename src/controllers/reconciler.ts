// A queue of keys to be put right: each key once, a few at a time, failures again later.
// In: keys, and a function that makes the world be as it should be for one of them. Called by the controllers, while leading.

import type { Clock, Log, Timers } from '../lib/ports.ts';

export interface ReconcilerOptions {
  /** For log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Log;
  /** Rejects where it has to be tried again. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<void>;
  /** Keys a second, on the average; each is one or two requests. */
  readonly perSecond?: number | undefined;
  readonly atOnce?: number | undefined;
  /** How often one key may be put right at most, ms: changes in between are gathered. */
  readonly spacing?: number | undefined;
}

const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 60_000;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #signal: AbortSignal;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #failures = new Map<string, number>();
  /** Keys that are not due before a moment, with what ends the wait. */
  readonly #later = new Map<string, () => void>();
  readonly #doneAt = new Map<string, number>();
  #next = 0;
  #cancelPace: (() => void) | undefined;

  /** Works until the signal is aborted. */
  constructor(options: ReconcilerOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  /** Nothing waits, runs, or is to be tried again. */
  get idle(): boolean {
    return this.#waiting.size + this.#running.size + this.#later.size === 0;
  }

  add(key: string): void {
    if (this.#signal.aborted || this.#later.has(key)) return;
    const { spacing = 0, clock } = this.#options;
    const wait = (this.#doneAt.get(key) ?? -Infinity) + spacing - clock.now();
    if (spacing > 0 && wait > 0) return this.#postpone(key, wait);
    this.#waiting.add(key);
    this.#work();
  }

  forget(key: string): void {
    this.#waiting.delete(key);
    this.#later.get(key)?.();
    this.#later.delete(key);
    this.#failures.delete(key);
    this.#doneAt.delete(key);
  }

  #work(): void {
    const { perSecond = 50, atOnce = 4, clock, timers } = this.#options;
    for (const key of this.#waiting) {
      if (this.#signal.aborted || this.#running.size >= atOnce) return;
      if (this.#running.has(key)) continue;
      const now = clock.now();
      if (this.#next > now) {
        this.#cancelPace ??= timers.setTimeout(() => {
          this.#cancelPace = undefined;
          this.#work();
        }, this.#next - now);
        return;
      }
      // A burst of a second's worth is let through.
      this.#next = Math.max(this.#next, now - 1000) + 1000 / perSecond;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const { reconcile, log, name, random, clock, spacing = 0 } = this.#options;
    try {
      await reconcile(key, this.#signal);
      this.#failures.delete(key);
      if (spacing > 0) this.#doneAt.set(key, clock.now());
    } catch (error) {
      if (!this.#signal.aborted) {
        const failures = (this.#failures.get(key) ?? 0) + 1;
        this.#failures.set(key, failures);
        const wait = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MAX_RETRY_MS) * (0.5 + random() / 2);
        log[failures < 4 ? 'info' : 'warn'](
          { controller: name, key, error: String(error), retryInMs: Math.round(wait) },
          'could not be put right yet',
        );
        this.#postpone(key, wait);
      }
    } finally {
      this.#running.delete(key);
      this.#work();
    }
  }

  #postpone(key: string, ms: number): void {
    if (this.#later.has(key)) return;
    const cancel = this.#options.timers.setTimeout(() => {
      this.#later.delete(key);
      this.#waiting.add(key);
      this.#work();
    }, ms);
    this.#later.set(key, cancel);
  }

  #stop(): void {
    this.#cancelPace?.();
    for (const cancel of this.#later.values()) cancel();
    this.#later.clear();
    this.#waiting.clear();
  }
}
