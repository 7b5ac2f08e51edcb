// Services as translators see them, whichever object they came from.

import type { ObjectRef } from '../config/object.ts';

/** How endpoints of a service are found, which decides the type of its clusters. */
export type Resolution =
  /** EDS. Kubernetes ClusterIP; ServiceEntry STATIC. */
  | 'ClientSideLB'
  /** ORIGINAL_DST on sidecars, EDS on gateways. Kubernetes headless; ServiceEntry NONE. */
  | 'Passthrough'
  /** STRICT_DNS. */
  | 'DNSLB'
  /** LOGICAL_DNS. */
  | 'DNSRoundRobinLB'
  /** Dynamic forward proxy. */
  | 'DynamicDNS'
  /** ExternalName: no cluster, further domains of the service that it names. */
  | 'Alias';

export type Protocol =
  | 'UDP'
  | 'HTTP'
  | 'HTTP2'
  | 'HTTP_PROXY'
  | 'GRPC'
  | 'GRPC-Web'
  | 'TCP'
  | 'HTTPS'
  | 'TLS'
  | 'Mongo'
  | 'Redis'
  | 'MySQL'
  /** Not declared: sniffed by the proxy. */
  | 'AUTO';

export interface ServicePort {
  readonly name: string;
  readonly number: number;
  readonly protocol: Protocol;
  /** Kubernetes: number or container port name. ServiceEntry: number. Undefined: same as `number`. */
  readonly targetPort?: number | string | undefined;
}

/** `*` everywhere, or the namespaces that may see it; an empty set: nobody. `.` is already resolved. */
export type Visibility = '*' | ReadonlySet<string>;

export interface Service {
  readonly hostname: string;
  /** Kubernetes: metadata.name. ServiceEntry: the hostname. */
  readonly name: string;
  readonly namespace: string;
  readonly registry: 'Kubernetes' | 'External';
  readonly resolution: Resolution;
  readonly ports: readonly ServicePort[];
  /** The address of a single-cluster view, a CIDR for some ServiceEntries; `0.0.0.0` = none. */
  readonly defaultAddress: string;
  /** VIPs of each cluster, both families, in the order of the object. */
  readonly clusterVips: ReadonlyMap<string, readonly string[]>;
  readonly autoAllocated?: { readonly v4: string; readonly v6: string } | undefined;
  readonly exportTo: Visibility;
  readonly labels: Readonly<Record<string, string>>;
  readonly selector?: Readonly<Record<string, string>> | undefined;
  /** ServiceEntry MESH_EXTERNAL: no auto-mTLS. */
  readonly meshExternal: boolean;
  /** internalTrafficPolicy Local. */
  readonly nodeLocal: boolean;
  readonly trafficDistribution?: 'PreferSameZone' | 'PreferSameNode' | undefined;
  readonly publishNotReadyAddresses: boolean;
  /** ServiceEntry `subjectAltNames`. */
  readonly subjectAltNames: readonly string[];
  /** Declared by annotation, as SPIFFE ids. */
  readonly serviceAccounts: readonly string[];
  /** Hostname that an Alias stands for. */
  readonly externalName?: string | undefined;
  /** Concrete services: hostnames of Alias services that lead here, sorted. */
  readonly aliases: readonly string[];
  /** Only endpoints of the proxy's own cluster are used. */
  readonly clusterLocal: boolean;
  /** Value of the label `istio.io/persistent-session`, if any. */
  readonly persistentSession?: string | undefined;
  /** Value of the label `istio.io/persistent-session-header`, if any. */
  readonly sessionHeader?: string | undefined;
  /** Headless Kubernetes service: `clusterIP: None`. */
  readonly headless: boolean;
  /** A ServiceEntry that selects workloads. */
  readonly selectsWorkloads: boolean;
  readonly created: number;
  /** The objects that it was made from: one, or several merged ServiceEntries. */
  readonly refs: readonly ObjectRef[];
}

export const NO_ADDRESS = '0.0.0.0';

export function isHttp(protocol: Protocol): boolean {
  return (
    protocol === 'HTTP' ||
    protocol === 'HTTP2' ||
    protocol === 'HTTP_PROXY' ||
    protocol === 'GRPC' ||
    protocol === 'GRPC-Web'
  );
}

export function isHttp2(protocol: Protocol): boolean {
  return protocol === 'HTTP2' || protocol === 'GRPC' || protocol === 'GRPC-Web';
}

export function isTls(protocol: Protocol): boolean {
  return protocol === 'HTTPS' || protocol === 'TLS';
}
