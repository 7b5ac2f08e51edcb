// The clock and the timers of this machine. Called by whoever starts a process.

import type { Clock, Timers } from '../lib/ports.ts';

export const REAL_CLOCK: Clock = { now: () => performance.timeOrigin + performance.now() };

export const REAL_TIMERS: Timers = {
  setTimeout: (fn, ms) => {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};
