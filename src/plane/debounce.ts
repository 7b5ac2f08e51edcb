// When to act on a stream of changes: a lone change at once, a burst when it falls quiet, a steady churn at a steady pace
// that takes a small part of the time.

import type { Clock, Timers } from '../lib/ports.ts';

export interface DebounceOptions {
  /** A burst is over when nothing came for so long, in ms. */
  readonly quiet: number;
  /** No change waits longer than this, in ms, but for linking and translation of those before it. */
  readonly max: number;
  /** It rests for so many times as long as what an act set off took, on top of all else. Unset: 0. */
  readonly restPerPush?: number | undefined;
  readonly clock: Clock;
  readonly timers: Timers;
}

export interface Debounce {
  /** Something changed. `act` runs later, never from within this call. `partial`: the rest of the change is known to follow. */
  signal(partial?: boolean): void;
  stop(): void;
}

/** What was set off. */
export interface Act {
  readonly done: Promise<void>;
}

/**
 * Leading edge: if nothing was done during the last `quiet` ms, `act` runs in the next turn of the loop. Otherwise it runs
 * once the signals fall quiet, and in any case `max` ms after the first one that waits. After it has run it rests for as long
 * as it took, and twice as long when signals came meanwhile, and for longer where `restPerPush` says so, half of `max` at most;
 * they gather until then.
 *
 * A partial change is acted on with the rest of it, which leaves at once where a lone change would, or else when it is quiet.
 *
 * `act` gives what ends when all that it has set off is done; it is waited for during the other half of `max`. Undefined: it
 * has set off nothing. Then what often follows (endpoints after their Pods) need not wait until it is quiet. It must not throw.
 */
export function debounce(options: DebounceOptions, act: () => Promise<Act | undefined>): Debounce {
  const { quiet, max, restPerPush = 0, clock, timers } = options;
  let first: number | undefined;
  /** All that waits is partial. */
  let partly = true;
  /** From when on what completes a change leaves at once: nothing was done just before. */
  let calmFrom = Number.NEGATIVE_INFINITY;
  let restUntil = Number.NEGATIVE_INFINITY;
  let running = false;
  let stopped = false;
  let cancel: (() => void) | undefined;
  const schedule = (wait: number): void => {
    cancel?.();
    if (!stopped) cancel = timers.setTimeout(() => void run(), Math.max(0, wait, restUntil - clock.now()));
  };
  const waitOf = (since: number): number => Math.min(quiet, since + max - clock.now());
  const run = async (): Promise<void> => {
    first = undefined;
    partly = true;
    running = true;
    const started = clock.now();
    const acted = await act();
    const settled = clock.now();
    if (acted !== undefined) await within(max / 2, acted.done, timers);
    running = false;
    const now = clock.now();
    const took = now - started;
    const rest = (first === undefined ? took : 2 * took) + restPerPush * (now - settled);
    restUntil = now + Math.min(rest, max / 2);
    if (acted !== undefined) calmFrom = now + quiet;
    if (first !== undefined) schedule(acted === undefined && !partly ? 0 : waitOf(first));
  };
  return {
    signal: (partial = false) => {
      const now = clock.now();
      const completes = partly && !partial;
      first ??= now;
      partly &&= partial;
      if (!running) schedule(completes && now >= calmFrom ? 0 : waitOf(first));
    },
    stop: () => {
      stopped = true;
      cancel?.();
    },
  };
}

/** Resolves with `done`, or after so many ms. */
function within(ms: number, done: Promise<void>, timers: Timers): Promise<void> {
  return new Promise((resolve) => {
    const cancel = timers.setTimeout(resolve, ms);
    void done.then(() => {
      cancel();
      resolve();
    });
  });
}
