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

/** Bytes of requests of all streams that may wait for pushes. */
const MAX_BACKLOG = 16 * 1024 * 1024;

/** Requests of all streams that wait. An acknowledgement in the state of the world lists every name that is subscribed to. */
export class Backlog {
  #bytes = 0;

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  get full(): boolean {
    return this.#bytes > MAX_BACKLOG;
  }
}

export interface IntakeOptions {
  readonly scheduler: Scheduler;
  readonly backlog: Backlog;
  /** False while nothing but an acknowledgement is expected, which may wait for pushes to others while there is room. */
  readonly pressing: () => boolean;
}

export class Intake implements Pumped {
  readonly #from: Readable;
  readonly #to: (bytes: Buffer) => void;
  readonly #options: IntakeOptions;
  #waiting: Buffer[] = [];

  constructor(from: Readable, to: (bytes: Buffer) => void, options: IntakeOptions) {
    this.#options = options;
    this.#from = from;
    this.#to = to;
  }

  take(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#options.backlog.add(bytes.length);
    if (this.#waiting.length >= MAX_WAITING) this.#from.pause();
    this.#schedule();
  }

  pump(): void {
    const bytes = this.#waiting.shift();
    if (bytes === undefined) return;
    this.#options.backlog.add(-bytes.length);
    if (this.#waiting.length === MAX_WAITING - 1) this.#from.resume();
    if (this.#waiting.length > 0) this.#schedule();
    this.#to(bytes);
  }

  #schedule(): void {
    const { scheduler, backlog, pressing } = this.#options;
    scheduler.add(this, backlog.full || pressing() ? 'answer' : 'push');
  }

  /** The stream has ended. */
  drop(): void {
    for (const bytes of this.#waiting) this.#options.backlog.add(-bytes.length);
    this.#waiting = [];
    this.#options.scheduler.remove(this);
  }
}
