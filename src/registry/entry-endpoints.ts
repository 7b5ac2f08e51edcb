// Endpoints of ServiceEntries: written into them, selected by labels, or the host itself where DNS resolves it.

import type { ServicePort as EntryPort, WorkloadEntrySpec } from '../config/generated/types.ts';
import type { Endpoint } from '../ir/endpoint.ts';
import type { Resolution } from '../ir/service.ts';
import { isWildcard } from '../lib/hosts.ts';
import { isIp } from '../lib/ip.ts';
import { memo } from '../lib/memo.ts';
import type { EndpointContext } from './endpoint-context.ts';
import { atAddresses, endpointRecord, type Place, unitedAddresses } from './endpoint-record.ts';
import {
  entryFacts,
  isHealthyEntry,
  placedLabels,
  podFacts,
  type WorkloadFacts,
  workloadEntryLabels,
  workloadEntryName,
} from './facts.ts';
import type { ServiceEntry, WorkloadEntry } from './input.ts';
import type { Labels } from './labels.ts';
import { selectorOwner } from './selectors.ts';
import { entryResolution } from './service-entry.ts';
import { inlineTargetPort } from './target-port.ts';
import { isLivePod } from './workloads.ts';

const UNIX = 'unix://';
const NO_LABELS: Labels = {};

/** Name of the service port with a number, where several objects name it differently. */
export type PortNames = ReadonlyMap<number, string>;

/** Endpoints of one object for one of its hosts. */
export function entryEndpoints(
  hostname: string,
  entry: ServiceEntry,
  names: PortNames,
  context: EndpointContext,
): readonly Endpoint[] {
  const resolution = entryResolution(entry);
  const backends = backendsOf(hostname, entry, resolution, context);
  const endpoints: Endpoint[] = [];
  for (const backend of backends) {
    for (const port of entry.spec.ports ?? []) {
      if (port.number !== undefined) endpoints.push(endpointOf(backend, port, names));
    }
  }
  return endpoints;
}

/** One workload, before it is multiplied by ports. */
interface Backend {
  readonly address: string;
  /** All addresses, where there are several. */
  readonly addresses?: readonly string[];
  readonly spec: WorkloadEntrySpec;
  readonly place: Place;
  readonly health: Endpoint['health'];
}

function backendsOf(
  hostname: string,
  entry: ServiceEntry,
  resolution: Resolution,
  context: EndpointContext,
): readonly Backend[] {
  if (resolution === 'DynamicDNS') return [];
  if (entry.spec.workloadSelector !== undefined) return selected(entry, resolution, context);
  const dns = isDns(resolution);
  const written = entry.spec.endpoints ?? [];
  if (written.length === 0) {
    // No name to ask DNS for: servicesOfHost has said so.
    if (!dns || isWildcard(hostname)) return [];
    return [itself(hostname, entry, context)];
  }
  if (resolution === 'DNSRoundRobinLB' && written.length > 1) {
    const message = `resolution DNS_ROUND_ROBIN uses ${written[0]?.address ?? ''} only`;
    context.findings.add('MEL0111', entry, 'spec.endpoints[1]', message);
  }
  return written.flatMap((spec, index) => inline(entry, spec, index, resolution, context));
}

function isDns(resolution: Resolution): boolean {
  return resolution === 'DNSLB' || resolution === 'DNSRoundRobinLB';
}

const NO_SPEC: WorkloadEntrySpec = {};

/** A name outside has no network: it is reached directly from everywhere. */
const factsOfHost = memo(
  (entry: ServiceEntry, clusterId: string): WorkloadFacts => ({
    labels: placedLabels(NO_LABELS, clusterId, '', '', ''),
    locality: '',
    network: '',
    identity: '',
    tlsMode: 'disabled',
    workloadName: entry.name,
    nodeName: '',
  }),
);

/** The host as its own endpoint. */
function itself(hostname: string, entry: ServiceEntry, context: EndpointContext): Backend {
  const { clusterId } = context.placement;
  const place: Place = {
    facts: factsOfHost(entry, clusterId),
    namespace: entry.namespace,
    clusterId,
    hostname: '',
    subdomain: '',
  };
  return { address: hostname, spec: NO_SPEC, place, health: 'UNKNOWN' };
}

function inline(
  entry: ServiceEntry,
  spec: WorkloadEntrySpec,
  index: number,
  resolution: Resolution,
  context: EndpointContext,
): readonly Backend[] {
  if (!usableAddress(spec, resolution, entry, `spec.endpoints[${index}].address`, context)) return [];
  const facts = entryFacts(
    spec,
    spec.labels ?? NO_LABELS,
    entry.namespace,
    `${entry.name}-${index}`,
    context.placement,
  );
  return [backend(spec, facts, entry.namespace, context)];
}

function backend(spec: WorkloadEntrySpec, facts: WorkloadFacts, namespace: string, context: EndpointContext): Backend {
  const place: Place = { facts, namespace, clusterId: context.placement.clusterId, hostname: '', subdomain: '' };
  return { address: spec.address ?? '', spec, place, health: 'UNKNOWN' };
}

/** Pods before WorkloadEntries, so that of two with one address the Pod is taken. */
function selected(entry: ServiceEntry, resolution: Resolution, context: EndpointContext): readonly Backend[] {
  const owner = selectorOwner(entry)?.key;
  if (owner === undefined) return [];
  const pods = context.selectedPods(owner).flatMap((pod): Backend[] => {
    const address = pod.status?.podIPs[0];
    if (address === undefined || !isIp(address) || !isLivePod(pod) || pod.status?.ready !== true) return [];
    const place: Place = {
      facts: podFacts(pod, context.node(pod.spec.nodeName), context.placement),
      namespace: pod.namespace,
      clusterId: context.placement.clusterId,
      hostname: pod.spec.hostname ?? '',
      subdomain: pod.spec.subdomain ?? '',
    };
    return [{ address, addresses: unitedAddresses(pod, context.options), spec: NO_SPEC, place, health: 'HEALTHY' }];
  });
  const entries = context
    .selectedEntries(owner)
    .flatMap((workload): Backend[] => fromWorkloadEntry(workload, resolution, context));
  return [...pods, ...entries];
}

function fromWorkloadEntry(workload: WorkloadEntry, resolution: Resolution, context: EndpointContext): Backend[] {
  if (!isHealthyEntry(workload)) return [];
  if (!usableAddress(workload.spec, resolution, workload, 'spec.address', context)) return [];
  if ((workload.spec.address ?? '').startsWith(UNIX) && !isDns(resolution)) {
    const message = 'a socket can be selected only where names are resolved: write it into the ServiceEntry';
    context.findings.add('MEL0101', workload, 'spec.address', message);
    return [];
  }
  const labels = workloadEntryLabels(workload);
  const name = workloadEntryName(workload);
  const facts = entryFacts(workload.spec, labels, workload.namespace, name, context.placement);
  return [backend(workload.spec, facts, workload.namespace, context)];
}

/** Names can be used only where the proxy resolves them. */
function usableAddress(
  spec: WorkloadEntrySpec,
  resolution: Resolution,
  object: ServiceEntry | WorkloadEntry,
  path: string,
  context: EndpointContext,
): boolean {
  const address = spec.address ?? '';
  if (isIp(address) || address.startsWith(UNIX)) return true;
  if (address !== '' && isDns(resolution) && !isWildcard(address)) return true;
  const expected = isDns(resolution) ? 'IP address, host name or unix socket' : 'IP address or unix socket';
  context.findings.add('MEL0101', object, path, `${address === '' ? 'an empty address' : address} is no ${expected}`);
  return false;
}

function endpointOf(backend: Backend, port: EntryPort, names: PortNames): Endpoint {
  const { address, addresses = [], spec, place, health } = backend;
  const number = address.startsWith(UNIX) ? 0 : inlineTargetPort(port, spec);
  const name = names.get(port.number ?? 0) ?? port.name ?? '';
  const endpoint = endpointRecord(place, address, number, name, health, spec.weight ?? 0);
  return addresses.length > 0 ? atAddresses(endpoint, addresses) : endpoint;
}
