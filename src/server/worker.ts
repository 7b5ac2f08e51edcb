// A worker: holds connections of proxies, and speaks with the process that translates about what they are to have.
// In: connections that were accepted there, views, settings. Out: streams served; what they say. Called by worker-main.ts.
// It reads no configuration, and imports nothing that does.

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { servingCredentials, type ServingPair } from '../ca/serving-credentials.ts';
import type { Log } from '../lib/ports.ts';
import { createLog } from '../telemetry/log.ts';
import { Calls } from '../workers/calls.ts';
import { Channel } from '../workers/channel.ts';
import type { FromWorker, ProgressReport, ToWorker } from '../workers/messages.ts';
import { ForwardingMeter } from '../workers/metrics.ts';
import { RemotePort } from '../workers/port.ts';
import { Door, type DoorSettings, type Entrance } from './door.ts';
import { watchLoop } from './event-loop.ts';
import { REAL_CLOCK, REAL_TIMERS } from './real.ts';
import { remoteAuthenticator, remoteAuthority } from './worker-authority.ts';

export interface WorkerSettings {
  readonly worker: number;
  readonly door: DoorSettings;
  readonly entrances: readonly Entrance[];
  readonly pair: ServingPair;
  readonly logJson: boolean;
  readonly levels: readonly (readonly [string, string])[];
}

type Told = ToWorker<WorkerSettings, ServingPair>;

/** Observations after which metrics are sent on, asked for or not. */
const MAX_OBSERVED = 10_000;

/** Where a worker's connections and messages come from. */
export interface WorkerWorld {
  readonly pipe: Duplex;
  onConnection(take: (entrance: Entrance, socket: Socket) => void): void;
  exit(): void;
}

export function runWorker(world: WorkerWorld): void {
  let started: StartedWorker | undefined;
  const channel = new Channel<Told, FromWorker>(world.pipe, (message) => {
    if (message.kind === 'start') started = startWorker(message.settings, channel, () => world.exit());
    else started?.take(message);
  });
  world.onConnection((entrance, socket) => {
    if (started === undefined) socket.destroy();
    else started.connection(entrance, socket);
  });
}

interface StartedWorker {
  take(message: Told): void;
  connection(entrance: Entrance, socket: Socket): void;
}

function startWorker(settings: WorkerSettings, channel: Channel<Told, FromWorker>, exit: () => void): StartedWorker {
  const root = createLog({ json: settings.logJson });
  for (const [scope, level] of settings.levels) root.setLevel(scope, level);
  const { log } = root;
  const meter = new ForwardingMeter();
  const loop = watchLoop(meter, { worker: String(settings.worker) });
  const sendMetrics = (): void => {
    loop.refresh();
    channel.send({ kind: 'metrics', batch: meter.take() });
  };
  const port = new RemotePort({
    defer: setImmediate,
    send: (batch) => {
      channel.send(batch);
      if (meter.observed > MAX_OBSERVED) sendMetrics();
    },
  });
  const calls = new Calls((call) => channel.send(call), {
    metrics: sendMetrics,
    progress: (): ProgressReport => progressOf(port, door),
  });
  const pair = new ToldPair(settings.pair);
  const door = new Door(settings.door, {
    ...{ port, log, meter, clock: REAL_CLOCK, timers: REAL_TIMERS },
    authority: remoteAuthority(calls),
    authenticators: [remoteAuthenticator(calls)],
    serving: { credentials: () => servingCredentials(pair) },
  });
  const injectors = new Map(settings.entrances.map((entrance) => [entrance, door.injector(entrance)]));
  channel.send({ kind: 'ready' });
  return {
    take: (message) => {
      if (message.kind === 'views') port.take(message);
      else if (message.kind === 'question' || message.kind === 'answer') calls.take(message);
      else if (message.kind === 'serving') pair.set(message.pair);
      else if (message.kind === 'level') root.setLevel(message.scope, message.level);
      else if (message.kind === 'stop') void end(door, message.grace, log).then(exit);
    },
    connection: (entrance, socket) => {
      socket.once('close', () => channel.send({ kind: 'parted' }));
      const inject = injectors.get(entrance);
      if (inject === undefined) socket.destroy();
      else inject(socket);
    },
  };
}

async function end(door: Door, grace: number, log: Log): Promise<void> {
  try {
    await door.stop(grace);
  } catch (error) {
    log.error({ error }, 'a worker could not end in order');
  }
}

function progressOf(port: RemotePort, door: Door): ProgressReport {
  const numbers = port.numbers();
  const streams = door.progress().flatMap(({ connectionId, types }) => {
    const session = numbers.get(connectionId);
    return session === undefined ? [] : [{ session, types }];
  });
  return { taken: port.taken, streams };
}

/** What the control plane shows, as the other process says. */
class ToldPair {
  readonly #listeners = new Set<(pair: ServingPair) => void>();
  current: ServingPair;

  constructor(pair: ServingPair) {
    this.current = pair;
  }

  set(pair: ServingPair): void {
    this.current = pair;
    for (const listener of this.#listeners) listener(pair);
  }

  onChange(listener: (pair: ServingPair) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
