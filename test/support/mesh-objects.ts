// The objects that stand for the workloads of a mesh under test: Namespaces, Pods, Services, and Sidecars by which many
// proxies share one machine without capturing traffic.

export type Labels = Readonly<Record<string, string>>;

export interface PortSpec {
  readonly name: string;
  readonly number: number;
  /** As a Sidecar writes it; `HTTP` unless said otherwise. */
  readonly protocol?: string | undefined;
}

export interface EgressSpec extends PortSpec {
  readonly hosts?: readonly string[] | undefined;
  /** `unix:///PATH`, in place of the workload's own address. */
  readonly bind?: string | undefined;
}

export interface PlacedWorkload {
  readonly name: string;
  readonly namespace: string;
  readonly account: string;
  /** The Service that it belongs to; without one it only calls. */
  readonly service: string | undefined;
  readonly labels: Labels;
  readonly sidecar: boolean;
  readonly pod: string;
  /** Its address of the other family. */
  readonly secondPod?: string | undefined;
  /** Address of its outbound listeners. */
  readonly out: string;
  /** Where the application listens: `127.0.0.1:PORT` or `unix:///PATH`. */
  readonly ports: readonly (PortSpec & { readonly endpoint: string })[];
  readonly egress: readonly EgressSpec[];
  /** Hosts of services that it listens for on ports of their own, at `127.0.0.1`. */
  readonly everyPort?: readonly string[] | undefined;
  /** Traffic is captured: no listeners of its own are needed. */
  readonly captured?: boolean | undefined;
}

/** All objects of a mesh of these workloads. */
export function meshObjects(workloads: readonly PlacedWorkload[]): readonly object[] {
  const namespaces = [...new Set(workloads.map(({ namespace }) => namespace))];
  const services = new Map<string, PlacedWorkload[]>();
  for (const workload of workloads) {
    if (workload.service === undefined) continue;
    const key = `${workload.namespace}/${workload.service}`;
    services.set(key, [...(services.get(key) ?? []), workload]);
  }
  return [
    ...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ...workloads.map(podOf),
    ...[...services.values()].map((members, index) => serviceOf(members, index)),
    ...workloads.filter(({ sidecar, captured }) => sidecar && captured !== true).map(sidecarOf),
  ];
}

function podOf(workload: PlacedWorkload): object {
  const { name, namespace, account, pod, secondPod, ports } = workload;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: podLabels(workload) },
    spec: {
      serviceAccountName: account,
      containers: [
        { name: 'app', ports: ports.map(({ name: port, number }) => ({ name: port, containerPort: number })) },
      ],
    },
    status: {
      phase: 'Running',
      podIP: pod,
      podIPs: [pod, ...(secondPod === undefined ? [] : [secondPod])].map((ip) => ({ ip })),
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  };
}

/** Labels of the pod, with what tells clients that a sidecar is there. */
export function podLabels({ labels, service, sidecar, name }: PlacedWorkload): Labels {
  return {
    workload: name,
    ...(service === undefined ? {} : { app: service }),
    ...(sidecar ? { 'security.istio.io/tlsMode': 'istio' } : {}),
    ...labels,
  };
}

function serviceOf(members: readonly PlacedWorkload[], index: number): object {
  const [first] = members;
  const ports = new Map(members.flatMap((member) => member.ports.map((port) => [port.number, port] as const)));
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: first?.service, namespace: first?.namespace },
    spec: {
      clusterIP: `10.96.77.${index + 1}`,
      selector: { app: first?.service },
      ports: [...ports.values()].map(({ name, number }) => ({ name, port: number, targetPort: number })),
    },
  };
}

function sidecarOf({ name, namespace, pod, out, ports, egress, everyPort }: PlacedWorkload): object {
  const at = (port: PortSpec): object => ({ number: port.number, protocol: port.protocol ?? 'HTTP', name: port.name });
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name, namespace },
    spec: {
      workloadSelector: { labels: { workload: name } },
      ingress: ports.map((port) => ({
        port: at(port),
        bind: pod,
        captureMode: 'NONE',
        defaultEndpoint: port.endpoint,
      })),
      egress: [
        ...egress.map(({ bind = out, hosts = ['*/*'], ...port }) => ({
          ...{ port: at(port), bind, captureMode: 'NONE', hosts },
        })),
        ...(everyPort === undefined ? [] : [{ hosts: everyPort }]),
      ],
    },
  };
}
