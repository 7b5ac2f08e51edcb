// Endpoints of services, joined from EndpointSlices, Pods, Nodes, ServiceEntries and WorkloadEntries.

export type Health =
  /** Nobody checks it (ServiceEntry, WorkloadEntry): no health_status is written. */
  'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING';

/** One address of one port of a service. */
export interface Endpoint {
  /** IP address, host name (DNS resolutions only) or `unix:///path`. */
  readonly address: string;
  /** IP addresses of the same workload that callers may use as well: those of a pod with both families. Absent otherwise. */
  readonly otherAddresses?: readonly string[] | undefined;
  /** 0 for unix sockets. */
  readonly port: number;
  /** Name of the service port that it serves. */
  readonly portName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `region/zone/subzone`, parts may be missing. */
  readonly locality: string;
  readonly network: string;
  readonly clusterId: string;
  /** SPIFFE id, empty when unknown. */
  readonly identity: string;
  readonly tlsMode: 'istio' | 'disabled';
  readonly health: Health;
  /** 0 = not given (counts as 1). */
  readonly weight: number;
  readonly namespace: string;
  readonly workloadName: string;
  readonly nodeName: string;
  readonly hostname: string;
  readonly subdomain: string;
}

/** All endpoints of one service. A new object whenever one of them changes; the lists inside keep their identity when equal. */
export interface ServiceEndpoints {
  readonly namespace: string;
  readonly hostname: string;
  /** Sorted by cluster id, then as the registry orders them; deterministic. */
  readonly endpoints: readonly Endpoint[];
  /** SPIFFE ids of the endpoints, sorted, each once: what a client's SAN check accepts. */
  readonly identities: readonly string[];
  /** True when there is one endpoint without a sidecar. */
  readonly someWithoutTls: boolean;
}
