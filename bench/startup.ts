// From nothing to serving: the built server on the sample mesh, as a process of its own.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../test/support/wait.ts';
import type { Figure } from './report.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Milliseconds until `/ready` says yes, and the resident memory then. */
export async function startup(runs: number): Promise<readonly Figure[]> {
  const times: number[] = [];
  const sizes: number[] = [];
  for (let run = 0; run < runs; run++) {
    const { ms, megabytes } = await once();
    times.push(ms);
    sizes.push(megabytes);
  }
  return [
    { name: 'start to serving the sample mesh', unit: 'ms', values: times },
    { name: 'memory then (RSS)', unit: 'MB', values: sizes },
  ];
}

async function once(): Promise<{ readonly ms: number; readonly megabytes: number }> {
  const [xds = 0, http = 0] = await freePorts(2);
  const started = performance.now();
  const flags = [
    '--grpcAddr',
    `127.0.0.1:${xds}`,
    '--httpAddr',
    `127.0.0.1:${http}`,
    '--secureGRPCAddr',
    '127.0.0.1:0',
  ];
  const off = ['--httpsAddr', '', '--monitoringAddr', ''];
  const child = spawn(
    process.execPath,
    ['dist/main.js', 'serve', '--configDir', 'samples/bookinfo', ...flags, ...off],
    { cwd: ROOT, stdio: 'ignore' },
  );
  try {
    while (!(await isReady(http))) {
      if (child.exitCode !== null) throw new Error('the server ended: run `npm run build` first');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return { ms: performance.now() - started, megabytes: residentMegabytes(child.pid ?? 0) };
  } finally {
    child.kill('SIGKILL');
  }
}

async function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/ready`).then(
    (response) => response.ok,
    () => false,
  );
}

function residentMegabytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes ?? 0) / 1024;
}
