// The aggregated discovery service on a gRPC server, state of the world and delta.
// In: streams of proxies; a ViewPort that knows what each should have. Out: what they lack. Called by server.ts of the
// process, which makes the gRPC server with XDS_CHANNEL_OPTIONS, has this bind it, and closes it in the end.

import { randomInt } from 'node:crypto';
import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { ChannelOptions, Server, ServerCredentials } from '@grpc/grpc-js';
import { SharedMemory } from '../grpc/message-memory.ts';
import type { ListenAddress } from '../lib/listen.ts';
import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import { Admission } from './admission.ts';
import { Encoder, type Mode } from './encode.ts';
import { Gate } from './gate.ts';
import { type CallPeer, GrpcCall } from './grpc-call.ts';
import { bindWithRoutes, injectorWithRoutes, type Routes, type StreamHandler } from './grpc-routes.ts';
import { Backlog, Intake } from './intake.ts';
import { Keepalive } from './keepalive.ts';
import { xdsMetrics } from './metrics.ts';
import { NamePool } from './names.ts';
import { Openings } from './openings.ts';
import type { Peer, Refusal, ViewPort } from './port.ts';
import { Scheduler } from './scheduler.ts';
import type { StreamProgress, StreamStatus } from './status.ts';
import { XdsStream } from './stream.ts';
import type { StreamContext } from './stream-context.ts';
import { Unanswered } from './unanswered.ts';

export type PeerOf = (call: CallPeer) => Peer | Refusal | Promise<Peer | Refusal>;

export interface XdsOptions {
  readonly port: ViewPort;
  readonly log: Log;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Who calls; asked once per stream, before anything is read from it. */
  readonly peerOf: PeerOf;
  /** What `control_plane.identifier` of responses says. */
  readonly identifier?: string | undefined;
  /** New streams per second; 0 admits all. */
  readonly newStreamsPerSecond?: number | undefined;
  /** ms; see StreamContext. */
  readonly orderTimeout?: number | undefined;
  readonly writeTimeout?: number | undefined;
  /** Bytes on their way to one client above which it is sent nothing more. */
  readonly highWater?: number | undefined;
  /** Bytes on their way to all clients together above which first syncs wait; 0: none does. */
  readonly maxUnsent?: number | undefined;
  /** Bytes pushed to all clients together and not answered above which pushes wait; 0: none does. */
  readonly maxUnanswered?: number | undefined;
  /** Streams that may say at the same time, and for the first time, what they want; 0: all. */
  readonly maxOpenings?: number | undefined;
  /** Silence, ms, after which a connection is pinged, and how much longer it may go on. */
  readonly keepalive?: { readonly every: number; readonly patience: number } | undefined;
  /** Collects garbage that died young; undefined: V8 is left to itself. */
  readonly collect?: (() => void) | undefined;
  /** Runs a function once the event loop has come round. */
  readonly defer?: ((run: () => void) => void) | undefined;
}

export interface XdsServer {
  /**
   * Binds a gRPC server to an address with the service on it; resolves to the port. Several servers (ports) may share the
   * service, and tell callers each in its own way.
   */
  bind(server: Server, address: ListenAddress, credentials: ServerCredentials, peerOf?: PeerOf): Promise<number>;
  /** The same for a server that doesn't listen: what it returns takes connections that others have accepted, before TLS. */
  injector(server: Server, credentials: ServerCredentials, peerOf?: PeerOf): (connection: Socket) => void;
  streams(): readonly StreamStatus[];
  /** How far the clients are. */
  progress(): readonly StreamProgress[];
  /** Streams admitted and not ended, including those that haven't said who they are. */
  connected(): number;
  /** Ends all streams, spread over `grace` ms so that the other replicas aren't stormed; refuses new ones. */
  close(grace: number): Promise<void>;
}

/** Some twenty first responses of a large mesh. */
export const MAX_UNSENT = 64 * 1024 * 1024;
/** Some thirty pushes of a large mesh's routes. */
export const MAX_UNANSWERED_BYTES = 16 * 1024 * 1024;
/** A change begins with an eighth of that. */
const SLOW_START = 8;
/** Streams that open together: some 16 MB of what proxies of a large mesh say that they have. */
export const MAX_OPENINGS = 64;
/** Longest wait of a first sync for those before it to be read, ms. */
const MAX_WAIT = 5_000;
const MAX_REQUEST = 32 * 1024 * 1024;

/**
 * Options for the gRPC server. A client that reconnects with 100,000 resources names each twice and states its
 * version, about 25 MB: the gRPC default of 4 MiB would lock it out for good. Pings are not grpc-js's (see
 * keepalive.ts); clients may ping as often as they like. Channelz stays on: without it grpc-js 1.14 forgets its sessions, and
 * a forced shutdown leaves them open.
 */
export const XDS_CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MAX_REQUEST,
  'grpc.max_send_message_length': -1,
  'grpc.max_concurrent_streams': 100_000,
};

/** istiod's: a dead peer is found within 45 s. */
const KEEPALIVE = { every: 30_000, patience: 10_000 };

const SERVICE = 'envoy.service.discovery.v3.AggregatedDiscoveryService';
const METHODS: readonly (readonly [string, Mode])[] = [
  ['StreamAggregatedResources', 'sotw'],
  ['DeltaAggregatedResources', 'delta'],
];
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;

/** Starts serving; nothing happens until the service is registered on a server. */
export function startXds(options: XdsOptions): XdsServer {
  return new AggregatedDiscovery(options);
}

class AggregatedDiscovery implements XdsServer {
  readonly #options: XdsOptions;
  readonly #shared: StreamContext;
  readonly #admission: Admission;
  readonly #openings: Openings;
  readonly #memory: SharedMemory;
  readonly #backlog = new Backlog();
  readonly #keepalive: Keepalive;
  readonly #streams = new Set<XdsStream>();
  readonly #seed: string;
  #serial = 0;
  #closing = false;
  #idle: (() => void) | undefined;

  constructor(options: XdsOptions) {
    const { port, meter, clock, timers } = options;
    this.#options = options;
    // No other process has this one, nor this process after a restart: nonces must not come twice.
    this.#seed = `${clock.now().toString(36)}${randomInt(36 ** 4).toString(36)}`;
    this.#admission = new Admission({ clock, timers, rate: options.newStreamsPerSecond ?? 0 });
    const metrics = xdsMetrics(meter);
    const { maxUnanswered = MAX_UNANSWERED_BYTES } = options;
    this.#memory = new SharedMemory({ timers, collect: options.collect ?? (() => {}) });
    this.#keepalive = new Keepalive({ timers, ...(options.keepalive ?? KEEPALIVE) });
    this.#openings = new Openings({
      timers,
      limit: options.maxOpenings ?? MAX_OPENINGS,
      waiting: metrics.waitingOpens,
    });
    this.#shared = {
      port,
      clock,
      timers,
      log: options.log.child('xds'),
      metrics,
      pool: new NamePool(),
      encoder: new Encoder({ identifier: options.identifier }),
      unsent: new Gate({
        timers,
        limit: options.maxUnsent ?? MAX_UNSENT,
        maxWait: MAX_WAIT,
        waiting: metrics.waiting,
      }),
      unanswered: new Unanswered({
        timers,
        limit: maxUnanswered,
        start: maxUnanswered / SLOW_START,
        waiting: metrics.waitingPushes,
      }),
      scheduler: new Scheduler({ clock, defer: options.defer ?? setImmediate }),
      orderTimeout: options.orderTimeout ?? 5_000,
      writeTimeout: options.writeTimeout ?? 60_000,
    };
    port.paced?.(() => this.#shared.scheduler.idle());
  }

  bind(
    server: Server,
    address: ListenAddress,
    credentials: ServerCredentials,
    peerOf = this.#options.peerOf,
  ): Promise<number> {
    const { log } = this.#shared;
    return bindWithRoutes(server, address, credentials, this.#routes(peerOf), (error) =>
      log.error({ error: error.message }, 'connections cannot be accepted'),
    );
  }

  injector(
    server: Server,
    credentials: ServerCredentials,
    peerOf = this.#options.peerOf,
  ): (connection: Socket) => void {
    return injectorWithRoutes(server, credentials, this.#routes(peerOf));
  }

  #routes(peerOf: PeerOf): Routes {
    const streams = new Map<string, StreamHandler>();
    const options = {
      timers: this.#shared.timers,
      maxMessage: MAX_REQUEST,
      highWater: this.#options.highWater ?? 256 * 1024,
      unsent: this.#shared.unsent,
      memory: this.#memory,
    };
    for (const [method, mode] of METHODS) {
      streams.set(`/${SERVICE}/${method}`, (stream, headers) =>
        this.#open(mode, new GrpcCall(stream, headers, options), peerOf),
      );
    }
    const watch = (session: ServerHttp2Session): void => {
      if (!this.#closing) this.#keepalive.watch(session);
    };
    return { streams, session: watch };
  }

  #open(mode: Mode, call: GrpcCall, peerOf: PeerOf): void {
    if (this.#closing) return this.#refuse(call, UNAVAILABLE, 'this server is shutting down');
    const cancel = this.#admission.ask((admitted) => {
      if (!admitted) return this.#refuse(call, RESOURCE_EXHAUSTED, 'too many new streams');
      this.#authenticate(mode, call, peerOf);
    });
    // Who was admitted at once may wait for its opening already.
    call.onOver ??= cancel;
  }

  #refuse(call: GrpcCall, code: number, message: string): void {
    this.#shared.metrics.refused.inc({ code: String(code) });
    call.end(code, message, false);
  }

  #authenticate(mode: Mode, call: GrpcCall, peerOf: PeerOf): void {
    const take = (peer: Peer | Refusal): void => {
      if (call.over) return;
      if ('kind' in peer) this.#refuse(call, peer.code, peer.message);
      else if (this.#closing) this.#refuse(call, UNAVAILABLE, 'this server is shutting down');
      else this.#accept(mode, call, peer);
    };
    const fail = (error: unknown): void => {
      this.#shared.metrics.internalErrors.inc();
      this.#shared.log.error({ error }, 'a peer could not be identified');
      this.#refuse(call, UNAVAILABLE, 'the peer could not be identified');
    };
    try {
      const peer = peerOf(call);
      if (peer instanceof Promise) peer.then(take).catch(fail);
      else take(peer);
    } catch (error) {
      fail(error);
    }
  }

  #accept(mode: Mode, call: GrpcCall, peer: Peer): void {
    const opening = this.#openings.begin((open) => this.#read(mode, call, peer, () => open.over()));
    if (!call.over) call.onOver = () => opening.over();
  }

  /**
   * `said`: the client has said something, and nothing of it is left to read. Gives what tells whether there is something to
   * read.
   */
  #read(mode: Mode, call: GrpcCall, peer: Peer, said: () => void): () => boolean {
    if (this.#closing) {
      this.#refuse(call, UNAVAILABLE, 'this server is shutting down');
      return () => false;
    }
    const { metrics } = this.#shared;
    const serial = `${this.#seed}.${(this.#serial++).toString(36)}`;
    const stream = new XdsStream(mode, peer, call, this.#shared, serial);
    this.#streams.add(stream);
    metrics.opened.inc({ mode });
    metrics.connected.set(this.#streams.size);
    let unread = 0;
    const take = (bytes: Buffer): void =>
      stream.request(bytes, () => {
        this.#memory.give(bytes);
        if (--unread === 0 && call.betweenMessages) said();
      });
    const intake = new Intake(call, take, {
      scheduler: this.#shared.scheduler,
      backlog: this.#backlog,
      pressing: () => !stream.expectsAcknowledgement,
    });
    call.widen();
    call.listen({
      message: (bytes) => {
        if (bytes.length > this.#largest) this.#sawRequest(bytes.length);
        unread++;
        intake.take(bytes);
      },
      writable: () => stream.writable(),
      ended: () => {
        intake.drop();
        said();
        stream.closed();
        if (!this.#streams.delete(stream)) return;
        metrics.connected.set(this.#streams.size);
        if (this.#streams.size === 0) this.#idle?.();
      },
    });
    return () => unread > 0 || !call.betweenMessages;
  }

  #largest = 0;

  #sawRequest(size: number): void {
    this.#largest = size;
    this.#shared.metrics.requestMax.set(size);
  }

  streams(): readonly StreamStatus[] {
    return [...this.#streams].flatMap((stream) => stream.status() ?? []);
  }

  progress(): readonly StreamProgress[] {
    return [...this.#streams].flatMap((stream) => stream.progress() ?? []);
  }

  connected(): number {
    return this.#streams.size;
  }

  async close(grace: number): Promise<void> {
    this.#closing = true;
    const { timers } = this.#shared;
    const streams = [...this.#streams];
    const steps = grace > 0 ? Math.min(20, streams.length) : 1;
    for (let step = 0; step < steps; step++) {
      const from = Math.floor((streams.length * step) / steps);
      const to = Math.floor((streams.length * (step + 1)) / steps);
      for (const stream of streams.slice(from, to))
        stream.close(UNAVAILABLE, 'this server is shutting down', grace <= 0);
      if (step + 1 < steps) await new Promise<void>((resolve) => timers.setTimeout(resolve, grace / steps));
    }
    this.#memory.close();
    this.#keepalive.stop();
    if (this.#streams.size === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = timers.setTimeout(resolve, Math.max(grace / 20, 100));
      this.#idle = () => {
        cancel();
        resolve();
      };
    });
  }
}
