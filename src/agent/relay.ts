// Envoy's ADS stream, passed on to the control plane byte for byte; what the agent adds to it is in relay-traffic.ts.
// In: streams on a unix socket; out: one stream upstream for each. Either side's end ends the other, so that Envoy starts over
// with all it knows; a slow side slows the other down, so that nothing piles up here. Called by agent.ts.

import {
  type ClientDuplexStream,
  type Server,
  type ServerDuplexStream,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import type { Log, Meter } from '../lib/ports.ts';
import type { ServerTarget } from './config.ts';
import { rawMethod, sameBytes, serveOnSocket } from './raw-grpc.ts';
import { openTraffic, type TrafficParts, type XdsForm } from './relay-traffic.ts';
import { openUpstream, type Upstream, type UpstreamIdentity } from './upstream.ts';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const METHODS = {
  StreamAggregatedResources: rawMethod(`${SERVICE}/StreamAggregatedResources`, 'bidi'),
  DeltaAggregatedResources: rawMethod(`${SERVICE}/DeltaAggregatedResources`, 'bidi'),
};

const DIAL_TIMEOUT_MS = 5000;

type Downstream = ServerDuplexStream<Buffer, Buffer>;
type Upward = ClientDuplexStream<Buffer, Buffer>;

export interface RelayOptions {
  readonly socket: string;
  readonly target: ServerTarget;
  readonly identity: UpstreamIdentity;
  /** What the agent wants of the stream for itself. */
  readonly traffic: TrafficParts;
}

/** Serves until the server is shut down. */
export async function serveRelay(options: RelayOptions, log: Log, meter: Meter): Promise<Server> {
  const context: RelayContext = { options, log: log.child('xdsproxy'), counters: countersOf(meter) };
  return serveOnSocket(options.socket, METHODS, {
    StreamAggregatedResources: (call: Downstream) => void relay(call, 'sotw', context),
    DeltaAggregatedResources: (call: Downstream) => void relay(call, 'delta', context),
  });
}

interface RelayContext {
  readonly options: RelayOptions;
  readonly log: Log;
  readonly counters: ReturnType<typeof countersOf>;
}

const PATHS: Readonly<Record<XdsForm, string>> = {
  sotw: METHODS.StreamAggregatedResources.path,
  delta: METHODS.DeltaAggregatedResources.path,
};

async function relay(down: Downstream, form: XdsForm, context: RelayContext): Promise<void> {
  const { log, options } = context;
  // Every way in which a stream of grpc-js ends is looked at below; an unheard 'error' would end the process.
  down.on('error', () => undefined);
  let upstream: Upstream;
  try {
    upstream = await openUpstream(options.target, options.identity);
  } catch (error) {
    notReached(down, error instanceof Error ? error.message : String(error), context);
    return;
  }
  const { client, metadata } = upstream;
  if (down.cancelled) {
    client.close();
    return;
  }
  log.debug({ address: options.target.address, form }, 'stream opened');
  const up = client.makeBidiStreamRequest(PATHS[form], sameBytes, sameBytes, metadata, {});
  tie(down, up, form, upstream, context);
}

function notReached(down: Downstream, reason: string, { log, counters, options }: RelayContext): void {
  counters.failures.inc();
  log.error({ address: options.target.address, reason }, 'control plane not reached');
  fail(down, { code: status.UNAVAILABLE, details: `control plane not reached: ${reason}` });
}

/** Ties the two streams together for the rest of their lives. */
function tie(down: Downstream, up: Upward, form: XdsForm, { client }: Upstream, context: RelayContext): void {
  const { log, counters, options } = context;
  let isConnected = false;
  let end: StatusObject | undefined;
  let isOver = false;
  const finish = (act: () => void): void => {
    if (isOver) return;
    isOver = true;
    traffic.close();
    act();
    client.close();
  };
  const ends = {
    toControlPlane: (bytes: Buffer) => up.write(bytes),
    toEnvoy: (bytes: Buffer) => down.write(bytes),
    restart: (reason: string) => {
      log.info({ reason }, 'stream ended, for Envoy to start over');
      up.cancel();
      finish(() => fail(down, { code: status.UNAVAILABLE, details: reason }));
    },
  };
  const traffic = openTraffic(form, options.traffic, ends, log);
  pass(down, up, (bytes) => {
    counters.requests.inc();
    return traffic.request(bytes);
  });
  pass(up, down, (bytes) => {
    counters.responses.inc();
    return traffic.response(bytes);
  });
  down.on('end', () => {
    traffic.close();
    up.end();
  });
  down.on('cancelled', () => {
    up.cancel();
    finish(() => counters.envoyTerminations.inc());
  });
  client.waitForReady(Date.now() + DIAL_TIMEOUT_MS, (error) => {
    isConnected = error === undefined;
    if (isConnected || end !== undefined) return;
    up.cancel();
    finish(() => notReached(down, `no connection within ${DIAL_TIMEOUT_MS} ms`, context));
  });
  // The status says it all; the 'error' that grpc-js emits beside it must be heard by somebody.
  up.on('error', () => undefined);
  up.on('status', (received: StatusObject) => {
    end = received;
  });
  // The status overtakes messages that wait while Envoy is slow; 'end' comes after the last of them.
  up.on('end', () => {
    const { code, details } = end ?? { code: status.UNKNOWN, details: 'ended without a status' };
    finish(() => {
      if (!isConnected) return notReached(down, details, context);
      counters.terminations.inc();
      log.info({ code, details }, 'stream ended by the control plane');
      if (code === status.OK) down.end();
      else fail(down, { code, details });
    });
  });
}

interface Source {
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

interface Sink {
  once(event: 'drain', listener: () => void): unknown;
}

/** Hands messages over, and reads no further while the sink is full. */
function pass(source: Source, sink: Sink, hand: (bytes: Buffer) => boolean): void {
  source.on('data', (bytes) => {
    if (hand(bytes)) return;
    source.pause();
    sink.once('drain', () => source.resume());
  });
}

function fail(down: Downstream, end: { readonly code: status; readonly details: string }): void {
  down.emit('error', { code: end.code, details: end.details });
}

function countersOf(meter: Meter) {
  return {
    requests: meter.counter('istio_agent_xds_proxy_requests', 'xDS requests passed to the control plane.'),
    responses: meter.counter('istio_agent_xds_proxy_responses', 'xDS responses passed to Envoy.'),
    failures: meter.counter('istio_agent_istiod_connection_failures', 'Connections to the control plane that failed.'),
    terminations: meter.counter('istio_agent_istiod_connection_terminations', 'Streams that the control plane ended.'),
    envoyTerminations: meter.counter('istio_agent_envoy_connection_terminations', 'Streams that Envoy ended.'),
  };
}
