// Requests of one stream on their way in: taken up in turn with everything else that streams have to do.
// In: request bytes as the network brings them. Out: one request at a time to the stream. Called by the server.
// A thousand proxies that come back at once bring their requests in one turn of the event loop: each is long, and
// reading them as they arrive would hold the loop until all are read.

import type { Pumped, Scheduler } from './scheduler.ts';

/** Where requests come from, and can be held back. */
export interface Readable {
  pause(): unknown;
  resume(): unknown;
}

/** Requests that wait in memory; what a client sends beyond is left in its connection. */
const MAX_WAITING = 2;

export class Intake implements Pumped {
  readonly #from: Readable;
  readonly #to: (bytes: Buffer) => void;
  readonly #scheduler: Scheduler;
  readonly #pressing: () => boolean;
  #waiting: Buffer[] = [];

  /** `pressing`: false while nothing but an acknowledgement is expected, which may wait for pushes to others. */
  constructor(from: Readable, scheduler: Scheduler, to: (bytes: Buffer) => void, pressing: () => boolean) {
    this.#pressing = pressing;
    this.#from = from;
    this.#scheduler = scheduler;
    this.#to = to;
  }

  take(bytes: Buffer): void {
    this.#waiting.push(bytes);
    if (this.#waiting.length >= MAX_WAITING) this.#from.pause();
    this.#schedule();
  }

  pump(): void {
    const bytes = this.#waiting.shift();
    if (bytes === undefined) return;
    if (this.#waiting.length === MAX_WAITING - 1) this.#from.resume();
    if (this.#waiting.length > 0) this.#schedule();
    this.#to(bytes);
  }

  #schedule(): void {
    this.#scheduler.add(this, this.#pressing() ? 'answer' : 'push');
  }

  /** The stream has ended. */
  drop(): void {
    this.#waiting = [];
    this.#scheduler.remove(this);
  }
}
