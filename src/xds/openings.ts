// Streams that say for the first time what they want, and who has to wait until others have said it.
// In: streams that were admitted. Out: leave to be read from. Called by the server; one for all its streams.
// A proxy that comes back states every name and version that it has: some 250 kB for 1,000 services. A thousand of them, each
// with half of its say in memory, are hundreds of megabytes that nothing can be done with yet. What waits here is left in the
// connections, by HTTP/2's flow control.

import type { Gauge, Timers } from '../lib/ports.ts';
import { Gate, type Waiter } from './gate.ts';

export interface OpeningsOptions {
  readonly timers: Timers;
  /** Streams that are read from together; 0: all are. */
  readonly limit: number;
  readonly waiting: Gauge;
}

/** Longest wait, ms: 5,000 proxies that come back take half a minute on a small machine. Let in together they are what this is against. */
const MAX_WAIT_MS = 60_000;

export class Openings {
  readonly #gate: Gate;

  constructor({ timers, limit, waiting }: OpeningsOptions) {
    this.#gate = new Gate({ timers, limit, waiting, maxWait: MAX_WAIT_MS });
  }

  /**
   * Calls `open` when the stream is to be read from, perhaps at once; `over` of the opening says that it was, or is gone. Who is
   * silent doesn't keep others waiting for long.
   */
  begin(open: Open): Opening {
    const opening = new Opening(this.#gate, open);
    opening.proceed();
    return opening;
  }
}

/** Begins to read; gives what tells whether something that was said lies in memory, still to be read. */
type Open = (opening: Opening) => () => boolean;

export class Opening implements Waiter {
  readonly #gate: Gate;
  readonly #open: Open;
  #busy = (): boolean => false;
  #release: (() => void) | undefined;
  #over = false;

  constructor(gate: Gate, open: Open) {
    this.#gate = gate;
    this.#open = open;
  }

  proceed(): void {
    if (this.#over || this.#release !== undefined || !this.#gate.may(this)) return;
    this.#release = this.#gate.hold(1, () => this.#busy());
    this.#gate.done(this);
    this.#busy = this.#open(this);
  }

  /** It has said what it wants, or it is gone. */
  over(): void {
    if (this.#over) return;
    this.#over = true;
    this.#gate.leave(this);
    this.#release?.();
  }
}
