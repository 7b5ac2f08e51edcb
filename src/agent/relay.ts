// Envoy's ADS stream, passed on to the control plane byte for byte; what the agent adds to it is in relay-traffic.ts.
// In: streams on a unix socket; out: one stream upstream for each. Either side's end ends the other, so that Envoy starts over
// with all it knows; a slow side slows the other down, so that nothing piles up here. Called by agent.ts.

import type { ServerCall } from '../grpc/call.ts';
import { ClientCall } from '../grpc/client.ts';
import { CODES, reasonOf } from '../grpc/errors.ts';
import { payload } from '../grpc/frames.ts';
import { serveOnSocket, type SocketServer } from '../grpc/socket-server.ts';
import type { Log, Meter, Timers } from '../lib/ports.ts';
import type { ServerTarget } from './config.ts';
import { openTraffic, type TrafficParts, type XdsForm } from './relay-traffic.ts';
import { type Upstream, type UpstreamIdentity, upstreamOf } from './upstream.ts';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const PATHS: Readonly<Record<XdsForm, string>> = {
  sotw: `${SERVICE}/StreamAggregatedResources`,
  delta: `${SERVICE}/DeltaAggregatedResources`,
};

const DIAL_TIMEOUT_MS = 5000;

export interface RelayOptions {
  readonly socket: string;
  readonly target: ServerTarget;
  readonly identity: UpstreamIdentity;
  /** What the agent wants of the stream for itself. */
  readonly traffic: TrafficParts;
}

/** Serves until the server is closed. */
export async function serveRelay(options: RelayOptions, ports: RelayPorts): Promise<SocketServer> {
  const { meter, timers } = ports;
  const context: RelayContext = { options, log: ports.log.child('xdsproxy'), counters: countersOf(meter), timers };
  const route = (form: XdsForm) => [PATHS[form], (call: ServerCall) => void relay(call, form, context)] as const;
  return serveOnSocket(options.socket, new Map([route('sotw'), route('delta')]), timers);
}

export interface RelayPorts {
  readonly log: Log;
  readonly meter: Meter;
  readonly timers: Timers;
}

interface RelayContext {
  readonly options: RelayOptions;
  readonly log: Log;
  readonly counters: ReturnType<typeof countersOf>;
  readonly timers: Timers;
}

async function relay(down: ServerCall, form: XdsForm, context: RelayContext): Promise<void> {
  const { log, options } = context;
  try {
    const upstream = await upstreamOf(options.target, options.identity);
    if (down.over) return void upstream.target.tunnel?.destroy();
    log.debug({ address: options.target.address, form }, 'stream opened');
    tie(down, form, upstream, context);
  } catch (error) {
    notReached(down, reasonOf(error), context);
  }
}

function notReached(down: ServerCall, reason: string, { log, counters, options }: RelayContext): void {
  counters.failures.inc();
  log.error({ address: options.target.address, reason }, 'control plane not reached');
  down.end(CODES.UNAVAILABLE, `control plane not reached: ${reason}`, false);
}

/** Ties the two streams together for the rest of their lives. A side that is slow is not read for by the other. */
function tie(down: ServerCall, form: XdsForm, { target, metadata }: Upstream, context: RelayContext): void {
  const { log, counters, options, timers } = context;
  let isConnected = false;
  let isOver = false;
  const finish = (act: () => void): void => {
    if (isOver) return;
    isOver = true;
    cancelDial();
    traffic.close();
    act();
  };
  const up = new ClientCall(
    target,
    PATHS[form],
    {
      connected: () => {
        isConnected = true;
        cancelDial();
      },
      message: (bytes) => {
        counters.responses.inc();
        if (!traffic.response(bytes)) up.pause();
      },
      writable: () => down.resume(),
      ended: ({ code, details }) =>
        finish(() => {
          if (!isConnected) return notReached(down, details, context);
          counters.terminations.inc();
          log.info({ code, details }, 'stream ended by the control plane');
          down.end(code, details, false);
        }),
    },
    { metadata },
  );
  const cancelDial = timers.setTimeout(() => {
    up.cancel();
    finish(() => notReached(down, `no connection within ${DIAL_TIMEOUT_MS} ms`, context));
  }, DIAL_TIMEOUT_MS);
  const ends = {
    toControlPlane: (bytes: Buffer) => up.write(bytes),
    toEnvoy: (bytes: Buffer) => down.write(payload(bytes)),
    restart: (reason: string) => {
      log.info({ reason }, 'stream ended, for Envoy to start over');
      up.cancel();
      finish(() => down.end(CODES.UNAVAILABLE, reason, false));
    },
  };
  const traffic = openTraffic(form, options.traffic, ends, log);
  down.listen({
    message: (bytes) => {
      counters.requests.inc();
      if (!traffic.request(bytes)) down.pause();
    },
    writable: () => up.resume(),
    halfClosed: () => {
      traffic.close();
      up.end();
    },
    ended: () => {
      up.cancel();
      finish(() => counters.envoyTerminations.inc());
    },
  });
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
