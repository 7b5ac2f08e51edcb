// ServiceEntries of one host and namespace as services: one for each address, merged over several objects.

import type { ServiceEntrySpec } from '../config/generated/types.ts';
import { NO_ADDRESS, type Resolution, type Service, type ServicePort, type Visibility } from '../ir/service.ts';
import { deepEqual } from '../lib/equal.ts';
import { isIp, parseCidr } from '../lib/ip.ts';
import { cappedVisibility } from './entry-visibility.ts';
import type { Findings } from './findings.ts';
import type { ServiceEntry } from './input.ts';
import { annotatedDistribution, type ServiceContext } from './kube-service.ts';
import { ANNOTATION, sessionOf } from './labels.ts';
import { protocolByName } from './protocol.ts';
import type { Vip } from './vips.ts';
import { visibilityOf } from './visibility.ts';

const RESOLUTIONS: Readonly<Record<NonNullable<ServiceEntrySpec['resolution']>, Resolution>> = {
  NONE: 'Passthrough',
  STATIC: 'ClientSideLB',
  DNS: 'DNSLB',
  DNS_ROUND_ROBIN: 'DNSRoundRobinLB',
  DYNAMIC_DNS: 'DynamicDNS',
};

export function entryResolution(entry: ServiceEntry): Resolution {
  return RESOLUTIONS[entry.spec.resolution ?? 'NONE'];
}

/**
 * Those of one host and namespace that can be one service with the oldest: equal but for ports, addresses and
 * endpoints. `entries` is sorted by age.
 */
export function mergeableEntries(
  hostname: string,
  entries: readonly ServiceEntry[],
  findings?: Findings,
): readonly ServiceEntry[] {
  const [lead] = entries;
  if (lead === undefined || entries.length === 1) return entries;
  return entries.filter((entry) => {
    const differs = lead === entry ? undefined : difference(lead, entry);
    if (differs === undefined) return true;
    const message = `host ${hostname} is defined by ServiceEntry ${lead.name} with another ${differs}; this one is ignored`;
    findings?.add('MEL0104', entry, 'spec.hosts', message);
    return false;
  });
}

function difference(lead: ServiceEntry, other: ServiceEntry): string | undefined {
  if (entryResolution(lead) !== entryResolution(other)) return 'resolution';
  if (!deepEqual(lead.labels, other.labels)) return 'set of labels';
  if (!deepEqual(lead.spec.workloadSelector?.labels ?? {}, other.spec.workloadSelector?.labels ?? {})) {
    return 'workloadSelector';
  }
  return deepEqual(lead.spec.exportTo ?? [], other.spec.exportTo ?? []) ? undefined : 'exportTo';
}

/** Services of one host and namespace, in the order in which the addresses are written; `entries` can be merged. */
export function entryServices(
  hostname: string,
  entries: readonly ServiceEntry[],
  vip: Vip | undefined,
  context: ServiceContext,
  findings: Findings,
): readonly Service[] {
  const byAddress = new Map<string, ServiceEntry[]>();
  for (const entry of entries) {
    for (const address of addressesOf(entry, findings)) {
      const list = byAddress.get(address);
      if (list === undefined) byAddress.set(address, [entry]);
      else if (!list.includes(entry)) list.push(entry);
    }
  }
  return [...byAddress].map(([address, group]) => entryService(hostname, address, group, vip, context, findings));
}

function visibleTo({ spec, namespace }: ServiceEntry, { options, namespaceLabels }: ServiceContext): Visibility {
  const declared = visibilityOf(spec.exportTo, namespace, options.defaultServiceExportTo);
  return cappedVisibility(declared, namespace, namespaceLabels(namespace), options.entryVisibility);
}

function entryService(
  hostname: string,
  address: string,
  group: readonly ServiceEntry[],
  vip: Vip | undefined,
  context: ServiceContext,
  findings: Findings,
): Service {
  // A group is never empty: it is made with its first member.
  const lead = group[0] as ServiceEntry;
  const { spec, namespace, labels } = lead;
  const selector = spec.workloadSelector?.labels;
  const names = [...new Set(group.flatMap((entry) => entry.spec.subjectAltNames ?? []))];
  const distribution = lead.annotations[ANNOTATION.trafficDistribution] ?? context.namespaceDistribution(namespace);
  return {
    hostname,
    name: hostname,
    namespace,
    registry: 'External',
    resolution: entryResolution(lead),
    ports: mergedPorts(hostname, group, findings),
    defaultAddress: address,
    clusterVips: new Map(),
    autoAllocated: address === NO_ADDRESS ? vip : undefined,
    exportTo: visibleTo(lead, context),
    labels,
    selector: selector !== undefined && Object.keys(selector).length > 0 ? selector : undefined,
    // MESH_EXTERNAL is the default of the API.
    meshExternal: spec.location !== 'MESH_INTERNAL',
    nodeLocal: false,
    trafficDistribution: annotatedDistribution(distribution),
    publishNotReadyAddresses: false,
    subjectAltNames: names,
    serviceAccounts: names,
    aliases: [],
    clusterLocal: context.clusterLocal(hostname),
    persistentSession: sessionOf(labels, context.options.sessionLabels),
    headless: false,
    selectsWorkloads: spec.workloadSelector !== undefined,
    created: lead.created,
    refs: group.map((entry) => ({ kind: 'ServiceEntry', namespace: entry.namespace, name: entry.name })),
  };
}

/** Addresses to listen for: single ones, prefixes, or the one that stands for none. */
function addressesOf(entry: ServiceEntry, findings: Findings): readonly string[] {
  const written = entry.spec.addresses ?? [];
  if (written.length === 0) return [NO_ADDRESS];
  const usable: string[] = [];
  for (const [index, address] of written.entries()) {
    const cidr = parseCidr(address);
    if (cidr === undefined) {
      findings.add('MEL0107', entry, `spec.addresses[${index}]`, `${address} is neither an IP address nor a prefix`);
    } else if (isIp(address) || cidr.bits < (cidr.version === 4 ? 32 : 128)) usable.push(address);
    else usable.push(address.slice(0, address.indexOf('/')));
  }
  return usable;
}

/** Ports of all, each number once. */
function mergedPorts(hostname: string, group: readonly ServiceEntry[], findings: Findings): readonly ServicePort[] {
  const ports = new Map<number, ServicePort>();
  for (const entry of group) {
    for (const [index, port] of (entry.spec.ports ?? []).entries()) {
      if (port.number === undefined) continue;
      const candidate: ServicePort = {
        name: port.name ?? '',
        number: port.number,
        protocol: protocolByName(port.protocol ?? '') ?? 'AUTO',
        targetPort: port.targetPort === 0 ? undefined : port.targetPort,
      };
      const present = ports.get(port.number);
      if (present === undefined) ports.set(port.number, candidate);
      else if (!deepEqual(present, candidate)) {
        const message = `port ${port.number} of host ${hostname} is already defined as ${present.name} (${present.protocol})`;
        findings.add('MEL0105', entry, `spec.ports[${index}]`, message);
      }
    }
  }
  return [...ports.values()];
}
