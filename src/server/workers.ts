// Workers of this server: what they are started with, and who answers what they ask.
// In: options, the plane's port, the authority. Out: doors that workers hold open. Called by grpc.ts.

import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { authenticate } from '../ca/authenticate.ts';
import type { PeerCredentials } from '../ca/credentials.ts';
import type { ServingPair } from '../ca/serving-credentials.ts';
import type { SecuritySide, ServerOptions, WorkerOptions, World } from '../server.ts';
import type { CertifyQuestion } from './worker-authority.ts';
import { WorkerPool } from '../workers/pool.ts';
import type { ViewPort } from '../xds/port.ts';
import { type DoorSettings, ENTRANCES } from './door.ts';
import type { WorkerSettings } from './worker.ts';

/** Beside this file, built or not. */
const ENTRY = fileURLToPath(new URL(`./worker-main${extname(import.meta.url)}`, import.meta.url));

interface Behind {
  readonly port: ViewPort;
  readonly security: SecuritySide;
}

export async function startWorkers(
  options: ServerOptions & { readonly workers: WorkerOptions },
  door: DoorSettings,
  world: World,
  { port, security }: Behind,
): Promise<WorkerPool<WorkerSettings, ServingPair>> {
  const { authority, authenticators, serving } = security;
  const { count, execArgv = [] } = options.workers;
  const entrances = ENTRANCES.filter((entrance) => options[entrance] !== undefined);
  const pool = new WorkerPool<WorkerSettings, ServingPair>({
    count,
    start: (worker) =>
      fork(ENTRY, [String(worker)], {
        execArgv: [...process.execArgv, ...execArgv],
        stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
      }),
    settings: (worker) => ({
      ...{ worker, door, entrances, pair: serving.current, logJson: options.logJson },
      levels: [...world.root.scopes()],
    }),
    port,
    answers: {
      authenticate: (credentials: PeerCredentials) => authenticate(authenticators, credentials),
      certify: ({ csr, identities, seconds }: CertifyQuestion) => authority.certify(csr, identities, seconds),
    },
    ...{ log: world.log, meter: world.metrics.meter, clock: world.clock, timers: world.timers },
  });
  world.root.onLevel((scope, level) => pool.tell({ kind: 'level', scope, level }));
  world.metrics.onScrape(() => pool.refresh());
  serving.onChange((pair) => pool.tell({ kind: 'serving', pair }));
  await pool.start();
  return pool;
}
