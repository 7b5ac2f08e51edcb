// The server as a process of its own: started, asked whether it is ready, measured from outside, stopped, started again.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../test/support/wait.ts';
import { pause } from '../clock.ts';
import { cpuMsOf, memoryMbOf } from './process-stats.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const PROBE = new URL('./heap-probe.mjs', import.meta.url).href;

/** How often a starting server is asked, ms. */
const POLL = 5;

export interface ServerSettings {
  /** Of xDS in plaintext, HTTP, xDS with TLS; free ones unless given. */
  readonly ports?: readonly number[];
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Heap {
  /** MB that live after a collection. */
  readonly heap: number;
  readonly external: number;
}

export class ServerProcess {
  readonly ports: readonly number[];
  /** From the start of the process until it said that it is ready, ms. */
  readonly readyMs: number;
  /** CPU until then, ms. */
  readonly readyCpu: number | undefined;
  readonly #child: ChildProcess;
  readonly #pid: number;

  private constructor(child: ChildProcess, ports: readonly number[], readyMs: number) {
    this.#child = child;
    this.#pid = child.pid ?? 0;
    this.ports = ports;
    this.readyMs = readyMs;
    this.readyCpu = this.cpuMs;
  }

  /** All listeners but the one for webhooks and the second one for metrics; as many new streams a second as come. */
  static async start(configDir: string, settings: ServerSettings = {}): Promise<ServerProcess> {
    if (!existsSync(MAIN)) throw new Error('there is no dist/main.js: run `npm run build` first');
    const ports = settings.ports ?? (await freePorts(3));
    const [xds, http = 0, secure] = ports;
    const listen = [
      ...['--grpcAddr', `127.0.0.1:${xds}`, '--httpAddr', `127.0.0.1:${http}`],
      ...['--secureGRPCAddr', `127.0.0.1:${secure}`, '--httpsAddr', '', '--monitoringAddr', ''],
    ];
    const mesh = ['--meshConfig', '/nonexistent', '--networksConfig', '/nonexistent'];
    const started = performance.now();
    const node = ['--expose-gc', '--import', PROBE, MAIN];
    const more = ['--maxRequestsPerSecond', '100000', ...(settings.flags ?? [])];
    const child = spawn(process.execPath, [...node, 'serve', '--configDir', configDir, ...listen, ...mesh, ...more], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, ...settings.env },
    });
    while (!(await isReady(http))) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
      await pause(POLL);
    }
    return new ServerProcess(child, ports, performance.now() - started);
  }

  /** host:port of xDS in plaintext. */
  get grpc(): string {
    return `127.0.0.1:${this.ports[0]}`;
  }

  /** host:port of xDS and of the certificate authority, with TLS. */
  get secure(): string {
    return `127.0.0.1:${this.ports[2]}`;
  }

  /** CPU used since the start, ms. */
  get cpuMs(): number | undefined {
    return cpuMsOf(this.#pid);
  }

  get rssMb(): number | undefined {
    return memoryMbOf(this.#pid, 'VmRSS');
  }

  get peakMb(): number | undefined {
    return memoryMbOf(this.#pid, 'VmHWM');
  }

  /** Collects garbage; what is left in the main process. */
  heap(): Promise<Heap> {
    return new Promise((resolve) => {
      this.#child.once('message', (usage: NodeJS.MemoryUsage) =>
        resolve({ heap: usage.heapUsed / 2 ** 20, external: usage.external / 2 ** 20 }),
      );
      this.#child.send('collect');
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGINT');
    await ended;
  }
}

function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/ready`).then(
    (response) => response.ok,
    () => false,
  );
}

/** CPU that the server used while `work` ran, ms. */
export async function cpuOf(server: ServerProcess, work: () => Promise<void>): Promise<number | undefined> {
  const before = server.cpuMs;
  await work();
  const after = server.cpuMs;
  return before === undefined || after === undefined ? undefined : after - before;
}

/** At rest it uses no more than this of one core. */
const IDLE_SHARE = 0.1;

/** Resolves when the server has nothing left to do: for so long, ms. Without /proc after twice that time. */
export async function idle(server: ServerProcess, ms = 300): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const before = server.cpuMs;
    await pause(ms);
    const after = server.cpuMs;
    if (before === undefined || after === undefined) return pause(ms);
    if (after - before <= ms * IDLE_SHARE) return;
  }
}
