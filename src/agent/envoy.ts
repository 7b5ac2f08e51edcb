// The one Envoy beside this agent: started, drained and stopped; never restarted, since who runs the agent does that for both.
// In: EnvoyOptions and a bootstrap file; out: a running process and its end. Called by agent.ts.

import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Log, Timers } from '../lib/ports.ts';
import { ask, type HttpTarget, readStats } from './admin.ts';
import type { DrainOptions, EnvoyOptions } from './config.ts';

export type EnvoyEnd = { readonly code: number | undefined; readonly signal: string | undefined };

export interface EnvoyProcess {
  readonly pid: number;
  readonly ended: Promise<EnvoyEnd>;
  /** Asks for an orderly end, and insists after a while. */
  stop(): Promise<EnvoyEnd>;
}

export interface EnvoyStart {
  readonly options: EnvoyOptions;
  readonly bootstrapFile: string;
  /** Merged over the bootstrap by Envoy itself. */
  readonly overrideYaml?: string | undefined;
  readonly drainSeconds: number;
  readonly ipVersion: 'v4' | 'v6';
  /** Gets Envoy's own log, line by line; without it the lines go to this process's stderr as they are. */
  readonly onLine?: ((line: string) => void) | undefined;
}

const KILL_AFTER_MS = 5000;

/** Envoy's arguments. */
export function envoyArguments(start: EnvoyStart): string[] {
  const { options } = start;
  // biome-ignore format: one flag with its value per line
  return [
    '-c', start.bootstrapFile,
    ...(start.overrideYaml === undefined ? [] : ['--config-yaml', start.overrideYaml]),
    '--drain-time-s', String(start.drainSeconds),
    '--drain-strategy', 'immediate',
    '--local-address-ip-version', start.ipVersion,
    '--file-flush-interval-msec', String(options.flushIntervalMs),
    ...(options.flushMinSizeKb === undefined ? [] : ['--file-flush-min-size-kb', String(options.flushMinSizeKb)]),
    '--disable-hot-restart',
    '--allow-unknown-static-fields',
    '-l', options.logLevel,
    '--component-log-level', options.componentLogLevel,
    '--skip-deprecated-logs',
    ...(options.concurrency === undefined ? [] : ['--concurrency', String(options.concurrency)]),
  ];
}

/** The binary: as configured, else the first `envoy` on PATH. Throws with what to do when there is none. */
export function envoyBinary(options: EnvoyOptions, path: string): string {
  if (options.path !== undefined) return options.path;
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, 'envoy');
    if (folder !== '' && isExecutable(candidate)) return candidate;
  }
  throw new Error('no Envoy found: set ENVOY to its path, or put envoy on PATH');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts Envoy; rejects if it cannot be started at all. */
export async function startEnvoy(binary: string, start: EnvoyStart, log: Log, timers: Timers): Promise<EnvoyProcess> {
  const child = spawn(binary, envoyArguments(start), {
    stdio: ['ignore', 'inherit', start.onLine === undefined ? 'inherit' : 'pipe'],
  });
  const { onLine } = start;
  if (onLine !== undefined) passLines(child, onLine);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const ended = new Promise<EnvoyEnd>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });
  log.info({ binary, pid: child.pid }, 'Envoy started');
  return { pid: child.pid ?? 0, ended, stop: () => stopped(child, ended, timers) };
}

function passLines(child: ChildProcess, onLine: (line: string) => void): void {
  let rest = '';
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
}

function stopped(child: ChildProcess, ended: Promise<EnvoyEnd>, timers: Timers): Promise<EnvoyEnd> {
  child.kill('SIGTERM');
  const cancel = timers.setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  return ended.finally(cancel);
}

export interface DrainMode {
  /** Envoy itself is to stay after the last listener has drained. */
  readonly staysUp: boolean;
}

/** Discourages new connections, and has listeners closed when the drain time is over. Gives false if Envoy doesn't answer. */
export async function drainListeners(
  admin: HttpTarget,
  options: DrainOptions,
  { staysUp }: DrainMode,
  log: Log,
): Promise<boolean> {
  const query = ['graceful', ...(options.inboundOnly ? ['inboundonly'] : []), ...(staysUp ? ['skip_exit'] : [])];
  try {
    await ask(admin, 'POST', `/drain_listeners?${query.join('&')}`);
    return true;
  } catch (error) {
    log.warn({ reason: String(error) }, 'Envoy could not be asked to drain');
    return false;
  }
}

/** Looks at the statistics that fail one after the other before they are given up on. */
const MAX_STAT_ERRORS = 5;
const POLL_MS = 1000;

/** Lets connections finish: listeners discourage new ones, then a while passes or the last connection ends. */
export async function drainEnvoy(admin: HttpTarget, options: DrainOptions, timers: Timers, log: Log): Promise<void> {
  if (!(await drainListeners(admin, options, { staysUp: false }, log))) return;
  const wait = (ms: number) => new Promise<void>((resolve) => void timers.setTimeout(resolve, ms));
  if (!options.untilIdle) return wait(options.terminationMs);
  await wait(options.minimumMs);
  for (let errors = 0; errors < MAX_STAT_ERRORS; await wait(POLL_MS)) {
    const active = await activeConnections(admin, options.ownPorts).catch(() => undefined);
    if (active === 0) return;
    errors = active === undefined ? errors + 1 : 0;
  }
  log.warn({}, 'Envoy does not tell its connections; it is not waited for any longer');
}

/** Connections of the application's listeners; those of the admin and of the probes would never end. */
async function activeConnections(admin: HttpTarget, ownPorts: readonly number[]): Promise<number> {
  const { body } = await ask(admin, 'GET', '/stats?usedonly&filter=downstream_cx_active$');
  let sum = 0;
  for (const [name, value] of readStats(body)) {
    const isOwn = !name.startsWith('listener.') || name.startsWith('listener.admin.') || name.includes('.worker_');
    if (!isOwn && !ownPorts.some((port) => name.endsWith(`_${port}.downstream_cx_active`))) sum += value;
  }
  return sum;
}
