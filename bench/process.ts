// The server as a process of its own: started, asked whether it is ready, measured from outside, stopped.
// CPU and memory come from /proc, so there are none where there is no /proc.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../test/support/wait.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** Clock ticks a second in /proc: the same on every Linux that Node.js runs on. */
const TICKS = 100;

/** How often a starting server is asked, ms. */
const POLL = 5;

export class ServerProcess {
  /** host:port of xDS in plaintext. */
  readonly grpc: string;
  /** From the start of the process until it said that it is ready, ms. */
  readonly readyMs: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, grpc: string, readyMs: number) {
    this.#child = child;
    this.grpc = grpc;
    this.readyMs = readyMs;
  }

  /** All listeners but the one for webhooks and the second one for metrics; as many new streams a second as come. */
  static async start(configDir: string): Promise<ServerProcess> {
    if (!existsSync(MAIN)) throw new Error('there is no dist/main.js: run `npm run build` first');
    const [xds = 0, http = 0, secure = 0] = await freePorts(3);
    const grpc = `127.0.0.1:${xds}`;
    const listen = ['--grpcAddr', grpc, '--httpAddr', `127.0.0.1:${http}`, '--secureGRPCAddr', `127.0.0.1:${secure}`];
    const off = ['--httpsAddr', '', '--monitoringAddr', '', '--maxRequestsPerSecond', '100000'];
    const mesh = ['--meshConfig', '/nonexistent', '--networksConfig', '/nonexistent'];
    const started = performance.now();
    const args = [MAIN, 'serve', '--configDir', configDir, ...listen, ...off, ...mesh];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    while (!(await isReady(http))) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
    return new ServerProcess(child, grpc, performance.now() - started);
  }

  /** CPU used since the start, ms. */
  get cpuMs(): number | undefined {
    const stat = this.#proc('stat');
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields === undefined ? undefined : ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
  }

  get rssMb(): number | undefined {
    return this.#memory('VmRSS');
  }

  get peakMb(): number | undefined {
    return this.#memory('VmHWM');
  }

  #memory(field: string): number | undefined {
    const found = new RegExp(`${field}:\\s+(\\d+) kB`).exec(this.#proc('status') ?? '');
    return found === null ? undefined : Number(found[1]) / 1024;
  }

  #proc(file: string): string | undefined {
    try {
      return readFileSync(`/proc/${this.#child.pid}/${file}`, 'utf8');
    } catch {
      return undefined;
    }
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
