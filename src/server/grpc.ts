// The gRPC half of the server: who answers proxies, and whether the calls come to this process or to workers.

import { hostname } from 'node:os';
import { formatControlPlaneId } from '../console/control-plane-id.ts';
import { debugSession, isDebugClient } from '../console/debug-session.ts';
import type { ConsolePort } from '../console/port.ts';
import type { PodSpec } from '../config/core.ts';
import type { ListenAddress } from '../lib/listen.ts';
import type { SecuritySide, ServerOptions, World } from '../server.ts';
import { objectIn } from '../store/state.ts';
import type { Store } from '../store/store.ts';
import type { StreamProgress } from '../xds/status.ts';
import type { Peer, Refusal, ViewPort } from '../xds/port.ts';
import type { ConfigSide } from './config.ts';
import { Door, type DoorSettings, ENTRANCES, type Entrance } from './door.ts';
import { connectRegistered } from './registration.ts';

export interface GrpcSide {
  readonly addresses: Readonly<Partial<Record<Entrance, ListenAddress>>>;
  /** What the proxies have taken, as their streams know it. */
  streams(): Promise<readonly StreamProgress[]>;
  stop(): Promise<void>;
}

interface GrpcParts {
  readonly config: ConfigSide;
  readonly security: SecuritySide;
  readonly console: ConsolePort;
}

const PERMISSION_DENIED = 7;

/** How long streams may take to end when the server stops, ms, unless told otherwise. */
const STOP_GRACE = 500;

/** What takes the calls: this process, or workers. */
interface Doors {
  listen(entrance: Entrance, address: ListenAddress): Promise<number>;
  streams(): Promise<readonly StreamProgress[]>;
  stop(grace: number): Promise<void>;
}

export async function startGrpc(options: ServerOptions, world: World, parts: GrpcParts): Promise<GrpcSide> {
  const doors = await openDoors(options, world, parts);
  const addresses: Partial<Record<Entrance, ListenAddress>> = {};
  try {
    for (const entrance of ENTRANCES) {
      const address = options[entrance];
      if (address !== undefined) addresses[entrance] = { ...address, port: await doors.listen(entrance, address) };
    }
  } catch (error) {
    await doors.stop(0);
    throw error;
  }
  const grace = options.shutdownDuration ?? STOP_GRACE;
  return { addresses, streams: () => doors.streams(), stop: () => doors.stop(grace) };
}

async function openDoors(options: ServerOptions, world: World, parts: GrpcParts): Promise<Doors> {
  const { version, maxStreamRate, maxConnectionAge, workers } = options;
  const port = viewPort(options, parts);
  const identifier = formatControlPlaneId({ component: 'meltemi', id: hostname(), version });
  const settings: DoorSettings = {
    identifier,
    maxStreamRate,
    maxConnectionAge,
    sharers: Math.max(1, workers?.count ?? 1),
  };
  if (workers !== undefined && workers.count > 1) {
    // Who has none doesn't load what starts them.
    const { startWorkers } = await import('./workers.ts');
    return startWorkers({ ...options, workers }, settings, world, { port, security: parts.security });
  }
  const { log, clock, timers } = world;
  const door = new Door(settings, { ...parts.security, port, log, meter: world.metrics.meter, clock, timers });
  return {
    listen: (entrance, address) => door.listen(entrance, address),
    streams: () => Promise.resolve(door.progress()),
    stop: (grace) => door.stop(grace),
  };
}

/** Proxies go to the plane, tools that ask debug types to the console. */
function viewPort(options: ServerOptions, { config, console: pages }: GrpcParts): ViewPort {
  return {
    connect: (node, peer, wake, mode) => {
      if (isDebugClient(node)) return debugSession(pages, peer, node, options.systemNamespace);
      const refusal = peer.plaintext ? undefined : identityProblem(node.id, node.metadata ?? {}, peer, config.store);
      return (
        refusal ?? connectRegistered(config.registrar, node, peer, () => config.plane.connect(node, peer, wake, mode))
      );
    },
    paced: (idle) => config.plane.paced(idle),
  };
}

/**
 * A proxy may only be who its certificate or token says: same namespace, and same account where it names one, or where the
 * pod that it says it is runs under one.
 */
function identityProblem(
  nodeId: string,
  metadata: Readonly<Record<string, unknown>>,
  peer: Peer,
  store: Store,
): Refusal | undefined {
  const instance = nodeId.split('~')[2] ?? '';
  const namespace =
    typeof metadata['NAMESPACE'] === 'string' ? metadata['NAMESPACE'] : (nodeId.split('~')[3] ?? '').split('.')[0];
  const named = metadata['SERVICE_ACCOUNT'];
  const accounts = [typeof named === 'string' && named !== '' ? named : undefined, accountOfPod(instance, store)];
  const fits = peer.identities.some((identity) => {
    const [, ns, sa] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity) ?? [];
    return ns === namespace && accounts.every((account) => account === undefined || account === sa);
  });
  if (fits) return undefined;
  return {
    kind: 'refused',
    code: PERMISSION_DENIED,
    message: `no presented identity is that of node ${nodeId}: namespace ${namespace}${accountText(accounts)}`,
  };
}

/** The service account under which the pod `NAME.NAMESPACE` runs, where that is known. */
function accountOfPod(instance: string, store: Store): string | undefined {
  const dot = instance.lastIndexOf('.');
  const pod = objectIn(store.state(), {
    kind: 'Pod',
    namespace: instance.slice(dot + 1),
    name: instance.slice(0, dot),
  });
  return (pod?.spec as PodSpec | undefined)?.serviceAccountName;
}

function accountText(accounts: readonly (string | undefined)[]): string {
  const known = [...new Set(accounts.filter((account) => account !== undefined))];
  return known.length === 0 ? '' : `, service account ${known.join(' and ')}`;
}
