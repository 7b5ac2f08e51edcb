// Admission of new streams: a token bucket, so that a whole mesh that returns at once doesn't starve those who are in.
// In: a request for admission. Out: admitted, possibly after a short wait, or not. Called by the server per new stream.

import type { Clock, Timers } from '../lib/ports.ts';

export interface AdmissionOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** New streams per second; 0 or less admits all. */
  readonly rate: number;
  /** Streams admitted at once after a quiet time; as many as one second brings, by default. */
  readonly burst?: number;
  /** Longest wait, ms. */
  readonly maxWait?: number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#burst = Math.max(1, options.burst ?? options.rate);
    this.#tokens = this.#burst;
    this.#at = options.clock.now();
  }

  /** Calls back once, at once or later; the result cancels a waiting request (its token is not given back). */
  ask(answer: (admitted: boolean) => void): () => void {
    const { clock, timers, rate, maxWait = 1000 } = this.#options;
    if (rate <= 0) {
      answer(true);
      return () => {};
    }
    const now = clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * rate) / 1000);
    this.#at = now;
    const wait = ((1 - this.#tokens) * 1000) / rate;
    if (wait > maxWait) {
      answer(false);
      return () => {};
    }
    this.#tokens -= 1;
    if (wait <= 0) {
      answer(true);
      return () => {};
    }
    return timers.setTimeout(() => answer(true), wait);
  }
}
