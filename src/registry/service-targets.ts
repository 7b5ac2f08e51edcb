// Inbound: which services a proxy serves, and on which of its own ports.
// In: a registry and a proxy. Out: targets, and what is known of the proxy's workload. Called by the snapshot when it
// classes a proxy.

import type { KubePort } from '../config/core.ts';
import type { WorkloadEntrySpec } from '../config/generated/types.ts';
import type { Proxy, ServiceTarget } from '../ir/proxy.ts';
import type { Service } from '../ir/service.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { bucketIndex, changedPlaces, eitherOf, TABLE_BUCKETS, tableGet } from '../lib/table.ts';
import { entryFacts, podFacts, type WorkloadFacts, workloadEntryLabels, workloadEntryName } from './facts.ts';
import { isKubeService } from './host-services.ts';
import { type KubeService, kubeHostname, type Pod, type ServiceEntry } from './input.ts';
import type { Labels } from './labels.ts';
import { ipKey, podKey, readersOf } from './reads.ts';
import type { Registry } from './registry.ts';
import { ownersSelecting } from './selectors.ts';
import { entryTargetPort, inlineTargetPort, numericTarget, podTargetPort } from './target-port.ts';
import type { KnownWorkload } from './workloads.ts';

/** The workload that a proxy runs beside, and what the registry says of it. */
export type ProxyWorkload = KnownWorkload & { readonly facts: WorkloadFacts };

/**
 * A WorkloadEntry with the proxy's first address, else its Pod: by the name that the node id gives (Pods on the host's
 * network share an address), else by address. Only of the proxy's own namespace.
 */
export function workloadOf(registry: Registry, proxy: Proxy): ProxyWorkload | undefined {
  const { placement, workloads, tables } = registry.state;
  const [address] = proxy.addresses;
  if (address === undefined) return undefined;
  const entry = tableGet(workloads.entriesByIp, address)?.find((each) => each.namespace === proxy.namespace);
  if (entry !== undefined) {
    const labels = workloadEntryLabels(entry);
    const facts = entryFacts(entry.spec, labels, entry.namespace, workloadEntryName(entry), placement);
    return { kind: 'entry', entry, facts };
  }
  const pod = podOf(registry, proxy, address);
  if (pod === undefined) return undefined;
  const nodeName = pod.spec.nodeName ?? '';
  const node = nodeName === '' ? undefined : tableGet(tables.nodes, `/${nodeName}`);
  return { kind: 'pod', pod, facts: podFacts(pod, node, placement) };
}

function podOf(registry: Registry, proxy: Proxy, address: string): Pod | undefined {
  if (!isLocal(registry, proxy)) return undefined;
  const { tables, workloads } = registry.state;
  const named = tableGet(tables.pods, namedPod(proxy));
  if (named?.status?.podIPs.includes(address) === true) return named;
  return tableGet(workloads.podsByIp, address)?.find((pod) => pod.namespace === proxy.namespace);
}

/** Key of the Pod that the node id names. */
function namedPod({ instance, namespace }: Proxy): string {
  const dot = instance.lastIndexOf('.');
  return `${namespace}/${dot < 0 ? instance : instance.slice(0, dot)}`;
}

/** Where in their tables a proxy's workload is looked for: its Pod by name, and whatever has one of its addresses. */
export interface WorkloadPlaces {
  readonly named: number;
  readonly addressed: readonly number[];
}

export function workloadPlaces(proxy: Proxy): WorkloadPlaces {
  const addressed = new Set(proxy.addresses.map((address) => bucketIndex(address, TABLE_BUCKETS)));
  return { named: bucketIndex(namedPod(proxy), TABLE_BUCKETS), addressed: [...addressed] };
}

/** True where no Pod, WorkloadEntry or written endpoint has come, gone or changed in the places of a proxy. */
export function samePlaces(
  { state: a }: Registry,
  { state: b }: Registry,
  { named, addressed }: WorkloadPlaces,
): boolean {
  if (a.tables.pods.buckets[named] !== b.tables.pods.buckets[named]) return false;
  const [before, after] = [a.workloads, b.workloads];
  return addressed.every(
    (place) =>
      before.podsByIp.buckets[place] === after.podsByIp.buckets[place] &&
      before.entriesByIp.buckets[place] === after.entriesByIp.buckets[place] &&
      before.inlineByIp.buckets[place] === after.inlineByIp.buckets[place],
  );
}

/** Places in which workloads have come, gone or changed. */
export interface PlaceChanges {
  readonly named: readonly number[];
  readonly addressed: readonly number[];
}

export function placeChanges({ state: a }: Registry, { state: b }: Registry): PlaceChanges {
  const [before, after] = [a.workloads, b.workloads];
  return {
    named: changedPlaces(a.tables.pods, b.tables.pods),
    addressed: [
      changedPlaces(before.podsByIp, after.podsByIp),
      changedPlaces(before.entriesByIp, after.entriesByIp),
      changedPlaces(before.inlineByIp, after.inlineByIp),
    ].reduce(eitherOf),
  };
}

function isLocal(registry: Registry, proxy: Proxy): boolean {
  return proxy.clusterId === '' || proxy.clusterId === registry.state.options.clusterId;
}

const compareTargets = orderBy<ServiceTarget>(
  (a, b) => compareNumbers(a.service.created, b.service.created),
  (a, b) => compareStrings(a.service.hostname, b.service.hostname),
);

/** Sorted by age of the service, then hostname; each target port once for each protocol. */
export function serviceTargets(registry: Registry, proxy: Proxy): readonly ServiceTarget[] {
  const workload = workloadOf(registry, proxy);
  const kube = isLocal(registry, proxy) ? kubeTargets(registry, proxy, workload) : [];
  const all = [...kube, ...entryTargets(registry, proxy, workload)].sort(compareTargets);
  const kept = new Map<string, ServiceTarget>();
  for (const target of all) {
    const key = `${target.targetPort} ${target.port.protocol}`;
    const before = kept.get(key);
    if (before === undefined) kept.set(key, target);
    else if (target.service.resolution === 'Passthrough') kept.set(key, { ...before, besideHeadless: true });
  }
  return [...kept.values()];
}

type Resolve = (port: KubePort) => number | undefined;

function kubeTargets(registry: Registry, proxy: Proxy, workload: ProxyWorkload | undefined): readonly ServiceTarget[] {
  if (workload?.kind === 'entry') {
    const { entry } = workload;
    const services = selectingServices(registry, entry.namespace, workloadEntryLabels(entry));
    return services.flatMap((service) => portsOf(registry, service, (port) => entryTargetPort(port, entry.spec)));
  }
  if (workload?.kind === 'pod') {
    const { pod } = workload;
    const services = selectingServices(registry, pod.namespace, pod.labels);
    if (services.length === 0) return sliceTargets(registry, pod);
    return services.flatMap((service) => portsOf(registry, service, (port) => podTargetPort(port, pod)));
  }
  // The Pod is not known yet, or is of no one: what the proxy says of itself.
  const resolve = declaredPorts(proxy);
  return selectingServices(registry, proxy.namespace, proxy.labels).flatMap((service) =>
    portsOf(registry, service, resolve),
  );
}

function selectingServices(registry: Registry, namespace: string, labels: Labels): readonly KubeService[] {
  return ownersSelecting(registry.state.workloads.selectors, namespace, labels)
    .map((owner) => owner.object)
    .filter(isKubeService);
}

function portsOf(registry: Registry, object: KubeService, resolve: Resolve): readonly ServiceTarget[] {
  const service = serviceFor(registry, object);
  if (service === undefined) return [];
  return object.spec.ports.flatMap((written, index) => {
    const port = service.ports[index];
    const targetPort = resolve(written);
    return port === undefined || targetPort === undefined ? [] : [{ service, port, targetPort }];
  });
}

function serviceFor(registry: Registry, object: KubeService): Service | undefined {
  const host = kubeHostname(object.name, object.namespace, registry.state.options.domain);
  return tableGet(registry.services, host)?.find(
    (each) => each.namespace === object.namespace && each.registry === 'Kubernetes',
  );
}

/** Services without a selector, of whose endpoints the Pod is one. */
function sliceTargets(registry: Registry, pod: Pod): readonly ServiceTarget[] {
  const addresses = pod.status?.podIPs ?? [];
  const { reads } = registry.state.endpoints;
  const keys = [podKey(`${pod.namespace}/${pod.name}`), ...addresses.map(ipKey)];
  const hosts = new Set(keys.flatMap((key) => readersOf(reads, key)));
  return [...hosts].sort(compareStrings).flatMap((host) => {
    const service = tableGet(registry.services, host)?.find((each) => each.namespace === pod.namespace);
    const endpoints = tableGet(registry.endpoints, host)?.find((each) => each.namespace === pod.namespace)?.endpoints;
    if (service === undefined || service.registry !== 'Kubernetes' || endpoints === undefined) return [];
    return service.ports.flatMap((port) => {
      const own = endpoints.find((each) => each.portName === port.name && addresses.includes(each.address));
      return own === undefined ? [] : [{ service, port, targetPort: own.port }];
    });
  });
}

/** Container ports as the proxy declares them (POD_PORTS); without any, numbers are taken as they are. */
function declaredPorts(proxy: Proxy): Resolve {
  const declared = parsePorts(proxy.metadata['POD_PORTS']);
  return (port) => {
    const target = port.targetPort;
    if (typeof target !== 'string' || target === '') return numericTarget(port);
    return declared.find((each) => each.name === target && each.protocol === port.protocol)?.containerPort;
  };
}

interface DeclaredPort {
  readonly name: string;
  readonly containerPort: number;
  readonly protocol: string;
}

function parsePorts(value: unknown): readonly DeclaredPort[] {
  if (typeof value !== 'string' || value === '') return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((each: unknown): DeclaredPort[] => {
    if (typeof each !== 'object' || each === null) return [];
    const { name, containerPort, protocol } = each as Readonly<Record<string, unknown>>;
    if (typeof containerPort !== 'number') return [];
    return [
      {
        name: typeof name === 'string' ? name : '',
        containerPort,
        protocol: typeof protocol === 'string' && protocol !== '' ? protocol : 'TCP',
      },
    ];
  });
}

/** Hosts of ServiceEntries of the proxy's namespace: by address among their endpoints, and by selector. */
function entryTargets(registry: Registry, proxy: Proxy, workload: ProxyWorkload | undefined): readonly ServiceTarget[] {
  const { inlineByIp, selectors } = registry.state.workloads;
  const inline = proxy.addresses.flatMap((address) =>
    (tableGet(inlineByIp, address) ?? [])
      .filter((entry) => entry.namespace === proxy.namespace)
      .flatMap((entry) =>
        (entry.spec.endpoints ?? [])
          .filter((endpoint) => endpoint.address === address)
          .flatMap((endpoint) => entryPorts(registry, entry, endpoint)),
      ),
  );
  if (workload === undefined) return inline;
  const object = workload.kind === 'pod' ? workload.pod : workload.entry;
  const labels = workload.kind === 'pod' ? workload.pod.labels : workloadEntryLabels(workload.entry);
  const spec: WorkloadEntrySpec = workload.kind === 'pod' ? {} : workload.entry.spec;
  const selected = ownersSelecting(selectors, object.namespace, labels).flatMap((owner) =>
    isKubeService(owner.object) ? [] : entryPorts(registry, owner.object, spec),
  );
  return [...inline, ...selected];
}

function entryPorts(registry: Registry, entry: ServiceEntry, spec: WorkloadEntrySpec): readonly ServiceTarget[] {
  return (entry.spec.hosts ?? []).flatMap((host) => {
    const services = (tableGet(registry.services, host) ?? []).filter(
      (service) =>
        service.namespace === entry.namespace &&
        service.refs.some((ref) => ref.kind === 'ServiceEntry' && ref.name === entry.name),
    );
    return services.flatMap((service) =>
      (entry.spec.ports ?? []).flatMap((written) => {
        const port = service.ports.find((each) => each.number === written.number);
        return port === undefined ? [] : [{ service, port, targetPort: inlineTargetPort(written, spec) }];
      }),
    );
  });
}
