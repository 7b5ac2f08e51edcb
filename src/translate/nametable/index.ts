// Names that the agent's DNS proxy answers (NDS): hosts that a class of proxies sees, with addresses that lead somewhere.
// In: a scope. Out: one draft, which stays the same while no answer changes. Called by ../index.ts for classes of which
// somebody asks.

import { constantTemplate, encode, joined, slot } from '../../codec/index.ts';
import { isDualStack } from '../../config/features.ts';
import type { Draft } from '../../ir/draft.ts';
import type { Endpoint, ServiceEndpoints } from '../../ir/endpoint.ts';
import type { IpFamily, ProxyClass } from '../../ir/proxy.ts';
import { NO_ADDRESS, type Service } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { ipVersion, isIp } from '../../lib/ip.ts';
import { memo } from '../../lib/memo.ts';
import { inOrder } from '../../lib/order.ts';
import { tableGet } from '../../lib/table.ts';
import type { Messages } from '../../messages/index.ts';
import { type AddressViewer, NO_ADDRESS_V6, serviceAddresses } from '../addresses.ts';
import { lazyDraftOf, originOfRef } from '../draft.ts';

type NameInfo = Messages['istio.networking.nds.v1.NameTable.NameInfo'];

const NAME_TABLE = 'istio.networking.nds.v1.NameTable';
const RESOURCE_NAME = 'name-table';

/** Multi-cluster services: their names are not of one namespace's DNS zone. */
const CLUSTER_SET = '.clusterset.local';

/** The table of a class. */
export function nameTable(scope: Scope): Draft {
  const { proxyClass, mesh, endpoints } = scope;
  // Gateways call nobody by themselves: their agents leave names to other resolvers.
  const egress = proxyClass.type === 'router' ? NOBODY : scope.egress;
  const fixed = fixedNames(egress, proxyClass, isDualStack(mesh));
  const headless = fixed.headless.flatMap(({ service }) => {
    const known = tableGet(endpoints, service.hostname);
    return known === undefined ? [] : [headlessNames(service, known, proxyClass)];
  });
  return tableDraft(fixed, ...headless);
}

const NOBODY: readonly EgressListener[] = [];

/** What one host is answered with. */
interface Answer {
  readonly host: string;
  readonly info: NameInfo;
  /** A table of this name alone. Tables one behind the other are one table, so each name is encoded once. */
  readonly bytes: Uint8Array;
}

/** What one service adds: its host, and the hosts of its pods. */
interface Names {
  readonly service: Service;
  readonly answers: readonly Answer[];
}

interface FixedNames {
  readonly names: readonly Names[];
  /** Services whose addresses are those of their endpoints. */
  readonly headless: readonly ScopedService[];
}

/** What follows from services alone. */
const fixedNames = memo((egress: readonly EgressListener[], proxyClass: ProxyClass, dualStack: boolean): FixedNames => {
  const { family, clusterId, settings } = proxyClass;
  const names: Names[] = [];
  const headless: ScopedService[] = [];
  const seen = new Set<Service>();
  for (const { services } of egress) {
    for (const scoped of services) {
      if (seen.has(scoped.service)) continue;
      seen.add(scoped.service);
      const own = namesOf(scoped.service, family, clusterId, settings.dnsCapture, dualStack);
      if (own === 'headless') headless.push(scoped);
      else if (own !== undefined) names.push(own);
    }
  }
  return { names, headless };
});

/** Undefined for services without an address to answer. Counted by tests. */
export const namesOf = memo(
  (
    service: Service,
    family: IpFamily,
    clusterId: string,
    dnsCapture: boolean,
    dualStack: boolean,
  ): Names | 'headless' | undefined => {
    const viewer: AddressViewer = { family, clusterId, dnsCapture, dualStack };
    const addresses = serviceAddresses(service, viewer).filter((address) => reachable(service, address, family));
    if (addresses.some((address) => address === NO_ADDRESS || address === NO_ADDRESS_V6)) {
      return service.resolution === 'Passthrough' && service.ports.length > 0 ? 'headless' : undefined;
    }
    // The others are prefixes.
    const ips = addresses.filter(isIp);
    return ips.length === 0 ? undefined : { service, answers: [answer(service.hostname, infoOf(service, ips))] };
  },
);

/** Of a Kubernetes Service without an address of the proxy's family the cluster's own DNS knows more. */
function reachable({ registry }: Service, address: string, family: IpFamily): boolean {
  if (registry !== 'Kubernetes' || family === 'dual') return true;
  return (ipVersion(address) === 6) === (family === 'v6');
}

function infoOf(service: Service, ips: readonly string[]): NameInfo {
  const { registry, hostname, name, namespace } = service;
  // The agent answers `NAME`, `NAME.NAMESPACE` and so on by itself.
  const short = registry === 'Kubernetes' && !hostname.endsWith(CLUSTER_SET);
  return short ? { ips, registry, shortname: name, namespace } : { ips, registry };
}

function answer(host: string, info: NameInfo): Answer {
  return { host, info, bytes: entryBytes(host, info) };
}

function entryBytes(host: string, info: NameInfo): Uint8Array {
  const { ips = [], registry = '', shortname, namespace } = info;
  const [ip = ''] = ips;
  if (ips.length !== 1 || host === '' || registry === '' || ip === '') return encode(NAME_TABLE, tableOf(host, info));
  if (shortname === undefined && namespace === undefined) return LONG_NAME.fill(host, ip, registry);
  if (shortname && namespace) return SHORT_NAME.fill(host, ip, registry, shortname, namespace);
  return encode(NAME_TABLE, tableOf(host, info));
}

function tableOf(host: string, info: NameInfo): Messages[typeof NAME_TABLE] {
  return { table: { [host]: info } };
}

const LONG_NAME = constantTemplate(NAME_TABLE, () => tableOf(slot(0), { ips: [slot(1)], registry: slot(2) }));

const SHORT_NAME = constantTemplate(NAME_TABLE, () =>
  tableOf(slot(0), { ips: [slot(1)], registry: slot(2), shortname: slot(3), namespace: slot(4) }),
);

/**
 * As the cluster's own DNS does: all endpoints that are ready, and each pod by its host name within the subdomain. Counted
 * by tests.
 */
export const headlessNames = memo(
  (service: Service, { endpoints }: ServiceEndpoints, proxyClass: ProxyClass): Names => {
    const answers: Answer[] = [];
    const ips = new Set<string>();
    const pods = new Map<string, { readonly shortname: string; readonly local: string[]; readonly remote: string[] }>();
    const zone = service.hostname.slice(service.hostname.indexOf('.'));
    for (const endpoint of endpoints) {
      if (!isAnswered(service, endpoint, proxyClass) || ips.has(endpoint.address)) continue;
      const own = [endpoint.address, ...(endpoint.otherAddresses ?? [])];
      for (const address of own) ips.add(address);
      if (endpoint.subdomain === '' || !zone.startsWith('.')) continue;
      const shortname = `${endpoint.hostname}.${endpoint.subdomain}`;
      const pod = pods.get(shortname + zone) ?? { shortname, local: [], remote: [] };
      pods.set(shortname + zone, pod);
      (endpoint.clusterId === proxyClass.clusterId ? pod.local : pod.remote).push(...own);
    }
    if (ips.size > 0 && !pods.has(service.hostname)) answers.push(answer(service.hostname, infoOf(service, [...ips])));
    for (const [host, { shortname, local, remote }] of pods) {
      const { registry, namespace } = service;
      answers.push(answer(host, { ips: local.length > 0 ? local : remote, registry, shortname, namespace }));
    }
    return { service, answers };
  },
);

/** Connections go straight to the address that was answered, so it has to be on the proxy's own network. */
function isAnswered({ publishNotReadyAddresses }: Service, endpoint: Endpoint, { network }: ProxyClass): boolean {
  const ready = publishNotReadyAddresses || endpoint.health === 'HEALTHY' || endpoint.health === 'UNKNOWN';
  const near = network === '' || endpoint.network === '' || endpoint.network === network;
  return ready && near && isIp(endpoint.address);
}

const tableDraft = memo((fixed: FixedNames, ...headless: readonly Names[]): Draft => {
  const table = new Map<string, Answer>();
  const all = headless.length === 0 ? fixed.names : [...fixed.names, ...headless];
  for (const { service, answers } of all) {
    for (const each of answers) {
      const before = table.get(each.host);
      table.set(each.host, before === undefined ? each : merged(service, before, each));
    }
  }
  const entries = inOrder([...table.keys()]).map((host) => (table.get(host) as Answer).bytes);
  return lazyDraftOf(NAME_TABLE, RESOURCE_NAME, joined(entries), () =>
    all.flatMap(({ service }) => service.refs.map((ref) => originOfRef(ref))),
  );
});

/** A Kubernetes Service takes its name from ServiceEntries; of those all addresses are answered. */
function merged({ registry }: Service, before: Answer, next: Answer): Answer {
  if (before.info.registry === 'Kubernetes') return before;
  if (registry === 'Kubernetes') return next;
  const ips = [...new Set([...(before.info.ips ?? []), ...(next.info.ips ?? [])])];
  return answer(before.host, { ...before.info, ips });
}
