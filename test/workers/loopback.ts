// Both sides of a worker in one process: what crosses is written and read as between two.

import { deserialize, serialize } from 'node:v8';
import type { Log, Timers } from '../../src/lib/ports.ts';
import { Exporter } from '../../src/workers/exporter.ts';
import type { EventBatch, ViewBatch } from '../../src/workers/messages.ts';
import { RemotePort } from '../../src/workers/port.ts';
import { WorkerSessions } from '../../src/workers/sessions.ts';
import type { ViewPort } from '../../src/xds/port.ts';
import { between, ManualTimers, Metrics, silentLog } from '../xds/support.ts';

export interface Loopback {
  readonly port: RemotePort;
  readonly sessions: WorkerSessions;
  readonly exporter: Exporter;
  readonly metrics: Metrics;
  /** Everything that crossed to the worker. */
  readonly batches: ViewBatch[];
}

export interface LoopbackOptions {
  readonly defer: (run: () => void) => void;
  readonly timers: Timers;
  readonly log?: Log;
}

export function loopback(world: ViewPort, { defer, timers, log = silentLog }: LoopbackOptions): Loopback {
  const metrics = new Metrics();
  const exporter = new Exporter(metrics);
  const batches: ViewBatch[] = [];
  const port = new RemotePort({ defer, send: (batch) => defer(() => sessions.take(copy<EventBatch>(batch))) });
  const sessions: WorkerSessions = new WorkerSessions({
    ...{ port: world, exporter, log, timers, defer },
    send: (batch) => {
      batches.push(batch);
      defer(() => port.take(copy<ViewBatch>(batch)));
    },
    stuck: () => log.error({}, 'stuck'),
  });
  return { port, sessions, exporter, metrics, batches };
}

/** Puts a worker between all streams of this file and their views; gives the errors that it logs. */
export function loopbackBetween(): readonly object[] {
  const errors: object[] = [];
  const log: Log = { ...silentLog, error: (fields) => errors.push(fields), child: () => log };
  between.port = (views, defer) => loopback(views, { defer, timers: new ManualTimers(), log }).port;
  return errors;
}

function copy<T>(message: T): T {
  return deserialize(serialize(message)) as T;
}
