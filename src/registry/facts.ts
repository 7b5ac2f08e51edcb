// What a workload brings to each of its endpoints: identity, place, network, mTLS. One value per Pod or WorkloadEntry,
// shared by all endpoints that it has.

import type { WorkloadEntrySpec } from '../config/generated/types.ts';
import { type Cidr, cidrContains, parseCidr, parseIp } from '../lib/ip.ts';
import { memo } from '../lib/memo.ts';
import { sortedEntries } from '../lib/order.ts';
import type { Node, Pod, RegistryOptions, WorkloadEntry } from './input.ts';
import { ANNOTATION, LABEL, type Labels } from './labels.ts';

/** Settings of a whole registry that every endpoint depends on; one object as long as nothing of it changes. */
export interface Placement {
  readonly clusterId: string;
  readonly trustDomain: string;
  /** Network named by the label of the system namespace; empty when there is none. */
  readonly systemNetwork: string;
  /** Network that the mesh networks give to this registry; empty when there is none. */
  readonly registryNetwork: string;
  readonly prefixes: readonly { readonly cidr: Cidr; readonly network: string }[];
}

export function placementOf(options: RegistryOptions, systemNetwork: string): Placement {
  const prefixes: { cidr: Cidr; network: string }[] = [];
  let registryNetwork = '';
  for (const [network, definition] of sortedEntries(options.networks)) {
    for (const endpoint of definition.endpoints ?? []) {
      const cidr = endpoint.fromCidr === undefined ? undefined : parseCidr(endpoint.fromCidr);
      if (cidr !== undefined) prefixes.push({ cidr, network });
      if (endpoint.fromRegistry === options.clusterId && registryNetwork === '') registryNetwork = network;
    }
  }
  // The widest prefix that holds an address decides, as in istiod.
  prefixes.sort((a, b) => a.cidr.bits - b.cidr.bits);
  return {
    clusterId: options.clusterId,
    trustDomain: options.trustDomain,
    systemNetwork,
    registryNetwork,
    prefixes,
  };
}

/** Network of an address: label of the workload, label of the system namespace, mesh networks by registry, by prefix. */
function networkOf(placement: Placement, address: string, labels: Labels): string {
  const named = labels[LABEL.network];
  if (named !== undefined && named !== '') return named;
  if (placement.systemNetwork !== '') return placement.systemNetwork;
  if (placement.registryNetwork !== '') return placement.registryNetwork;
  if (placement.prefixes.length === 0) return '';
  const ip = parseIp(address);
  if (ip === undefined) return '';
  return placement.prefixes.find((each) => cidrContains(each.cidr, ip))?.network ?? '';
}

export interface WorkloadFacts {
  /** Own labels and those of its place (region, zone, subzone, cluster, network, node). */
  readonly labels: Labels;
  readonly locality: string;
  readonly network: string;
  readonly identity: string;
  readonly tlsMode: 'istio' | 'disabled';
  readonly workloadName: string;
  readonly nodeName: string;
}

export function spiffeId(trustDomain: string, namespace: string, account: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
}

/** Facts of a Pod on its node; its main address decides the network where prefixes do. */
export const podFacts = memo((pod: Pod, node: Node | undefined, placement: Placement): WorkloadFacts => {
  const locality = localityLabel(pod.labels) ?? nodeLocality(node);
  const network = networkOf(placement, pod.status?.podIPs[0] ?? '', pod.labels);
  const nodeName = pod.spec.nodeName ?? '';
  return {
    labels: placedLabels(pod.labels, placement.clusterId, locality, nodeName, network),
    locality,
    network,
    identity: spiffeId(placement.trustDomain, pod.namespace, pod.spec.serviceAccountName || 'default'),
    tlsMode: pod.labels[LABEL.tlsMode] === 'istio' ? 'istio' : 'disabled',
    workloadName: podWorkloadName(pod),
    nodeName,
  };
});

/** Facts of an address that no workload is known for. */
export const bareFacts = memo((placement: Placement, address: string, node: Node | undefined): WorkloadFacts => {
  const locality = nodeLocality(node);
  const network = networkOf(placement, address, {});
  return {
    labels: placedLabels({}, placement.clusterId, locality, node?.name ?? '', network),
    locality,
    network,
    identity: '',
    tlsMode: 'disabled',
    workloadName: '',
    nodeName: node?.name ?? '',
  };
});

/** Facts of a WorkloadEntry, or of an endpoint written into a ServiceEntry. */
export const entryFacts = memo(
  (
    spec: WorkloadEntrySpec,
    labels: Labels,
    namespace: string,
    workloadName: string,
    placement: Placement,
  ): WorkloadFacts => {
    const locality =
      spec.locality !== undefined && spec.locality !== '' ? spec.locality : (localityLabel(labels) ?? '');
    const network = spec.network ?? '';
    // As a label it has the network of its address too, but it is reached directly unless it says so itself.
    const labelled = network === '' ? networkOf(placement, spec.address ?? '', labels) : network;
    const account = spec.serviceAccount ?? '';
    const declared = labels[LABEL.tlsMode];
    return {
      labels: placedLabels(labels, placement.clusterId, locality, '', labelled),
      locality,
      network,
      identity: account === '' ? '' : spiffeId(placement.trustDomain, namespace, account),
      tlsMode: (declared === undefined ? account !== '' : declared === 'istio') ? 'istio' : 'disabled',
      workloadName,
      nodeName: '',
    };
  },
);

/** Labels of a WorkloadEntry: those of its spec, and over them those of the object. */
export const workloadEntryLabels = memo(
  (entry: WorkloadEntry): Labels =>
    entry.spec.labels === undefined
      ? entry.labels
      : Object.keys(entry.labels).length === 0
        ? entry.spec.labels
        : { ...entry.spec.labels, ...entry.labels },
);

/** An entry whose health is checked counts only while its condition says so. */
export function isHealthyEntry(entry: WorkloadEntry): boolean {
  if (entry.annotations[ANNOTATION.healthChecks]?.toLowerCase() !== 'true') return true;
  return entry.status?.conditions.some((each) => each.type === 'Healthy' && each.status === 'True') ?? false;
}

export function workloadEntryName(entry: WorkloadEntry): string {
  return entry.annotations[ANNOTATION.registrationGroup] ?? entry.name;
}

/** `region.zone.subzone` in a label, where a slash is not allowed. */
export function localityLabel(labels: Labels): string | undefined {
  const value = labels[LABEL.locality] ?? labels[LABEL.localityShort];
  if (value === undefined || value === '') return undefined;
  return value.includes('/') ? value : value.replaceAll('.', '/');
}

function nodeLocality(node: Node | undefined): string {
  if (node === undefined) return '';
  const region = node.labels[LABEL.region] ?? node.labels[LABEL.regionBeta] ?? '';
  const zone = node.labels[LABEL.zone] ?? node.labels[LABEL.zoneBeta] ?? '';
  const subzone = node.labels[LABEL.subzone] ?? '';
  return `${region}/${zone}/${subzone}`.replace(/\/+$/, '');
}

export function placedLabels(
  labels: Labels,
  clusterId: string,
  locality: string,
  nodeName: string,
  network: string,
): Labels {
  const [region = '', zone = '', subzone = ''] = locality.split('/');
  // A spread that grows afterwards has a hidden class of its own, here for every endpoint.
  const placed: Record<string, string> = Object.assign({}, labels);
  if (region !== '') placed[LABEL.region] = region;
  if (zone !== '') placed[LABEL.zone] = zone;
  if (subzone !== '') placed[LABEL.subzone] = subzone;
  if (clusterId !== '') placed[LABEL.cluster] = clusterId;
  if (nodeName !== '') placed[LABEL.hostname] = nodeName;
  if (network !== '') placed[LABEL.network] = network;
  return placed;
}

/** Name of the controller that made a Pod, as its labels and name tell: owner references are not kept. */
function podWorkloadName(pod: Pod): string {
  const { labels, name } = pod;
  const declared = labels[LABEL.workloadName];
  if (declared !== undefined && declared !== '') return declared;
  const job = labels['batch.kubernetes.io/job-name'] ?? labels['job-name'];
  if (job !== undefined && job !== '') return job;
  const template = labels['pod-template-hash'];
  if (template !== undefined) {
    const at = name.lastIndexOf(`-${template}-`);
    if (at > 0) return name.slice(0, at);
  }
  if (labels['statefulset.kubernetes.io/pod-name'] === name) return name.replace(/-\d+$/, '');
  if (labels['controller-revision-hash'] !== undefined) return name.replace(/-[a-z0-9]{5}$/, '');
  return name;
}
