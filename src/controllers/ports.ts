// What every controller is given.

import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import type { KubeApi } from '../sources/kube-api.ts';

export interface ControllerPorts {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

/** The name under which fields are owned in server-side apply. */
export const FIELD_MANAGER = 'meltemi';
