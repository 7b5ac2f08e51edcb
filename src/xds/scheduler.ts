// Slices the work of many streams, so that a change that concerns a thousand of them doesn't hold the event loop.
// In: streams that have something to do. Out: their `pump` calls, a few milliseconds' worth at a time.
// Called by the streams themselves; one scheduler per server. Each stream waits at most once.

import { Fifo } from '../lib/fifo.ts';
import type { Clock } from '../lib/ports.ts';

export interface Pumped {
  pump(): void;
}

export interface SchedulerOptions {
  readonly clock: Clock;
  /** Runs a function once the event loop has come round: setImmediate. */
  readonly defer: (run: () => void) => void;
  /** Longest slice, ms. */
  readonly slice?: number;
}

/** Answers to requests go before pushes, but of this many streams one is a waiting push. */
const PUSH_EVERY = 8;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #answers = new Fifo<Pumped>();
  readonly #pushes = new Fifo<Pumped>();
  #running = false;
  #turn = 0;
  #idle: (() => void)[] = [];

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#answers.size + this.#pushes.size;
  }

  /** Resolves when nobody waits for a turn. */
  idle(): Promise<void> {
    return this.#running ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  /** Has `stream` pumped soon, never synchronously. */
  add(stream: Pumped, kind: 'answer' | 'push'): void {
    if (this.#answers.has(stream)) return;
    if (kind === 'answer') {
      this.#pushes.delete(stream);
      this.#answers.add(stream);
    } else this.#pushes.add(stream);
    if (this.#running) return;
    this.#running = true;
    this.#options.defer(() => this.#run());
  }

  remove(stream: Pumped): void {
    this.#answers.delete(stream);
    this.#pushes.delete(stream);
  }

  #run(): void {
    const { clock, slice = 5 } = this.#options;
    const until = clock.now() + slice;
    for (let stream = this.#next(); stream !== undefined; stream = this.#next()) {
      stream.pump();
      if (clock.now() >= until) break;
    }
    this.#running = this.waiting > 0;
    if (this.#running) this.#options.defer(() => this.#run());
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(): Pumped | undefined {
    this.#turn++;
    const push = this.#answers.size === 0 || (this.#pushes.size > 0 && this.#turn % PUSH_EVERY === 0);
    return (push ? this.#pushes : this.#answers).take();
  }
}
