// How many cores this process is given, and how many workers that makes. Called by `serve`.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Below this many, workers would take turns with translation, and cost memory for nothing. */
const LEAST_CORES = 4;
/** More of them wait for the one process that translates. */
const MOST_WORKERS = 8;

/** Of `auto`: one core is for translation, each other one for a worker; 1, which is no worker, where there are few. */
export function workersFor(cores: number): number {
  return cores < LEAST_CORES ? 1 : Math.min(cores - 1, MOST_WORKERS);
}

/** Cores that the process may run on, and where its container has a limit, no more than that. */
export function coresGiven(read: (file: string) => string | undefined = readText): number {
  return Math.max(1, Math.floor(Math.min(availableParallelism(), quota(read))));
}

/** CPU time per time, by either version of control groups; endless without a limit. */
function quota(read: (file: string) => string | undefined): number {
  const [max = '', period = ''] = (read('/sys/fs/cgroup/cpu.max') ?? '').trim().split(' ');
  if (max !== '') return ratio(max, period);
  const folder = '/sys/fs/cgroup/cpu';
  return ratio(read(`${folder}/cpu.cfs_quota_us`) ?? '', read(`${folder}/cpu.cfs_period_us`) ?? '');
}

/** `max` and -1 say that there is no limit. */
function ratio(max: string, period: string): number {
  const cores = Number(max) / Number(period);
  return cores > 0 && Number.isFinite(cores) ? cores : Infinity;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
