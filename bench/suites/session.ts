// A built server that serves a folder, and fake proxies in a process of their own: what most suites begin with.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  /** Proxies connect over TLS, as agents do. */
  readonly tls: boolean;
}

export interface Session extends SessionOptions {
  readonly folder: MeshFolder;
  readonly fleet: RemoteFleet;
  readonly server: ServerProcess;
  readonly notes: Notebook;
  /** With which the server was started. */
  readonly settings: ServerSettings;
  /** Where the server keeps its authority; only with TLS. */
  readonly stateDir: string | undefined;
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
  const stateDir = options.tls ? mkdtempSync(join(tmpdir(), 'meltemi-bench-')) : undefined;
  const settings =
    stateDir === undefined ? (options.settings ?? {}) : withFlags(options.settings, ['--stateDir', stateDir]);
  try {
    const server = await ServerProcess.start(folder.path, settings);
    try {
      await work({ ...options, folder, fleet, server, notes, settings, stateDir });
    } finally {
      await fleet.disconnect();
      await server.stop();
    }
  } finally {
    await fleet.stop();
    folder.delete();
    if (stateDir !== undefined) rmSync(stateDir, { recursive: true, force: true });
  }
}

function withFlags(settings: ServerSettings | undefined, flags: readonly string[]): ServerSettings {
  return { ...settings, flags: [...(settings?.flags ?? []), ...flags] };
}

/** Connects proxies, all at once; how long each took, ms. */
export function connect(session: Session, count: number, from = 0): Promise<readonly number[]> {
  const { fleet, server, shape, mode, stateDir } = session;
  const address = stateDir === undefined ? server.grpc : server.secure;
  return fleet.connect({ address, shape, from, count, mode, stateDir });
}

/** Nothing has come for so long, ms: it is over. */
const SILENCE = 400;

/** Nobody hears anything any more, and the server has nothing left to do. Gives the moment from which that was so. */
export async function settled({ fleet, server }: Pick<Session, 'fleet' | 'server'>): Promise<number> {
  await fleet.silence(SILENCE);
  await idle(server);
  return machineMs();
}
