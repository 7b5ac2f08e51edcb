// What a translator hands over: one named, already encoded resource and the objects that shaped it.

import type { ConfigObject, ObjectRef } from '../config/object.ts';

export interface Origin extends ObjectRef {
  readonly generation: number;
  /** Where in the object, as a path such as `spec.http[0]`; undefined = the whole object. */
  readonly field?: string | undefined;
  /** Set when the object lost a conflict over this resource: why. */
  readonly lost?: string | undefined;
}

/** A memoised renderer returns the same draft as long as its inputs are the same: encoding and hashing follow identity. */
export interface Draft {
  readonly typeUrl: string;
  readonly name: string;
  /** The encoded message, without its Any. Of one in pieces they are put together whenever it is asked for. */
  readonly bytes: Uint8Array;
  /**
   * The bytes, piece by piece, where most stay while others change: each is hashed once, and may be part of many drafts. The
   * same message must come in the same pieces whenever it is made.
   */
  readonly pieces?: readonly Uint8Array[] | undefined;
  readonly origins: readonly Origin[];
}

export function originOf(object: ConfigObject, field?: string, lost?: string): Origin {
  return {
    kind: object.kind,
    namespace: object.namespace,
    name: object.name,
    generation: object.generation,
    field,
    lost,
  };
}

export const TYPE_URL = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  virtualHost: 'type.googleapis.com/envoy.config.route.v3.VirtualHost',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  extension: 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
  nameTable: 'type.googleapis.com/istio.networking.nds.v1.NameTable',
  proxyConfig: 'type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig',
} as const;
