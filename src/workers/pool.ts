// The processes that hold the connections of proxies: started, given connections, followed, ended, started again.
// In: a way to start one, connections as they are accepted. Out: sessions at the plane, answers to what workers ask.
// Called by server/workers.ts. A connection goes to the worker that has the fewest, and stays there: streams last for hours.

import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { accept, type Acceptor } from '../grpc/accept.ts';
import type { ListenAddress } from '../lib/listen.ts';
import type { Clock, Counter, Gauge, Log, Meter, Timers } from '../lib/ports.ts';
import type { ViewPort } from '../xds/port.ts';
import { Calls } from './calls.ts';
import { Channel } from './channel.ts';
import { Exporter } from './exporter.ts';
import type { StreamProgress } from '../xds/status.ts';
import type { FromWorker, ProgressReport, ToWorker } from './messages.ts';
import { Absorbed } from './metrics.ts';
import { WorkerSessions } from './sessions.ts';

export interface PoolOptions<Settings> {
  readonly count: number;
  /** Starts the process of a worker; its fifth stream (4) is a pipe for messages. */
  readonly start: (worker: number) => ChildProcess;
  /** What a worker is told at first, as it is then. */
  readonly settings: (worker: number) => Settings;
  readonly port: ViewPort;
  /** What answers the questions of workers, by their names. */
  readonly answers: Readonly<Record<string, (ask: never) => unknown>>;
  readonly log: Log;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly timers: Timers;
}

interface Worker<Settings, Pair> {
  readonly number: number;
  readonly child: ChildProcess;
  readonly channel: Channel<FromWorker, ToWorker<Settings, Pair>>;
  readonly calls: Calls;
  readonly sessions: WorkerSessions;
  readonly startedAt: number;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  connections: number;
  ready: boolean;
}

const PIPE = 4;

/** Before a worker that has ended is started again, ms; twice as long each time that it doesn't last. */
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;
const LASTED = 60_000;

/** How long the answers of workers are waited for, ms. */
const ANSWER_MS = 1_000;
/** After the time that they may take to end, ms. */
const KILL_AFTER = 2_000;

export class WorkerPool<Settings, Pair> {
  readonly #options: PoolOptions<Settings>;
  readonly #log: Log;
  readonly #workers = new Map<number, Worker<Settings, Pair>>();
  readonly #delays = new Map<number, number>();
  readonly #waiting = new Set<() => void>();
  readonly #acceptors: Acceptor[] = [];
  readonly #absorbed: Absorbed;
  readonly #restarts: Counter;
  readonly #living: Gauge;
  #started: (() => void) | undefined;
  #stopping = false;

  constructor(options: PoolOptions<Settings>) {
    this.#options = options;
    this.#log = options.log.child('workers');
    this.#absorbed = new Absorbed(options.meter);
    this.#restarts = options.meter.counter('meltemi_worker_restarts_total', 'Workers that ended without being asked.');
    this.#living = options.meter.gauge('meltemi_workers', 'Processes that hold connections of proxies.');
  }

  /** Resolves when all of them take connections. Rejects when one ends before. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = () => {
        if ([...this.#workers.values()].every(({ ready }) => ready)) {
          this.#started = undefined;
          resolve();
        }
      };
      for (let number = 1; number <= this.#options.count; number++) {
        this.#start(number);
        void this.#workers.get(number)?.ended.then(() => {
          if (this.#started === undefined) return;
          this.#stopping = true;
          for (const { child } of this.#workers.values()) child.kill('SIGKILL');
          reject(new Error('a worker ended before it had started'));
        });
      }
    });
  }

  /** Accepts connections; resolves to the port. `entrance` goes with each to the worker. */
  async listen(entrance: string, address: ListenAddress): Promise<number> {
    const acceptor = await accept(address, (socket) => this.#give(entrance, socket), {
      paused: true,
      failed: (error) => this.#log.error({ error: error.message }, 'connections cannot be accepted'),
    });
    this.#acceptors.push(acceptor);
    return acceptor.port;
  }

  tell(message: ToWorker<Settings, Pair>): void {
    for (const { channel } of this.#workers.values()) channel.send(message);
  }

  /** What the proxies have taken. A worker that doesn't answer in time is left out. */
  async streams(): Promise<readonly StreamProgress[]> {
    const all = [...this.#workers.values()].map(async ({ calls, sessions }) => {
      const report = await this.#timely(calls.ask<ProgressReport>('progress'));
      return report === undefined ? [] : sessions.progress(report);
    });
    return (await Promise.all(all)).flat();
  }

  /** Has workers send what they have counted. */
  async refresh(): Promise<void> {
    await Promise.all([...this.#workers.values()].map(({ calls }) => this.#timely(calls.ask('metrics'))));
  }

  /** Workers send their proxies elsewhere over `grace` ms, and end. */
  async stop(grace: number): Promise<void> {
    this.#stopping = true;
    for (const cancel of this.#waiting) cancel();
    await this.refresh();
    this.tell({ kind: 'stop', grace });
    const killed = [...this.#workers.values()].map(async ({ child, ended }) => {
      const cancel = this.#options.timers.setTimeout(() => child.kill('SIGKILL'), grace + KILL_AFTER);
      await ended;
      cancel();
    });
    await Promise.all(killed);
    for (const acceptor of this.#acceptors) acceptor.close();
  }

  #start(number: number): void {
    const { port, meter, timers, clock, start, settings, answers } = this.#options;
    const child = start(number);
    // A message that cannot be sent any more is one too; the end of the process says all.
    child.on('error', () => {});
    const pipe = child.stdio?.[PIPE] as Duplex | undefined;
    if (pipe === undefined) throw new Error('no process could be made');
    const channel = new Channel<FromWorker, ToWorker<Settings, Pair>>(pipe, (message) => this.#take(worker, message));
    const sessions = new WorkerSessions({
      ...{ port, log: this.#log, timers, exporter: new Exporter(meter) },
      defer: setImmediate,
      send: (batch) => channel.send(batch),
      stuck: () => {
        this.#log.error({ worker: number }, 'a worker does not answer, it is ended');
        child.kill('SIGKILL');
      },
    });
    const calls = new Calls((call) => channel.send(call), answers);
    const ended = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => resolve(this.#ended(worker, { code, signal })));
      child.on('error', (error) => {
        if (child.pid === undefined) resolve(this.#ended(worker, { error: error.message }));
      });
    });
    const worker: Worker<Settings, Pair> = {
      ...{ number, child, channel, calls, sessions, ended, startedAt: clock.now(), connections: 0, ready: false },
    };
    this.#workers.set(number, worker);
    channel.send({ kind: 'start', settings: settings(number) });
  }

  #take(worker: Worker<Settings, Pair>, message: FromWorker): void {
    switch (message.kind) {
      case 'events':
        return worker.sessions.take(message);
      case 'parted':
        worker.connections--;
        return;
      case 'metrics':
        return this.#absorbed.take(worker.number, message.batch);
      case 'ready':
        worker.ready = true;
        this.#living.set(this.#ready().length);
        this.#started?.();
        return;
      case 'question':
      case 'answer':
        return worker.calls.take(message);
    }
  }

  #ready(): readonly Worker<Settings, Pair>[] {
    return [...this.#workers.values()].filter(({ ready }) => ready);
  }

  #give(entrance: string, socket: Socket): void {
    socket.on('error', () => {});
    const [first, ...others] = this.#ready();
    // Proxies try again; none is kept waiting by a process that may never come.
    if (first === undefined) return void socket.destroy();
    const worker = others.reduce((least, other) => (other.connections < least.connections ? other : least), first);
    worker.connections++;
    worker.child.send({ entrance }, socket, (error) => {
      if (error === null) return;
      worker.connections--;
      socket.destroy();
    });
  }

  #ended(worker: Worker<Settings, Pair>, how: object): void {
    const { number, calls, sessions, startedAt } = worker;
    if (this.#workers.get(number) !== worker) return;
    this.#workers.delete(number);
    calls.end();
    const proxies = sessions.size;
    sessions.end();
    this.#absorbed.forget(number);
    this.#living.set(this.#ready().length);
    if (this.#stopping || this.#started !== undefined) return;
    this.#restarts.inc();
    this.#log.error({ worker: number, ...how, proxies }, 'a worker has ended, its proxies have to connect anew');
    if (this.#options.clock.now() - startedAt > LASTED) this.#delays.delete(number);
    this.#startLater(number);
  }

  #startLater(number: number): void {
    const before = this.#delays.get(number);
    const delay = before === undefined ? FIRST_DELAY : Math.min(LONGEST_DELAY, before * 2);
    this.#delays.set(number, delay);
    const cancel = this.#options.timers.setTimeout(() => {
      this.#waiting.delete(cancel);
      try {
        this.#start(number);
      } catch (error) {
        // The machine has no room for another process now.
        this.#log.error({ worker: number, error: String(error) }, 'a worker could not be started');
        this.#startLater(number);
      }
    }, delay);
    this.#waiting.add(cancel);
  }

  async #timely<T>(answer: Promise<T>): Promise<T | undefined> {
    let cancel = (): void => undefined;
    const late = new Promise<undefined>((resolve) => {
      cancel = this.#options.timers.setTimeout(() => resolve(undefined), ANSWER_MS);
    });
    try {
      return await Promise.race([answer, late]);
    } catch {
      return undefined;
    } finally {
      cancel();
    }
  }
}
