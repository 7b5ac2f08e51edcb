// The gRPC servers at which proxies call: xDS in plaintext and over TLS, certificates over TLS.
// In: what answers them (the plane and the authority, or, in a worker, what stands for them). Out: servers that listen, or that
// are handed connections. Called by grpc.ts in the process that translates, and by worker.ts.

import type { Socket } from 'node:net';
import { type ChannelOptions, Server, ServerCredentials } from '@grpc/grpc-js';
import { authenticate } from '../ca/authenticate.ts';
import type { Authenticator } from '../ca/authenticators.ts';
import type { Authority } from '../ca/authority.ts';
import { credentialsOf } from '../ca/credentials.ts';
import { certificateService } from '../ca/service.ts';
import { collectYoung } from './collect.ts';
import type { ListenAddress } from '../lib/listen.ts';
import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import type { CallPeer } from '../xds/grpc-call.ts';
import type { Peer, Refusal, ViewPort } from '../xds/port.ts';
import {
  MAX_OPENINGS,
  MAX_UNANSWERED_BYTES,
  MAX_UNSENT,
  startXds,
  XDS_CHANNEL_OPTIONS,
  type XdsServer,
} from '../xds/server.ts';
import type { StreamProgress } from '../xds/status.ts';

/** What calls arrive at. */
export const ENTRANCES = ['grpc', 'secureGrpc'] as const;
export type Entrance = (typeof ENTRANCES)[number];

export interface DoorSettings {
  /** `control_plane.identifier` of responses. */
  readonly identifier: string;
  /** New streams a second. */
  readonly maxStreamRate: number;
  /** ms; undefined: connections don't age. */
  readonly maxConnectionAge: number | undefined;
  /** How many share the rate of new streams and the bytes on their way. */
  readonly sharers: number;
}

export interface DoorParts {
  readonly port: ViewPort;
  readonly authority: Pick<Authority, 'certify'>;
  readonly authenticators: readonly Authenticator[];
  readonly serving: { credentials(): ServerCredentials };
  readonly log: Log;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly timers: Timers;
}

const UNAUTHENTICATED = 16;
const UNAVAILABLE = 14;

/** How long last words may take to arrive, ms. */
const FLUSH = 500;
/** A connection that was asked to move and didn't is cut after this, ms. */
const AGE_GRACE = 10_000;

export class Door {
  readonly #settings: DoorSettings;
  readonly #parts: DoorParts;
  readonly #xds: XdsServer;
  readonly #servers: Server[] = [];

  constructor(settings: DoorSettings, parts: DoorParts) {
    const { port, log, meter, clock, timers } = parts;
    const { identifier, maxStreamRate, sharers } = settings;
    this.#settings = settings;
    this.#parts = parts;
    this.#xds = startXds({
      ...{ port, log, meter, clock, timers, identifier },
      peerOf: (call) => provenPeer(call, parts.authenticators, log),
      newStreamsPerSecond: maxStreamRate / sharers,
      maxUnsent: MAX_UNSENT / sharers,
      maxUnanswered: MAX_UNANSWERED_BYTES / sharers,
      maxOpenings: Math.ceil(MAX_OPENINGS / sharers),
      collect: collectYoung,
    });
  }

  /** Listens; resolves to the port. */
  listen(entrance: Entrance, address: ListenAddress): Promise<number> {
    const { server, credentials, peerOf } = this.#entrance(entrance);
    return this.#xds.bind(server, address, credentials, peerOf);
  }

  /** Doesn't listen: what it returns takes connections that others have accepted. */
  injector(entrance: Entrance): (connection: Socket) => void {
    const { server, credentials, peerOf } = this.#entrance(entrance);
    return this.#xds.injector(server, credentials, peerOf);
  }

  /** What the proxies hold, as their streams know it. */
  progress(): readonly StreamProgress[] {
    return this.#xds.progress();
  }

  /** Ends streams over `grace` ms, then connections. */
  async stop(grace: number): Promise<void> {
    await this.#xds.close(grace);
    await Promise.all(this.#servers.map(goAway));
  }

  #entrance(entrance: Entrance) {
    const server = new Server(channelOptions(this.#settings));
    this.#servers.push(server);
    if (entrance === 'grpc') {
      // The port decides: a call over TLS without a client certificate looks like one without TLS.
      const peerOf = (call: CallPeer): Peer => ({ address: call.getPeer(), plaintext: true, identities: [] });
      return { server, credentials: ServerCredentials.createInsecure(), peerOf };
    }
    const { authority, authenticators, serving, log, meter } = this.#parts;
    const service = certificateService(authority, authenticators, log, meter);
    server.addService(service.definition, service.handlers);
    return { server, credentials: serving.credentials(), peerOf: undefined };
  }
}

/** An aged connection is told to go away (GOAWAY), with a tenth of jitter so that those of one moment part. */
function channelOptions({ maxConnectionAge }: DoorSettings): ChannelOptions {
  if (maxConnectionAge === undefined) return XDS_CHANNEL_OPTIONS;
  const age = {
    'grpc.max_connection_age_ms': maxConnectionAge,
    'grpc.max_connection_age_grace_ms': Math.min(AGE_GRACE, maxConnectionAge),
  };
  return { ...XDS_CHANNEL_OPTIONS, ...age };
}

/** Lets what was said last reach the peers, and cuts those that stay. */
async function goAway(server: Server): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  const gone = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await Promise.race([gone, new Promise((resolve) => (late = setTimeout(resolve, FLUSH)))]);
  clearTimeout(late);
  server.forceShutdown();
}

async function provenPeer(
  call: Parameters<typeof credentialsOf>[0],
  authenticators: readonly Authenticator[],
  log: Log,
): Promise<Peer | Refusal> {
  const credentials = credentialsOf(call);
  const decision = await authenticate(authenticators, credentials);
  if (decision.kind === 'refused') {
    const { address } = credentials;
    log.child('xds').warn({ peer: address, reason: decision.reason }, 'stream refused: not authenticated');
    return decision.temporary === true
      ? { kind: 'refused', code: UNAVAILABLE, message: 'the caller could not be looked up, try again' }
      : { kind: 'refused', code: UNAUTHENTICATED, message: 'caller could not be authenticated' };
  }
  return { address: credentials.address, plaintext: false, identities: decision.caller.identities };
}
