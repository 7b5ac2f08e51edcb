// Gathers hints about changed paths into bursts, and waits where waiting avoids reading a half-written file.
// In: paths with the kind of hint. Out: one flush at a time, each with the paths that are due.
// Called by files.ts and watched-files.ts. A lone rename goes out after GATHER_MS, a lone write in place after SETTLE_MS more.

import type { Timers } from '../lib/ports.ts';
import type { Hint } from './folder-watch.ts';

/** What a rename needs: nothing but the chance of a second one right behind it. */
const GATHER_MS = 3;
/** Many paths at once (a checkout, a copy) are worth a moment more, but not for ever. */
const BURST_PATHS = 8;
const BURST_MS = 10;
const MAX_BURST_WAITS = 10;
/** A file written in place is read once no write was seen for this long, or after this many waits. */
const SETTLE_MS = 12;
const MAX_SETTLE_WAITS = 10;
/** How long a file may be missing or empty before it counts as deleted or emptied: editors and copies are quicker. */
const ABSENCE_MS = 60;

export interface ChangeQueueOptions {
  readonly timers: Timers;
  readonly flush: (paths: ReadonlyMap<string, Hint | 'sweep'>) => Promise<void>;
}

interface Settling {
  cancel: () => void;
  waits: number;
}

export class ChangeQueue {
  readonly #options: ChangeQueueOptions;
  #due = new Map<string, Hint | 'sweep'>();
  readonly #settling = new Map<string, Settling>();
  readonly #delayed = new Map<string, () => void>();
  #cancelFlush: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: ChangeQueueOptions) {
    this.#options = options;
  }

  add(path: string, hint: Hint | 'sweep'): void {
    if (this.#closed) return;
    if (hint === 'change' || this.#settling.has(path)) this.#settle(path);
    else this.#makeDue(path, hint);
  }

  /** Looks at a path again after a while. */
  later(path: string): void {
    if (this.#closed) return;
    this.#delayed.get(path)?.();
    const cancel = this.#options.timers.setTimeout(() => {
      this.#delayed.delete(path);
      this.#makeDue(path, 'rename');
    }, ABSENCE_MS);
    this.#delayed.set(path, cancel);
  }

  /** Resolves when the running flush is over; nothing is flushed after. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelFlush?.();
    for (const settling of this.#settling.values()) settling.cancel();
    for (const cancel of this.#delayed.values()) cancel();
    await this.#running;
  }

  #settle(path: string): void {
    const known = this.#settling.get(path);
    known?.cancel();
    this.#due.delete(path);
    const waits = (known?.waits ?? 0) + 1;
    const cancel = this.#options.timers.setTimeout(
      () => {
        this.#settling.delete(path);
        this.#makeDue(path, 'change');
      },
      waits > MAX_SETTLE_WAITS ? 0 : SETTLE_MS,
    );
    this.#settling.set(path, { cancel, waits });
  }

  #makeDue(path: string, hint: Hint | 'sweep'): void {
    if (this.#closed) return;
    const before = this.#due.get(path);
    // A sweep looks less closely than any hint.
    this.#due.set(path, before === undefined || before === 'sweep' ? hint : before);
    if (this.#running === undefined && this.#cancelFlush === undefined) this.#arm(GATHER_MS, 0);
  }

  /** Flushes after `ms`, or waits again while a burst is still growing. */
  #arm(ms: number, waits: number): void {
    const size = this.#due.size;
    this.#cancelFlush = this.#options.timers.setTimeout(() => {
      this.#cancelFlush = undefined;
      // All that was due may be settling by now.
      if (this.#due.size === 0) return;
      const growing = this.#due.size > Math.max(BURST_PATHS, size);
      if (growing && waits < MAX_BURST_WAITS) this.#arm(BURST_MS, waits + 1);
      else this.#running = this.#drain();
    }, ms);
  }

  async #drain(): Promise<void> {
    try {
      while (this.#due.size > 0 && !this.#closed) {
        const paths = this.#due;
        this.#due = new Map();
        await this.#options.flush(paths);
      }
    } finally {
      this.#running = undefined;
      if (this.#due.size > 0 && !this.#closed) this.#arm(GATHER_MS, 0);
    }
  }
}
