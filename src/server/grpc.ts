// The gRPC half of the server: xDS in plaintext and over TLS, certificates over TLS, on two listeners.

import { hostname } from 'node:os';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { authenticate } from '../ca/authenticators.ts';
import { credentialsOf } from '../ca/credentials.ts';
import { certificateService } from '../ca/service.ts';
import { formatControlPlaneId } from '../console/control-plane-id.ts';
import { debugSession, isDebugClient } from '../console/debug-session.ts';
import type { ConsolePort } from '../console/port.ts';
import { formatListen, type ListenAddress } from '../lib/listen.ts';
import type { SecuritySide, ServerOptions, World } from '../server.ts';
import type { Peer, Refusal, ViewPort } from '../xds/port.ts';
import { startXds, XDS_CHANNEL_OPTIONS, type XdsServer } from '../xds/server.ts';
import type { ConfigSide } from './config.ts';
import { connectRegistered } from './registration.ts';

export interface GrpcSide {
  readonly addresses: Readonly<Partial<Record<'grpc' | 'secureGrpc', ListenAddress>>>;
  stop(): Promise<void>;
}

interface GrpcParts {
  readonly config: ConfigSide;
  readonly security: SecuritySide;
  readonly console: ConsolePort;
}

const UNAUTHENTICATED = 16;
const PERMISSION_DENIED = 7;

/** How long streams may take to end when the server stops, ms. */
const STOP_GRACE = 500;

export async function startGrpc(options: ServerOptions, world: World, parts: GrpcParts): Promise<GrpcSide> {
  const { log, clock, timers } = world;
  const { meter } = world.metrics;
  const xds = startXds({
    port: viewPort(options, parts),
    log,
    meter,
    clock,
    timers,
    peerOf: (call) => provenPeer(call, parts),
    identifier: formatControlPlaneId({ component: 'meltemi', id: hostname(), version: options.version }),
    newStreamsPerSecond: options.maxStreamRate,
  });
  const servers: Server[] = [];
  const addresses: Partial<Record<'grpc' | 'secureGrpc', ListenAddress>> = {};
  if (options.grpc !== undefined) {
    const server = new Server(XDS_CHANNEL_OPTIONS);
    // The port decides: a call over TLS without a client certificate looks like one without TLS.
    xds.register(server, (call) => plaintextPeer(call.getPeer()));
    addresses.grpc = await bind(server, options.grpc, ServerCredentials.createInsecure());
    servers.push(server);
  }
  if (options.secureGrpc !== undefined) {
    const server = new Server(XDS_CHANNEL_OPTIONS);
    xds.register(server);
    const { authority, authenticators, serving } = parts.security;
    const service = certificateService(authority, authenticators, log, meter);
    server.addService(service.definition, service.handlers);
    addresses.secureGrpc = await bind(server, options.secureGrpc, serving.credentials());
    servers.push(server);
  }
  return { addresses, stop: () => stop(xds, servers) };
}

async function stop(xds: XdsServer, servers: readonly Server[]): Promise<void> {
  await xds.close(STOP_GRACE);
  for (const server of servers) server.forceShutdown();
}

function bind(server: Server, address: ListenAddress, credentials: ServerCredentials): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatListen(address), credentials, (error, port) => {
      if (error === null) resolve({ host: address.host, port });
      else reject(error);
    });
  });
}

/** Proxies go to the plane, tools that ask debug types to the console. */
function viewPort(options: ServerOptions, { config, console: pages }: GrpcParts): ViewPort {
  return {
    connect: (node, peer, wake) => {
      if (isDebugClient(node)) return debugSession(pages, peer, node, options.systemNamespace);
      const refusal = peer.plaintext ? undefined : identityProblem(node.id, node.metadata ?? {}, peer);
      return refusal ?? connectRegistered(config.registrar, node, peer, () => config.plane.connect(node, peer, wake));
    },
  };
}

/** A proxy may only be who its certificate or token says: same namespace, and same account where it names one. */
function identityProblem(nodeId: string, metadata: Readonly<Record<string, unknown>>, peer: Peer): Refusal | undefined {
  const namespace =
    typeof metadata['NAMESPACE'] === 'string' ? metadata['NAMESPACE'] : (nodeId.split('~')[3] ?? '').split('.')[0];
  const account = metadata['SERVICE_ACCOUNT'];
  const fits = peer.identities.some((identity) => {
    const [, ns, sa] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity) ?? [];
    return ns === namespace && (typeof account !== 'string' || account === '' || account === sa);
  });
  if (fits) return undefined;
  return {
    kind: 'refused',
    code: PERMISSION_DENIED,
    message: `no presented identity is of namespace ${namespace} as node ${nodeId} says`,
  };
}

function plaintextPeer(address: string): Peer {
  return { address, plaintext: true, identities: [] };
}

async function provenPeer(call: Parameters<typeof credentialsOf>[0], { security }: GrpcParts): Promise<Peer | Refusal> {
  const credentials = credentialsOf(call);
  const decision = await authenticate(security.authenticators, credentials);
  if (decision.kind === 'refused')
    return { kind: 'refused', code: UNAUTHENTICATED, message: 'caller could not be authenticated' };
  return { address: credentials.address, plaintext: false, identities: decision.caller.identities };
}
