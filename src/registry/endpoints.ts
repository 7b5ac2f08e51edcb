// The endpoint table: which endpoints each host has, in every namespace that defines it.
// In: what changed, and what each host read when it was last built. Out: the next table. Called by registry.ts.

import type { Finding } from '../config/object.ts';
import type { Endpoint, ServiceEndpoints } from '../ir/endpoint.ts';
import type { Service } from '../ir/service.ts';
import { deepEqual } from '../lib/equal.ts';
import { compareStrings } from '../lib/order.ts';
import { emptyTable, keepList, sameList, type Table, tableGet, tableWith } from '../lib/table.ts';
import { type EndpointContext, type EndpointSources, endpointContext } from './endpoint-context.ts';
import { entryEndpoints } from './entry-endpoints.ts';
import { type Findings, keepFindings, newFindings } from './findings.ts';
import { type Claim, claimsByNamespace, type NamespaceClaims } from './host-services.ts';
import { NO_READS, type ReadLog, type Reads, withReads } from './reads.ts';
import { kubeEndpoints } from './slice-endpoints.ts';

export interface EndpointsState {
  readonly table: Table<readonly ServiceEndpoints[]>;
  readonly findings: Table<readonly Finding[]>;
  readonly reads: Reads;
}

export const NO_ENDPOINTS: EndpointsState = { table: emptyTable(), findings: emptyTable(), reads: NO_READS };

/** Builds the given hosts again. `kept` is the state whose equal values keep their identity. */
export function updateEndpoints(
  state: EndpointsState,
  kept: EndpointsState,
  hosts: Iterable<string>,
  claims: Table<readonly Claim[]>,
  services: Table<readonly Service[]>,
  sources: EndpointSources,
): EndpointsState {
  const lists: [string, readonly ServiceEndpoints[] | undefined][] = [];
  const found: [string, readonly Finding[] | undefined][] = [];
  const logs = new Map<string, ReadLog | undefined>();
  for (const host of hosts) {
    const claimed = tableGet(claims, host);
    const log: ReadLog = new Set();
    const findings = newFindings();
    const before = tableGet(kept.table, host);
    const list = claimed && endpointsOfHost(host, claimed, tableGet(services, host), sources, log, findings, before);
    lists.push([host, list]);
    found.push([host, keepFindings(tableGet(kept.findings, host), findings.list)]);
    logs.set(host, claimed === undefined ? undefined : log);
  }
  return {
    table: tableWith(state.table, lists),
    findings: tableWith(state.findings, found),
    reads: withReads(state.reads, logs),
  };
}

function endpointsOfHost(
  host: string,
  claims: readonly Claim[],
  services: readonly Service[] | undefined,
  sources: EndpointSources,
  log: ReadLog,
  findings: Findings,
  before: readonly ServiceEndpoints[] | undefined,
): readonly ServiceEndpoints[] {
  const context = endpointContext(sources, log, findings);
  // One for each namespace, in the order in which the services of the host stand.
  const groups = new Map(claimsByNamespace(host, claims).map((group) => [group.namespace, group]));
  const namespaces = new Set((services ?? []).map((service) => service.namespace));
  const built = [...namespaces].flatMap((namespace) => {
    const group = groups.get(namespace);
    if (group === undefined) return [];
    const own = (services ?? []).filter((service) => service.namespace === namespace);
    const previous = before?.find((each) => each.namespace === namespace);
    return [serviceEndpoints(host, group, own, context, previous)];
  });
  return keepList(before, built);
}

function serviceEndpoints(
  hostname: string,
  group: NamespaceClaims,
  services: readonly Service[],
  context: EndpointContext,
  before: ServiceEndpoints | undefined,
): ServiceEndpoints {
  const names = new Map<number, string>();
  for (const service of services) for (const port of service.ports) names.set(port.number, port.name);
  const all = [
    ...(group.service === undefined ? [] : kubeEndpoints(group.service, context)),
    ...group.entries.flatMap((entry) => entryEndpoints(hostname, entry, names, context)),
  ];
  const single = services[0]?.resolution === 'DNSRoundRobinLB';
  return assemble(group.namespace, hostname, distinct(all, single), before);
}

/** Each address and port once, or, where only one can be used, each port once: the first counts. */
function distinct(endpoints: readonly Endpoint[], onePerPort: boolean): readonly Endpoint[] {
  if (endpoints.length < 2) return endpoints;
  const seen = new Set<string>();
  return endpoints.filter((endpoint) => {
    const key = onePerPort ? endpoint.portName : socketKey(endpoint);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function socketKey(endpoint: Endpoint): string {
  return `${endpoint.address} ${endpoint.port} ${endpoint.portName}`;
}

/** Keeps every part that is equal to before: each endpoint, the lists, and the whole. */
function assemble(
  namespace: string,
  hostname: string,
  list: readonly Endpoint[],
  before: ServiceEndpoints | undefined,
): ServiceEndpoints {
  const endpoints = before === undefined ? list : keepEndpoints(before.endpoints, list);
  if (before !== undefined && before.endpoints === endpoints) return before;
  const identities = new Set<string>();
  for (const { identity } of endpoints) if (identity !== '') identities.add(identity);
  return {
    namespace,
    hostname,
    endpoints,
    identities: keepList(before?.identities, [...identities].sort(compareStrings)),
    someWithoutTls: endpoints.some((endpoint) => endpoint.tlsMode !== 'istio'),
  };
}

function keepEndpoints(before: readonly Endpoint[], list: readonly Endpoint[]): readonly Endpoint[] {
  const previous = new Map(before.map((endpoint) => [socketKey(endpoint), endpoint]));
  const kept = list.map((endpoint) => {
    const old = previous.get(socketKey(endpoint));
    return old !== undefined && sameEndpoint(old, endpoint) ? old : endpoint;
  });
  return keepList(before, kept);
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.health === b.health &&
    a.identity === b.identity &&
    a.tlsMode === b.tlsMode &&
    a.locality === b.locality &&
    a.network === b.network &&
    a.clusterId === b.clusterId &&
    a.weight === b.weight &&
    a.namespace === b.namespace &&
    a.workloadName === b.workloadName &&
    a.nodeName === b.nodeName &&
    a.hostname === b.hostname &&
    a.subdomain === b.subdomain &&
    sameList(a.otherAddresses ?? [], b.otherAddresses ?? []) &&
    deepEqual(a.labels, b.labels)
  );
}
