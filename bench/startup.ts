// From nothing to serving: the built server on the sample mesh, as a process of its own.

import { fileURLToPath } from 'node:url';
import { ServerProcess } from './process.ts';
import type { Figure } from './report.ts';

const SAMPLE = fileURLToPath(new URL('../samples/bookinfo', import.meta.url));

/** Milliseconds until `/ready` says yes, and the resident memory then. */
export async function startup(runs: number): Promise<readonly Figure[]> {
  const times: number[] = [];
  const sizes: number[] = [];
  for (let run = 0; run < runs; run++) {
    const server = await ServerProcess.start(SAMPLE);
    times.push(server.readyMs);
    sizes.push(server.rssMb ?? 0);
    await server.stop();
  }
  return [
    { name: 'start to serving the sample mesh', unit: 'ms', values: times },
    { name: 'memory then (RSS)', unit: 'MB', values: sizes },
  ];
}
