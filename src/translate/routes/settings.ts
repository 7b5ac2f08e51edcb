// What the routes of a VirtualService depend on besides the VirtualService itself: few flat values, so that listeners and
// classes that agree on them share the routes.

import type { ConsistentHashLB, HTTPRetry } from '../../config/generated/types.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { VirtualService } from '../../ir/traffic.ts';
import type { Messages } from '../../messages/index.ts';

/** Whose rules a VirtualService follows: it may have been made from an object of the Gateway API or an Ingress. */
export type RouteSemantics = 'istio' | 'gateway' | 'ingress';

export interface RouteSettings {
  /** Port of the service or of the gateway server; 0 on an HTTP proxy port. */
  readonly port: number;
  /** The listener terminates TLS. */
  readonly tls: boolean;
  readonly semantics: RouteSemantics;
  /** MeshConfig `defaultHttpRetryPolicy`. */
  readonly defaultRetries: HTTPRetry | undefined;
  /** ProxyConfig `proxyHeaders.xForwardedHost`. */
  readonly forwardedHost: boolean;
  readonly dialect: Dialect;
}

type Timeouts = Pick<Messages['envoy.config.route.v3.RouteAction'], 'timeout' | 'maxGrpcTimeout' | 'maxStreamDuration'>;

/**
 * The timeout of a route. `max_grpc_timeout`, by which gRPC callers may ask for less, is deprecated. Its successor
 * `max_stream_duration` makes the router ignore `timeout` altogether (and with it retries and outlier detection), so it
 * stands only where there is no timeout: there it makes Envoy look at the deadlines of gRPC callers.
 */
export function timeouts(timeout: string, dialect: Dialect): Timeouts {
  if (dialect === 'classic') return { timeout, maxGrpcTimeout: timeout };
  return timeout === '0s' ? { timeout, maxStreamDuration: { grpcTimeoutHeaderMax: timeout } } : { timeout };
}

/** Where a destination leads. */
export interface Target {
  readonly cluster: string;
  readonly hash: ConsistentHashLB | undefined;
  /** How its service keeps callers with one endpoint, while that is on. */
  readonly session: string | undefined;
}

const SEMANTICS_ANNOTATION = 'internal.istio.io/route-semantics';

export function semanticsOf({ object }: VirtualService): RouteSemantics {
  const value = object.annotations[SEMANTICS_ANNOTATION];
  return value === 'gateway' || value === 'ingress' ? value : 'istio';
}
