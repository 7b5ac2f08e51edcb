// A built server that serves a folder, and fake proxies in a process of their own: what most suites begin with.

import { machineMs } from '../clock.ts';
import { CHANGES } from '../changes.ts';
import type { Notebook } from '../figures.ts';
import type { MeshShape } from '../mesh.ts';
import { MeshFolder } from '../mesh-folder.ts';
import { type RemoteFleet, startFleet } from '../proxies/remote.ts';
import { idle, ServerProcess, type ServerSettings } from '../server/process.ts';
import type { Mode } from '../../src/xds/encode.ts';

export interface SessionOptions {
  readonly shape: MeshShape;
  readonly proxies: number;
  readonly rounds: number;
  readonly mode: Mode;
}

export interface Session extends SessionOptions {
  readonly folder: MeshFolder;
  readonly fleet: RemoteFleet;
  readonly server: ServerProcess;
  readonly notes: Notebook;
}

/** All that is started is stopped again, whatever happens. */
export async function inSession(
  options: SessionOptions & { readonly settings?: ServerSettings },
  notes: Notebook,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const folder = new MeshFolder(options.shape);
  for (const { before } of CHANGES) {
    const change = before?.(options.shape);
    if (change !== undefined) folder.write(change.file, change.manifests);
  }
  const fleet = startFleet();
  try {
    const server = await ServerProcess.start(folder.path, options.settings);
    try {
      await work({ ...options, folder, fleet, server, notes });
    } finally {
      await fleet.disconnect();
      await server.stop();
    }
  } finally {
    await fleet.stop();
    folder.delete();
  }
}

/** Connects proxies, all at once; how long each took, ms. */
export function connect({ fleet, server, shape, mode }: Session, count: number, from = 0): Promise<readonly number[]> {
  return fleet.connect({ address: server.grpc, shape, from, count, mode });
}

/** Nothing has come for so long, ms: it is over. */
const SILENCE = 400;

/** Nobody hears anything any more, and the server has nothing left to do. Gives the moment from which that was so. */
export async function settled({ fleet, server }: Pick<Session, 'fleet' | 'server'>): Promise<number> {
  await fleet.silence(SILENCE);
  await idle(server);
  return machineMs();
}
