// Runs steps a few milliseconds at a time, so that whoever else waits for the event loop gets it in between.

import type { Clock } from './ports.ts';
import type { Steps } from './steps.ts';

export interface Slicing {
  readonly clock: Clock;
  /** Resolves once waiting events were handled. */
  readonly yieldLoop: () => Promise<void>;
  /** Longest time for which the event loop is held, ms, as far as steps are short. */
  readonly slice: number;
}

export async function inSlices<T>(steps: Steps<T>, { clock, yieldLoop, slice }: Slicing): Promise<T> {
  let end = clock.now() + slice;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (clock.now() < end) continue;
    await yieldLoop();
    end = clock.now() + slice;
  }
}
