// The gRPC half of the server: xDS in plaintext and over TLS, certificates over TLS, on two listeners.

import { hostname } from 'node:os';
import { type ChannelOptions, Server, ServerCredentials } from '@grpc/grpc-js';
import { authenticate } from '../ca/authenticators.ts';
import { credentialsOf } from '../ca/credentials.ts';
import { certificateService } from '../ca/service.ts';
import { formatControlPlaneId } from '../console/control-plane-id.ts';
import { debugSession, isDebugClient } from '../console/debug-session.ts';
import type { ConsolePort } from '../console/port.ts';
import type { PodSpec } from '../config/core.ts';
import { formatListen, type ListenAddress } from '../lib/listen.ts';
import type { Log } from '../lib/ports.ts';
import type { SecuritySide, ServerOptions, World } from '../server.ts';
import { objectIn } from '../store/state.ts';
import type { Store } from '../store/store.ts';
import type { CallPeer } from '../xds/grpc-call.ts';
import type { Peer, Refusal, ViewPort } from '../xds/port.ts';
import { startXds, XDS_CHANNEL_OPTIONS, type XdsServer } from '../xds/server.ts';
import type { ConfigSide } from './config.ts';
import { connectRegistered } from './registration.ts';

export interface GrpcSide {
  readonly addresses: Readonly<Partial<Record<'grpc' | 'secureGrpc', ListenAddress>>>;
  /** What the proxies hold, as their streams know it. */
  streams(): ReturnType<XdsServer['streams']>;
  stop(): Promise<void>;
}

interface GrpcParts {
  readonly config: ConfigSide;
  readonly security: SecuritySide;
  readonly console: ConsolePort;
}

const UNAUTHENTICATED = 16;
const UNAVAILABLE = 14;
const PERMISSION_DENIED = 7;

/** How long streams may take to end when the server stops, ms, unless told otherwise. */
const STOP_GRACE = 500;
/** How long last words may take to arrive, ms. */
const FLUSH = 500;
/** A connection that was asked to move and didn't is cut after this, ms. */
const AGE_GRACE = 10_000;

/** An aged connection is told to go away (GOAWAY), with a tenth of jitter so that those of one moment part. */
function channelOptions({ maxConnectionAge }: ServerOptions): ChannelOptions {
  if (maxConnectionAge === undefined) return XDS_CHANNEL_OPTIONS;
  const age = {
    'grpc.max_connection_age_ms': maxConnectionAge,
    'grpc.max_connection_age_grace_ms': Math.min(AGE_GRACE, maxConnectionAge),
  };
  return { ...XDS_CHANNEL_OPTIONS, ...age };
}

export async function startGrpc(options: ServerOptions, world: World, parts: GrpcParts): Promise<GrpcSide> {
  const { log, clock, timers } = world;
  const { meter } = world.metrics;
  const xds = startXds({
    port: viewPort(options, parts),
    log,
    meter,
    clock,
    timers,
    peerOf: (call) => provenPeer(call, parts, log),
    identifier: formatControlPlaneId({ component: 'meltemi', id: hostname(), version: options.version }),
    newStreamsPerSecond: options.maxStreamRate,
  });
  const servers: Server[] = [];
  const addresses: Partial<Record<'grpc' | 'secureGrpc', ListenAddress>> = {};
  if (options.grpc !== undefined) {
    const server = new Server(channelOptions(options));
    // The port decides: a call over TLS without a client certificate looks like one without TLS.
    const peerOf = (call: CallPeer): Peer => plaintextPeer(call.getPeer());
    const port = await xds.bind(server, formatListen(options.grpc), ServerCredentials.createInsecure(), peerOf);
    addresses.grpc = { host: options.grpc.host, port };
    servers.push(server);
  }
  if (options.secureGrpc !== undefined) {
    const server = new Server(channelOptions(options));
    const { authority, authenticators, serving } = parts.security;
    const service = certificateService(authority, authenticators, log, meter);
    server.addService(service.definition, service.handlers);
    const port = await xds.bind(server, formatListen(options.secureGrpc), serving.credentials());
    addresses.secureGrpc = { host: options.secureGrpc.host, port };
    servers.push(server);
  }
  const grace = options.shutdownDuration ?? STOP_GRACE;
  return { addresses, streams: () => xds.streams(), stop: () => stop(xds, servers, grace) };
}

async function stop(xds: XdsServer, servers: readonly Server[], grace: number): Promise<void> {
  await xds.close(grace);
  await Promise.all(servers.map(goAway));
}

/** Lets what was said last reach the peers, and cuts those that stay. */
async function goAway(server: Server): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  const gone = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await Promise.race([gone, new Promise((resolve) => (late = setTimeout(resolve, FLUSH)))]);
  clearTimeout(late);
  server.forceShutdown();
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

function plaintextPeer(address: string): Peer {
  return { address, plaintext: true, identities: [] };
}

async function provenPeer(
  call: Parameters<typeof credentialsOf>[0],
  { security }: GrpcParts,
  log: Log,
): Promise<Peer | Refusal> {
  const credentials = credentialsOf(call);
  const decision = await authenticate(security.authenticators, credentials);
  if (decision.kind === 'refused') {
    const { address } = credentials;
    log.child('xds').warn({ peer: address, reason: decision.reason }, 'stream refused: not authenticated');
    return decision.temporary === true
      ? { kind: 'refused', code: UNAVAILABLE, message: 'the caller could not be looked up, try again' }
      : { kind: 'refused', code: UNAUTHENTICATED, message: 'caller could not be authenticated' };
  }
  return { address: credentials.address, plaintext: false, identities: decision.caller.identities };
}
