// What users know the kinds by: versions, short names, columns of `kubectl get`. Called by crds.ts.
// The stored version is the one that Istio's own definitions store, so that either can replace the other.

export interface CrdFacts {
  readonly about: string;
  /** The first is stored unless `storage` says otherwise. */
  readonly versions: readonly string[];
  readonly storage?: string;
  readonly shortNames?: readonly string[];
  /** An object without `spec` means nothing. */
  readonly needsSpec?: true;
  readonly columns?: readonly (readonly [name: string, jsonPath: string, description: string])[];
}

const NETWORKING = ['v1', 'v1alpha3', 'v1beta1'];
const SECURITY = ['v1', 'v1beta1'];

export const CRD_FACTS: Readonly<Record<string, CrdFacts>> = {
  VirtualService: {
    about: 'Where requests for a host go: matches, weights, retries, timeouts, faults, mirrors.',
    versions: NETWORKING,
    shortNames: ['vs'],
    columns: [
      ['Gateways', '.spec.gateways', 'Gateways, or "mesh", that these routes apply to.'],
      ['Hosts', '.spec.hosts', 'Hosts whose requests are routed.'],
    ],
  },
  DestinationRule: {
    about: 'How a host is called once a route is chosen: subsets, load balancing, connection pools, outliers, TLS.',
    versions: NETWORKING,
    shortNames: ['dr'],
    columns: [['Host', '.spec.host', 'Host that the rule is for.']],
  },
  Gateway: {
    about: 'Ports, hosts and TLS that gateway proxies listen with.',
    versions: NETWORKING,
    shortNames: ['gw'],
  },
  ServiceEntry: {
    about: 'A service that Kubernetes does not know of.',
    versions: NETWORKING,
    shortNames: ['se'],
    needsSpec: true,
    columns: [
      ['Hosts', '.spec.hosts', 'Hosts of the service.'],
      ['Location', '.spec.location', 'MESH_EXTERNAL or MESH_INTERNAL.'],
      ['Resolution', '.spec.resolution', 'How addresses are found.'],
    ],
  },
  WorkloadEntry: {
    about: 'A workload outside Kubernetes: address, labels, identity.',
    versions: NETWORKING,
    shortNames: ['we'],
    needsSpec: true,
    columns: [['Address', '.spec.address', 'Address of the workload.']],
  },
  WorkloadGroup: {
    about: 'A template for workloads outside Kubernetes that register themselves.',
    versions: NETWORKING,
    shortNames: ['wg'],
    needsSpec: true,
  },
  Sidecar: {
    about: 'What the sidecars of a namespace or workload listen on and can reach.',
    versions: NETWORKING,
  },
  EnvoyFilter: { about: 'Patches to the configuration that proxies are given.', versions: ['v1alpha3'] },
  ProxyConfig: { about: 'Settings of the proxies of a namespace or workload.', versions: ['v1beta1'] },
  AuthorizationPolicy: {
    about: 'Who may call what.',
    versions: SECURITY,
    shortNames: ['ap'],
    columns: [['Action', '.spec.action', 'ALLOW, DENY, AUDIT or CUSTOM.']],
  },
  PeerAuthentication: {
    about: 'Whether callers must use mutual TLS.',
    versions: SECURITY,
    shortNames: ['pa'],
    columns: [['Mode', '.spec.mtls.mode', 'Mode of mutual TLS.']],
  },
  RequestAuthentication: {
    about: 'Which JSON web tokens are accepted with requests.',
    versions: SECURITY,
    shortNames: ['ra'],
  },
  Telemetry: {
    about: 'Metrics, traces and access logs of proxies.',
    versions: ['v1', 'v1alpha1'],
    storage: 'v1alpha1',
    shortNames: ['telemetry'],
  },
  WasmPlugin: {
    about: 'A WebAssembly filter for proxies.',
    versions: ['v1alpha1'],
    needsSpec: true,
  },
  TrafficExtension: {
    about: 'A WebAssembly or Lua filter for proxies.',
    versions: ['v1alpha1'],
    needsSpec: true,
  },
};
