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

/** A stream that hasn't said much after this, ms, says it slowly, or has nothing to say yet. */
export const PATIENCE_MS = 1_000;
/** Longest wait, ms. */
const MAX_WAIT_MS = 2_000;

export class Openings {
  readonly #timers: Timers;
  readonly #gate: Gate;

  constructor({ timers, limit, waiting }: OpeningsOptions) {
    this.#timers = timers;
    this.#gate = new Gate({ timers, limit, waiting, maxWait: MAX_WAIT_MS });
  }

  /** Calls `open` when the stream is to be read from, perhaps at once; `over` of the opening says that it was, or is gone. */
  begin(open: (opening: Opening) => void): Opening {
    const opening = new Opening(this.#gate, this.#timers, open);
    opening.proceed();
    return opening;
  }
}

export class Opening implements Waiter {
  readonly #gate: Gate;
  readonly #timers: Timers;
  readonly #open: (opening: Opening) => void;
  #cancelPatience: (() => void) | undefined;
  #state: 'waits' | 'open' | 'over' = 'waits';

  constructor(gate: Gate, timers: Timers, open: (opening: Opening) => void) {
    this.#gate = gate;
    this.#timers = timers;
    this.#open = open;
  }

  proceed(): void {
    if (this.#state !== 'waits' || !this.#gate.may(this)) return;
    this.#state = 'open';
    this.#gate.add(1);
    this.#gate.done(this);
    this.#cancelPatience = this.#timers.setTimeout(() => this.over(), PATIENCE_MS);
    this.#open(this);
  }

  /** It has said what it wants, or it is gone. */
  over(): void {
    if (this.#state === 'over') return;
    const opened = this.#state === 'open';
    this.#state = 'over';
    this.#cancelPatience?.();
    this.#gate.leave(this);
    if (opened) this.#gate.add(-1);
  }
}
