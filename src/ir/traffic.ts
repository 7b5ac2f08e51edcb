// VirtualServices, DestinationRules, Gateways and Sidecars after linking: names resolved, delegates merged, nothing left
// to look up. Nodes are immutable and keep their identity as long as everything that they were linked from is the same.

import type { ConfigObject } from '../config/object.ts';
import type {
  DestinationRuleSpec,
  GatewaySpec,
  HTTPRoute,
  Server,
  ServiceEntrySpec,
  SidecarSpec,
  Subset,
  TCPRoute,
  TLSRoute,
  TrafficPolicy,
  VirtualServiceSpec,
} from '../config/generated/types.ts';
import type { Service, Visibility } from './service.ts';

/** The gateway name by which a VirtualService applies to sidecars. */
export const MESH_GATEWAY = 'mesh';

/** A VirtualService with delegates merged in and every host and gateway name made absolute. */
export interface VirtualService {
  readonly object: ConfigObject<VirtualServiceSpec>;
  readonly namespace: string;
  readonly name: string;
  readonly created: number;
  /** FQDNs and wildcards, as written otherwise. */
  readonly hosts: readonly string[];
  /** `mesh` or `NAMESPACE/NAME`. */
  readonly gateways: readonly string[];
  readonly exportTo: Visibility;
  /** Destination, mirror hosts and match gateways absolute; delegates replaced by their routes. */
  readonly http: readonly HTTPRoute[];
  readonly tls: readonly TLSRoute[];
  readonly tcp: readonly TCPRoute[];
  /** Delegate objects merged in. */
  readonly delegates: readonly ConfigObject<VirtualServiceSpec>[];
}

/** One or several merged DestinationRules of one host in one namespace. */
export interface DestinationRule {
  readonly host: string;
  readonly namespace: string;
  readonly exportTo: Visibility;
  readonly workloadSelector?: Readonly<Record<string, string>> | undefined;
  readonly trafficPolicy?: TrafficPolicy | undefined;
  readonly subsets: readonly Subset[];
  /** In merge order; the first gives its name to cluster metadata. */
  readonly objects: readonly ConfigObject<DestinationRuleSpec>[];
}

/** A Sidecar as it applies to one class of proxies; undefined members fall to the mesh. */
export interface SidecarNode {
  readonly object: ConfigObject<SidecarSpec>;
}

/** A visible service together with what applies to it for one class of clients. */
export interface ScopedService {
  /** Ports may be trimmed to those that a Sidecar listener selects. */
  readonly service: Service;
  readonly rule: DestinationRule | undefined;
  /** Inferred mTLS mode of the servers, for auto mTLS; undefined = unknown (no auto mTLS). */
  readonly mtls: 'STRICT' | 'PERMISSIVE' | 'DISABLE' | undefined;
}

/** One listener of a Sidecar's egress list, or the implicit catch-all one. */
export interface EgressListener {
  /** Undefined for the catch-all. */
  readonly port?: { readonly number: number; readonly protocol: string; readonly name: string } | undefined;
  readonly bind: string;
  readonly captureMode: 'DEFAULT' | 'IPTABLES' | 'NONE';
  /** In registry order: oldest first, then name, then namespace. */
  readonly services: readonly ScopedService[];
  /** Visible to this listener, oldest first, only those that apply to `mesh`. */
  readonly virtualServices: readonly VirtualService[];
}

export interface OutboundPolicy {
  readonly mode: 'ALLOW_ANY' | 'REGISTRY_ONLY' | 'ALLOW_ANY_DYNAMIC_DNS';
  readonly egressProxy?: { readonly host: string; readonly port: number; readonly subset: string } | undefined;
}

/** One server of the Gateways merged on a router, after conflicts are settled. */
export interface GatewayServer {
  readonly server: Server;
  readonly gateway: ConfigObject<GatewaySpec>;
  /** `NAMESPACE/NAME`. */
  readonly gatewayName: string;
  readonly index: number;
  /** Hosts as written, with their namespace part made absolute: `*`, a namespace. */
  readonly hosts: readonly { readonly namespace: string; readonly host: string }[];
  /** Port that users name. */
  readonly port: number;
  /** Port on which the pod listens. */
  readonly targetPort: number;
  readonly bind: string;
  readonly protocol: string;
  /** Name of its RouteConfiguration; empty for servers without one. */
  readonly routeName: string;
  /** HTTPS that is served over QUIC too, on the UDP port of the same number. */
  readonly quic?: true | undefined;
}

/** Servers that share one bind and port. */
export interface GatewayPort {
  readonly bind: string;
  readonly targetPort: number;
  /** `HTTP`: one plaintext HTTP chain. `TLS`: chains by SNI. `TCP`: one opaque chain. */
  readonly class: 'HTTP' | 'TLS' | 'TCP';
  readonly servers: readonly GatewayServer[];
}

export interface MergedGateway {
  readonly ports: readonly GatewayPort[];
  /** By RouteConfiguration name, in order of age. */
  readonly routes: ReadonlyMap<string, readonly GatewayServer[]>;
  readonly hasAutoPassthrough: boolean;
  /** VirtualServices bound to one of the gateways, oldest first, by `NAMESPACE/NAME` of the gateway. */
  readonly virtualServices: ReadonlyMap<string, readonly VirtualService[]>;
}

export type { Server, ServiceEntrySpec };
