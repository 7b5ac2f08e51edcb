// When to act on a stream of changes: a lone change at once, a burst when it falls quiet, a steady churn at a steady pace.

import type { Clock, Timers } from '../lib/ports.ts';

export interface DebounceOptions {
  /** A burst is over when nothing came for so long, in ms. */
  readonly quiet: number;
  /** No change waits longer than this, in ms. */
  readonly max: number;
  readonly clock: Clock;
  readonly timers: Timers;
}

export interface Debounce {
  /** Something changed. `act` runs later, never from within this call. */
  signal(): void;
  stop(): void;
}

/**
 * Leading edge: if nothing happened during the last `quiet` ms, `act` runs in the next turn of the loop. Otherwise it
 * runs once the signals fall quiet, and in any case `max` ms after the first one that waits.
 */
export function debounce(options: DebounceOptions, act: () => void): Debounce {
  const { quiet, max, clock, timers } = options;
  let first: number | undefined;
  let lastEnd = Number.NEGATIVE_INFINITY;
  let cancel: (() => void) | undefined;
  const fire = (): void => {
    first = undefined;
    cancel = undefined;
    act();
    lastEnd = clock.now();
  };
  return {
    signal: () => {
      const now = clock.now();
      const calm = first === undefined && now - lastEnd >= quiet;
      first ??= now;
      cancel?.();
      const wait = calm ? 0 : Math.min(quiet, first + max - now);
      cancel = timers.setTimeout(fire, Math.max(0, wait));
    },
    stop: () => cancel?.(),
  };
}
