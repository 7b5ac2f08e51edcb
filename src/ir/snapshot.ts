// The linked state of the mesh at one moment. Built from the store's state, never changed; the next snapshot shares every
// unchanged part with this one by identity.

import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import type { MeshConfig, MeshNetworks } from '../config/mesh.ts';
import type { AuthorizationPolicySpec, PeerAuthenticationSpec } from '../config/generated/types.ts';
import type { Table } from '../lib/table.ts';
import type { ServiceEndpoints } from './endpoint.ts';
import type { MtlsMode, PolicySet } from './policy.ts';
import type { ProxyClass } from './proxy.ts';
import type { Service } from './service.ts';
import type { EgressListener, MergedGateway, OutboundPolicy, ScopedService, VirtualService } from './traffic.ts';

/** The gateways through which one network is reached from others. */
export interface NetworkGateway {
  readonly network: string;
  /** Empty: any cluster. */
  readonly clusterId: string;
  readonly address: string;
  readonly port: number;
}

export interface Networks {
  /** By `network` and by `network@cluster`; sorted by address then port. */
  readonly gateways: ReadonlyMap<string, readonly NetworkGateway[]>;
  readonly all: readonly NetworkGateway[];
  /** Prefixes of addresses in the mesh, as the mesh networks have them. */
  readonly prefixes: readonly string[];
}

/** PeerAuthentication look-ups for endpoints: what mode does a workload with these labels accept on this port. */
export interface PeerAuthnIndex {
  modeOf(namespace: string, labels: Readonly<Record<string, string>>, targetPort: number): MtlsMode;
  /** Of a whole namespace, ignoring workload objects. */
  namespaceMode(namespace: string): MtlsMode;
  readonly objects: readonly ConfigObject<PeerAuthenticationSpec>[];
}

export interface Snapshot {
  readonly sequence: number;
  readonly mesh: MeshConfig;
  readonly networks: Networks;
  readonly meshNetworks: MeshNetworks;
  /**
   * By hostname, in registry order. Several where several namespaces define the same host, or where a ServiceEntry has
   * several addresses: then one for each address, with the same namespace.
   */
  readonly services: Table<readonly Service[]>;
  /** By hostname, one entry per namespace as in `services`. */
  readonly endpoints: Table<readonly ServiceEndpoints[]>;
  readonly peerAuthn: PeerAuthnIndex;
  readonly authorization: readonly ConfigObject<AuthorizationPolicySpec>[];
  readonly secrets: Table<ConfigObject>;
  readonly configMaps: Table<ConfigObject>;
  readonly counts: Readonly<Partial<Record<Kind, number>>>;
  readonly findings: readonly Finding[];
}

/**
 * What one class of proxies sees. Every member keeps its identity from snapshot to snapshot while it is equal, so that a
 * translator can use any of them as a memo input.
 */
export interface Scope {
  readonly proxyClass: ProxyClass;
  readonly mesh: MeshConfig;
  readonly networks: Networks;
  readonly peerAuthn: PeerAuthnIndex;
  /** Every visible service by hostname: the input of clusters and endpoints. */
  readonly services: Table<ScopedService>;
  /** The endpoints of those services, by hostname. */
  readonly endpoints: Table<ServiceEndpoints>;
  /** The same services in registry order. */
  readonly ordered: readonly ScopedService[];
  /** Sidecars: listeners with a port first, in the order of the Sidecar, the catch-all last. Routers: one catch-all. */
  readonly egress: readonly EgressListener[];
  /** Every VirtualService that applies to the class, oldest first: those of `mesh`, or of a router's own Gateways. */
  readonly virtualServices: readonly VirtualService[];
  readonly outboundPolicy: OutboundPolicy;
  /** Routers only. */
  readonly gateway?: MergedGateway | undefined;
  /** Policies of the class as a client or gateway: Telemetry, EnvoyFilter, extensions; for routers all of them. */
  readonly policies: PolicySet;
  /** Of a class with a place: what its placeless class sees, which is the same but for the class. */
  readonly placeless?: Scope | undefined;
}
