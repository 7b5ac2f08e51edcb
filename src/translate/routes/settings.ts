// What the routes of a VirtualService depend on besides the VirtualService itself: few flat values, so that listeners and
// classes that agree on them share the routes.

import type { ConsistentHashLB, HTTPRetry } from '../../config/generated/types.ts';
import type { VirtualService } from '../../ir/traffic.ts';

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
