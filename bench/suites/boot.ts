// From nothing to serving: the built server, as a process of its own, on the sample mesh and on meshes from files.

import { fileURLToPath } from 'node:url';
import type { Notebook } from '../figures.ts';
import type { MeshShape } from '../mesh.ts';
import { MeshFolder } from '../mesh-folder.ts';
import { ServerProcess } from '../server/process.ts';

const SAMPLE = fileURLToPath(new URL('../../samples/bookinfo', import.meta.url));

export interface BootOptions {
  readonly shape: MeshShape;
  /** Meshes of so many services. */
  readonly sizes: readonly number[];
  readonly rounds: number;
}

export async function boot({ shape, sizes, rounds }: BootOptions, notes: Notebook): Promise<void> {
  await measured(SAMPLE, 'the sample mesh', rounds, notes);
  for (const services of sizes) {
    const folder = new MeshFolder({ ...shape, services });
    try {
      await measured(folder.path, `${services} services`, rounds, notes);
    } finally {
      folder.delete();
    }
  }
}

async function measured(path: string, what: string, rounds: number, notes: Notebook): Promise<void> {
  const times: number[] = [];
  const cpus: (number | undefined)[] = [];
  const sizes: (number | undefined)[] = [];
  for (let round = 0; round < rounds; round++) {
    const server = await ServerProcess.start(path);
    times.push(server.readyMs);
    cpus.push(server.readyCpu);
    sizes.push(server.rssMb);
    await server.stop();
  }
  notes.cost(`${what}: until ready`, 'ms', times);
  notes.cost(`${what}: server CPU until then`, 'ms', cpus);
  notes.cost(`${what}: memory then (RSS)`, 'MB', sizes);
}
