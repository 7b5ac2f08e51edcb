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
 * The timeout of a route, and the same as the limit to what gRPC callers ask for: with none given, Envoy would not look
 * at their deadlines at all. The older spelling of the limit is deprecated.
 */
export function timeouts(timeout: string, dialect: Dialect): Timeouts {
  if (dialect === 'classic') return { timeout, maxGrpcTimeout: timeout };
  return { timeout, maxStreamDuration: { grpcTimeoutHeaderMax: timeout } };
}

/** Where a destination leads. */
export interface Target {
  readonly cluster: string;
  readonly hash: ConsistentHashLB | undefined;
}

const SEMANTICS_ANNOTATION = 'internal.istio.io/route-semantics';

export function semanticsOf({ object }: VirtualService): RouteSemantics {
  const value = object.annotations[SEMANTICS_ANNOTATION];
  return value === 'gateway' || value === 'ingress' ? value : 'istio';
}
