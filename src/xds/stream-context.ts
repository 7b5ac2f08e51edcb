// What all streams of a server share. Made by the server.

import type { Clock, Log, Timers } from '../lib/ports.ts';
import type { Encoder } from './encode.ts';
import type { Gate } from './gate.ts';
import type { XdsMetrics } from './metrics.ts';
import type { NamePool } from './names.ts';
import type { ViewPort } from './port.ts';
import type { Scheduler } from './scheduler.ts';
import type { Unanswered } from './unanswered.ts';

export interface StreamContext {
  readonly port: ViewPort;
  readonly pool: NamePool;
  readonly encoder: Encoder;
  readonly scheduler: Scheduler;
  /** Of first syncs, by what connections haven't taken yet. */
  readonly unsent: Gate;
  /** Of pushes. */
  readonly unanswered: Unanswered;
  readonly metrics: XdsMetrics;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Longest time that a type waits for those it depends on, and for the answer to its own last response, ms. */
  readonly orderTimeout: number;
  /** A client that takes nothing for this long is cut off, ms. */
  readonly writeTimeout: number;
}
