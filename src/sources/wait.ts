// Waiting that can be cut short. Called by whatever tries again later: list-watches, elections, reports.

import type { Timers } from '../lib/ports.ts';

/** Resolves after `ms`, or at once when the signal is or becomes aborted. */
export function wait(timers: Timers, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = timers.setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
