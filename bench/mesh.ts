// Meshes of any size, as the manifests that one would apply: same shape, same manifests, byte for byte.
// In: how many services, endpoints, namespaces, and how many of the services have routing of their own. Out: manifests
// by service, so that a benchmark can change one of them, and the nodes of proxies that stand beside endpoints.
// Called by the benchmarks and by the tests that count work.

export interface MeshShape {
  readonly services: number;
  /** Of each service. */
  readonly endpoints: number;
  readonly namespaces: number;
  /** Share of the services that have a DestinationRule with two subsets and a VirtualService: 0 to 1. */
  readonly routed: number;
  /** `kubernetes`: Service, EndpointSlice and Pods. `entries`: one ServiceEntry with inline endpoints. */
  readonly flavour: 'kubernetes' | 'entries';
}

export const SMALL_MESH: MeshShape = {
  services: 100,
  endpoints: 5,
  namespaces: 10,
  routed: 0.1,
  flavour: 'kubernetes',
};

/** One thing about a service that a change may set to another value than the mesh starts with. */
export interface ServiceState {
  /** Address of its first endpoint. */
  readonly address?: string | undefined;
  /** Address of its last endpoint, beside which the fewest proxies stand. */
  readonly last?: string | undefined;
  /** Weight of subset v1, in percent. */
  readonly weight?: number | undefined;
  /** Further endpoints: how many, and the first three numbers of their addresses. */
  readonly more?: { readonly count: number; readonly block: string } | undefined;
}

type Manifest = Readonly<Record<string, unknown>>;

const PORT = 8080;

export function namespaceOf(shape: MeshShape, index: number): string {
  return `ns-${index % shape.namespaces}`;
}

export function serviceName(index: number): string {
  return `svc-${index}`;
}

export function hostOf(shape: MeshShape, index: number): string {
  return `${serviceName(index)}.${namespaceOf(shape, index)}.svc.cluster.local`;
}

/** 10.0.0.0/8, each endpoint of the mesh once. */
export function addressOf(shape: MeshShape, index: number, endpoint: number): string {
  const at = index * shape.endpoints + endpoint;
  return `10.${16 + Math.floor(at / 62_500)}.${Math.floor(at / 250) % 250}.${1 + (at % 250)}`;
}

export function isRouted(shape: MeshShape, index: number): boolean {
  return shape.routed > 0 && index % Math.round(1 / shape.routed) === 0;
}

/** What the mesh starts with. */
export function meshManifests(shape: MeshShape): Manifest[] {
  const namespaces = Array.from({ length: shape.namespaces }, (_, i) => manifest('v1', 'Namespace', '', `ns-${i}`, {}));
  const services = Array.from({ length: shape.services }, (_, i) => [
    ...serviceManifests(shape, i),
    ...trafficManifests(shape, i),
  ]);
  return [...namespaces, ...services.flat()];
}

/** The service and where it runs. */
export function serviceManifests(shape: MeshShape, index: number, state: ServiceState = {}): Manifest[] {
  return shape.flavour === 'entries' ? [entryManifest(shape, index, state)] : kubernetesManifests(shape, index, state);
}

function addresses(shape: MeshShape, index: number, { address, last, more }: ServiceState): readonly string[] {
  const own = Array.from({ length: shape.endpoints }, (_, i) => {
    const changed = i === 0 && address !== undefined ? address : i === shape.endpoints - 1 ? last : undefined;
    return changed ?? addressOf(shape, index, i);
  });
  return [...own, ...Array.from({ length: more?.count ?? 0 }, (_, i) => `${more?.block}.${1 + i}`)];
}

function entryManifest(shape: MeshShape, index: number, state: ServiceState): Manifest {
  const name = serviceName(index);
  return manifest('networking.istio.io/v1', 'ServiceEntry', namespaceOf(shape, index), name, {
    spec: {
      hosts: [hostOf(shape, index)],
      addresses: [virtualAddress(index)],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: PORT }],
      endpoints: addresses(shape, index, state).map((address, i) => ({
        address,
        labels: podLabels(index, i),
        serviceAccount: name,
      })),
    },
  });
}

function kubernetesManifests(shape: MeshShape, index: number, state: ServiceState): Manifest[] {
  const name = serviceName(index);
  const namespace = namespaceOf(shape, index);
  const all = addresses(shape, index, state);
  const service = manifest('v1', 'Service', namespace, name, {
    spec: {
      clusterIP: virtualAddress(index),
      selector: { app: name },
      ports: [{ name: 'http', port: 80, targetPort: PORT }],
    },
  });
  const slice = manifest(
    'discovery.k8s.io/v1',
    'EndpointSlice',
    namespace,
    `${name}-0`,
    {
      addressType: 'IPv4',
      ports: [{ name: 'http', port: PORT, protocol: 'TCP' }],
      endpoints: all.map((address, i) => ({
        addresses: [address],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', namespace, name: `${name}-${i}` },
      })),
    },
    { 'kubernetes.io/service-name': name },
  );
  return [service, slice, ...all.map((address, i) => podManifest(namespace, index, i, address))];
}

function podManifest(namespace: string, index: number, endpoint: number, ip: string): Manifest {
  const name = serviceName(index);
  return manifest(
    'v1',
    'Pod',
    namespace,
    `${name}-${endpoint}`,
    {
      spec: { serviceAccountName: name, containers: [{ name: 'app', ports: [{ name: 'http', containerPort: PORT }] }] },
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
    },
    podLabels(index, endpoint),
  );
}

function podLabels(index: number, endpoint: number): Readonly<Record<string, string>> {
  return { app: serviceName(index), version: endpoint % 2 === 0 ? 'v1' : 'v2', 'security.istio.io/tlsMode': 'istio' };
}

function virtualAddress(index: number): string {
  return `10.240.${Math.floor(index / 250) % 250}.${1 + (index % 250)}`;
}

/** DestinationRule and VirtualService of a service that has them. */
export function trafficManifests(shape: MeshShape, index: number, { weight = 90 }: ServiceState = {}): Manifest[] {
  if (!isRouted(shape, index)) return [];
  const host = hostOf(shape, index);
  const namespace = namespaceOf(shape, index);
  const api = 'networking.istio.io/v1';
  const subsets = ['v1', 'v2'].map((version) => ({ name: version, labels: { version } }));
  const to = (subset: string, share: number): Manifest => ({ destination: { host, subset }, weight: share });
  return [
    manifest(api, 'DestinationRule', namespace, serviceName(index), { spec: { host, subsets } }),
    manifest(api, 'VirtualService', namespace, serviceName(index), {
      spec: {
        hosts: [host],
        http: [
          {
            match: [{ uri: { prefix: '/api/v2' }, headers: { 'x-canary': { exact: 'true' } } }],
            route: [{ destination: { host, subset: 'v2' } }],
          },
          {
            timeout: '15s',
            retries: { attempts: 3, perTryTimeout: '4s' },
            route: [to('v1', weight), to('v2', 100 - weight)],
          },
        ],
      },
    }),
  ];
}

function manifest(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  body: object,
  labels: object = {},
): Manifest {
  return { apiVersion, kind, metadata: { name, ...(namespace === '' ? {} : { namespace }), labels }, ...body };
}

export type BenchNode = {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: Record<string, unknown>;
  readonly userAgentName: string;
};

/** The node of a sidecar beside an endpoint: services in turn, then the next endpoint of each. */
export function proxyNode(shape: MeshShape, proxy: number): BenchNode {
  const index = proxy % shape.services;
  const endpoint = Math.floor(proxy / shape.services) % shape.endpoints;
  const name = serviceName(index);
  const namespace = namespaceOf(shape, index);
  const ip = addressOf(shape, index, endpoint);
  const pod = `${name}-${endpoint}`;
  return {
    id: `sidecar~${ip}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: `${name}.${namespace}`,
    userAgentName: 'envoy',
    metadata: {
      NAMESPACE: namespace,
      CLUSTER_ID: 'Kubernetes',
      INTERCEPTION_MODE: 'REDIRECT',
      SERVICE_ACCOUNT: name,
      NAME: pod,
      WORKLOAD_NAME: name,
      INSTANCE_IPS: ip,
      LABELS: podLabels(index, endpoint),
    },
  };
}
