// Builders of configuration objects for tests: what a test does not mention gets the value that the API server would
// give. Times are small numbers, so that order of age can be read off a test.

import type {
  EndpointSliceBody,
  KubePort,
  NodeStatus,
  PodSpec,
  PodStatus,
  ServiceEntryStatus,
  ServiceSpec,
  ServiceStatus,
  SliceEndpoint,
  WorkloadEntryStatus,
} from '../../src/config/core.ts';
import type {
  AuthorizationPolicySpec,
  DestinationRuleSpec,
  EnvoyFilterSpec,
  GatewaySpec,
  PeerAuthenticationSpec,
  RequestAuthenticationSpec,
  ServiceEntrySpec,
  SidecarSpec,
  TelemetrySpec,
  VirtualServiceSpec,
  WorkloadEntrySpec,
} from '../../src/config/generated/types.ts';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import { emptyTable, type Table, tableFrom, tableWith } from '../../src/lib/table.ts';

type Labels = Readonly<Record<string, string>>;

/** Metadata that any builder takes beside its spec. */
export interface Meta {
  readonly namespace?: string;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly created?: number;
  readonly generation?: number;
}

const API_VERSIONS: Partial<Record<Kind, string>> = {
  EndpointSlice: 'discovery.k8s.io/v1',
  PeerAuthentication: 'security.istio.io/v1',
  RequestAuthentication: 'security.istio.io/v1',
  AuthorizationPolicy: 'security.istio.io/v1',
  Telemetry: 'telemetry.istio.io/v1',
  WasmPlugin: 'extensions.istio.io/v1alpha1',
  TrafficExtension: 'extensions.istio.io/v1alpha1',
};

const CORE_KINDS: ReadonlySet<Kind> = new Set<Kind>([
  'Namespace',
  'Node',
  'Pod',
  'Service',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
]);

/** Any object of any kind. */
export function object<Spec, Status = unknown>(
  kind: Kind,
  name: string,
  spec: Spec,
  meta: Meta = {},
  status?: Status,
): ConfigObject<Spec, Status> {
  return {
    kind,
    apiVersion: API_VERSIONS[kind] ?? (CORE_KINDS.has(kind) ? 'v1' : 'networking.istio.io/v1'),
    namespace: meta.namespace ?? 'default',
    name,
    labels: meta.labels ?? {},
    annotations: meta.annotations ?? {},
    created: meta.created ?? 0,
    generation: meta.generation ?? 0,
    spec,
    ...(status === undefined ? {} : { status }),
  };
}

export function namespace(name: string, meta: Omit<Meta, 'namespace'> = {}): ConfigObject {
  return object('Namespace', name, {}, { ...meta, namespace: '' });
}

export interface NodeOptions {
  readonly region?: string;
  readonly zone?: string;
  readonly subzone?: string;
  readonly labels?: Labels;
  readonly addresses?: NodeStatus['addresses'];
}

export function node(name: string, options: NodeOptions = {}): ConfigObject<object, NodeStatus> {
  const labels: Record<string, string> = { ...options.labels };
  if (options.region !== undefined) labels['topology.kubernetes.io/region'] = options.region;
  if (options.zone !== undefined) labels['topology.kubernetes.io/zone'] = options.zone;
  if (options.subzone !== undefined) labels['topology.istio.io/subzone'] = options.subzone;
  const status: NodeStatus = { addresses: options.addresses ?? [] };
  return object<object, NodeStatus>('Node', name, {}, { namespace: '', labels }, status);
}

/** `http:80`, `http:80:8080`, `dns:53/UDP`, `:80` or `http:80:web` (named target port). */
export function kubePort(text: string): KubePort {
  const [main = '', protocol = 'TCP'] = text.split('/');
  const [name = '', port = '0', target] = main.split(':');
  const targetPort = target === undefined ? undefined : /^\d+$/.test(target) ? Number(target) : target;
  return { name, port: Number(port), protocol, targetPort };
}

export interface ServiceOptions extends Meta, Partial<Omit<ServiceSpec, 'ports'>> {
  /** As `kubePort` reads them. Default: `http:80`. */
  readonly ports?: readonly (string | KubePort)[];
  readonly ingress?: ServiceStatus['ingress'];
}

export function service(name: string, options: ServiceOptions = {}): ConfigObject<ServiceSpec, ServiceStatus> {
  const spec: ServiceSpec = {
    type: options.type ?? 'ClusterIP',
    clusterIPs: options.clusterIPs ?? ['10.96.0.10'],
    ports: (options.ports ?? ['http:80']).map((port) => (typeof port === 'string' ? kubePort(port) : port)),
    externalIPs: options.externalIPs ?? [],
    publishNotReadyAddresses: options.publishNotReadyAddresses ?? false,
    selector: options.selector,
    externalName: options.externalName,
    internalTrafficPolicy: options.internalTrafficPolicy,
    trafficDistribution: options.trafficDistribution,
  };
  return object('Service', name, spec, options, { ingress: options.ingress ?? [] });
}

export interface PodOptions extends Meta {
  readonly ip?: string;
  readonly ips?: readonly string[];
  readonly node?: string;
  readonly serviceAccount?: string;
  readonly hostNetwork?: boolean;
  readonly hostname?: string;
  readonly subdomain?: string;
  /** Container ports: `http:8080` or `8080`. */
  readonly ports?: readonly string[];
  readonly ready?: boolean;
  readonly phase?: string;
  /** Default: true, the label `security.istio.io/tlsMode: istio` is set. */
  readonly injected?: boolean;
}

export function pod(name: string, options: PodOptions = {}): ConfigObject<PodSpec, PodStatus> {
  const spec: PodSpec = {
    nodeName: options.node,
    serviceAccountName: options.serviceAccount ?? 'default',
    hostNetwork: options.hostNetwork,
    hostname: options.hostname,
    subdomain: options.subdomain,
    containers: [{ name: 'app', ports: (options.ports ?? []).map(containerPort) }],
  };
  const status: PodStatus = {
    phase: options.phase ?? 'Running',
    podIPs: options.ips ?? (options.ip === undefined ? [] : [options.ip]),
    ready: options.ready ?? true,
  };
  const tls: Labels = options.injected === false ? {} : { 'security.istio.io/tlsMode': 'istio' };
  return object('Pod', name, spec, { ...options, labels: { ...options.labels, ...tls } }, status);
}

function containerPort(text: string): PodSpec['containers'][number]['ports'][number] {
  const [main = '', protocol = 'TCP'] = text.split('/');
  const colon = main.indexOf(':');
  return colon < 0
    ? { containerPort: Number(main), protocol }
    : { name: main.slice(0, colon), containerPort: Number(main.slice(colon + 1)), protocol };
}

export interface SliceOptions extends Meta {
  /** Name of the slice; default `SERVICE-abc`. */
  readonly name?: string;
  readonly addressType?: string;
  /** `http:8080`, `dns:53/UDP`. Default: `http:80`. */
  readonly ports?: readonly string[];
}

/** A slice of a service. An endpoint given as a pod points to it; as text it is a bare address. */
export function endpointSlice(
  serviceName: string,
  endpoints: readonly (string | SliceEndpoint | ConfigObject<PodSpec, PodStatus>)[],
  options: SliceOptions = {},
): ConfigObject<EndpointSliceBody> {
  const body: EndpointSliceBody = {
    serviceName,
    addressType: options.addressType ?? 'IPv4',
    ports: (options.ports ?? ['http:80']).map((text) => {
      const { name, port, protocol } = kubePort(text);
      return { name, port, protocol };
    }),
    endpoints: endpoints.map(sliceEndpoint),
  };
  return object('EndpointSlice', options.name ?? `${serviceName}-abc`, body, options);
}

function sliceEndpoint(from: string | SliceEndpoint | ConfigObject<PodSpec, PodStatus>): SliceEndpoint {
  if (typeof from === 'string') return { addresses: [from], ready: true };
  if (!('spec' in from)) return from;
  return {
    addresses: from.status?.podIPs.slice(0, 1) ?? [],
    ready: from.status?.ready ?? true,
    serving: from.status?.ready ?? true,
    terminating: false,
    nodeName: from.spec.nodeName,
    targetRef: { kind: 'Pod', namespace: from.namespace, name: from.name },
  };
}

export function serviceEntry(
  name: string,
  spec: ServiceEntrySpec,
  meta: Meta = {},
  status?: ServiceEntryStatus,
): ConfigObject<ServiceEntrySpec, ServiceEntryStatus> {
  return object('ServiceEntry', name, spec, meta, status);
}

export function workloadEntry(
  name: string,
  spec: WorkloadEntrySpec,
  meta: Meta = {},
  status?: WorkloadEntryStatus,
): ConfigObject<WorkloadEntrySpec, WorkloadEntryStatus> {
  return object('WorkloadEntry', name, spec, meta, status);
}

export function virtualService(
  name: string,
  spec: VirtualServiceSpec,
  meta: Meta = {},
): ConfigObject<VirtualServiceSpec> {
  return object('VirtualService', name, spec, meta);
}

export function destinationRule(
  name: string,
  spec: DestinationRuleSpec,
  meta: Meta = {},
): ConfigObject<DestinationRuleSpec> {
  return object('DestinationRule', name, spec, meta);
}

export function gateway(name: string, spec: GatewaySpec, meta: Meta = {}): ConfigObject<GatewaySpec> {
  return object('Gateway', name, spec, meta);
}

export function sidecar(name: string, spec: SidecarSpec, meta: Meta = {}): ConfigObject<SidecarSpec> {
  return object('Sidecar', name, spec, meta);
}

export function envoyFilter(name: string, spec: EnvoyFilterSpec, meta: Meta = {}): ConfigObject<EnvoyFilterSpec> {
  return object('EnvoyFilter', name, spec, meta);
}

export function peerAuthentication(
  name: string,
  spec: PeerAuthenticationSpec,
  meta: Meta = {},
): ConfigObject<PeerAuthenticationSpec> {
  return object('PeerAuthentication', name, spec, meta);
}

export function requestAuthentication(
  name: string,
  spec: RequestAuthenticationSpec,
  meta: Meta = {},
): ConfigObject<RequestAuthenticationSpec> {
  return object('RequestAuthentication', name, spec, meta);
}

export function authorizationPolicy(
  name: string,
  spec: AuthorizationPolicySpec,
  meta: Meta = {},
): ConfigObject<AuthorizationPolicySpec> {
  return object('AuthorizationPolicy', name, spec, meta);
}

export function telemetry(name: string, spec: TelemetrySpec, meta: Meta = {}): ConfigObject<TelemetrySpec> {
  return object('Telemetry', name, spec, meta);
}

/** Tables of objects by kind, as the store keeps them; `with` and `without` share every untouched bucket. */
export interface TestTables {
  table(kind: Kind): Table<ConfigObject>;
  with(...objects: readonly ConfigObject[]): TestTables;
  without(...objects: readonly ConfigObject[]): TestTables;
}

export function tables(...objects: readonly ConfigObject[]): TestTables {
  const byKind = new Map<Kind, [string, ConfigObject][]>();
  for (const each of objects) {
    const list = byKind.get(each.kind) ?? [];
    byKind.set(each.kind, list);
    list.push([`${each.namespace}/${each.name}`, each]);
  }
  return wrap(new Map([...byKind].map(([kind, entries]) => [kind, tableFrom(entries)])));
}

function wrap(byKind: ReadonlyMap<Kind, Table<ConfigObject>>): TestTables {
  const changed = (objects: readonly ConfigObject[], keep: boolean): TestTables => {
    const next = new Map(byKind);
    for (const each of objects) {
      const entry = [`${each.namespace}/${each.name}`, keep ? each : undefined] as const;
      next.set(each.kind, tableWith(next.get(each.kind) ?? emptyTable<ConfigObject>(), [entry]));
    }
    return wrap(next);
  };
  return {
    table: (kind) => byKind.get(kind) ?? emptyTable<ConfigObject>(),
    with: (...objects) => changed(objects, true),
    without: (...objects) => changed(objects, false),
  };
}
