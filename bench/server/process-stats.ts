// CPU and memory of a process and all that it started, from /proc; undefined where there is no /proc.

import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second in /proc: the same on every Linux that Node.js runs on. */
const TICKS = 100;

/** CPU used since their start, ms. */
export function cpuMsOf(pid: number): number | undefined {
  return sumOf(pid, (each) => {
    const stat = read(each, 'stat');
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields === undefined ? undefined : ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
  });
}

/** Resident memory, MB; `VmHWM` is the most there ever was. */
export function memoryMbOf(pid: number, field: 'VmRSS' | 'VmHWM'): number | undefined {
  return sumOf(pid, (each) => {
    const found = new RegExp(`${field}:\\s+(\\d+) kB`).exec(read(each, 'status') ?? '');
    return found === null ? undefined : Number(found[1]) / 1024;
  });
}

function sumOf(pid: number, read: (pid: number) => number | undefined): number | undefined {
  const own = read(pid);
  if (own === undefined) return undefined;
  return childrenOf(pid).reduce((sum, child) => sum + (sumOf(child, read) ?? 0), own);
}

function childrenOf(pid: number): readonly number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'));
    return lists.flatMap((list) => list.split(' ').flatMap((text) => (text.trim() === '' ? [] : [Number(text)])));
  } catch {
    return [];
  }
}

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}
