// Names that the agent's DNS proxy answers (NDS): hosts that a class of proxies sees, with addresses that lead somewhere.
// In: a scope. Out: one draft, which stays the same while no answer changes. Called by ../index.ts for classes of which
// somebody asks.

import { constantTemplate, encode, slot } from '../../codec/index.ts';
import { isDualStack } from '../../config/features.ts';
import type { Draft, Origin } from '../../ir/draft.ts';
import type { Endpoint, ServiceEndpoints } from '../../ir/endpoint.ts';
import type { IpFamily, ProxyClass } from '../../ir/proxy.ts';
import { NO_ADDRESS, type Service } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { ipVersion, isIp } from '../../lib/ip.ts';
import { memo } from '../../lib/memo.ts';
import { inOrder } from '../../lib/order.ts';
import { carriedOver, commonEnds, middleOf, placeOf, replacedByName } from '../../lib/positions.ts';
import { stamp } from '../../lib/stamp.ts';
import { sameList, tableGet } from '../../lib/table.ts';
import type { Messages } from '../../messages/index.ts';
import { type AddressViewer, NO_ADDRESS_V6, serviceAddresses } from '../addresses.ts';
import { lazyDraftOf, originOfRef } from '../draft.ts';

type NameInfo = Messages['istio.networking.nds.v1.NameTable.NameInfo'];

const NAME_TABLE = 'istio.networking.nds.v1.NameTable';
const RESOURCE_NAME = 'name-table';

/** Multi-cluster services: their names are not of one namespace's DNS zone. */
const CLUSTER_SET = '.clusterset.local';

/** What a table was made from. */
interface Made {
  readonly proxyClass: ProxyClass;
  readonly dualStack: boolean;
  readonly services: readonly ScopedService[];
  /** By position of the service. */
  readonly found: readonly Found[];
  readonly all: readonly Names[];
  /** In order of hosts. */
  readonly answers: readonly Answer[];
}

/** A service is asked for its endpoints when its addresses are theirs; nothing when it has none to answer. */
type Found = Names | 'headless' | 'nothing';

const madeFrom = stamp<Draft, Made>();

/** The table of a class; `previous`: the one before, kept while no answer changes. */
export function nameTable(scope: Scope, previous?: Draft): Draft {
  const { proxyClass, mesh, endpoints } = scope;
  const dualStack = isDualStack(mesh);
  const made = previous === undefined ? undefined : madeFrom.get(previous);
  const before = made?.proxyClass === proxyClass && made.dualStack === dualStack ? made : undefined;
  // Gateways call nobody by themselves: their agents leave names to other resolvers.
  const services = proxyClass.type === 'router' ? NOBODY : servicesOf(scope.egress);
  const { family, clusterId, settings } = proxyClass;
  const found = carriedOver<ScopedService, Found>(
    before?.services ?? NOBODY,
    before?.found ?? NOTHING_FOUND,
    services,
    ({ service }, known) => known ?? namesOf(service, family, clusterId, settings.dnsCapture, dualStack),
  );
  const all = namesIn(found);
  for (let position = found.indexOf('headless'); position >= 0; position = found.indexOf('headless', position + 1)) {
    const { service } = services[position] as ScopedService;
    const known = tableGet(endpoints, service.hostname);
    if (known !== undefined) all.push(headlessNames(service, known, proxyClass));
  }
  const kept = before !== undefined && sameList(before.all, all) ? before : undefined;
  const answers = kept?.answers ?? (before === undefined ? allAnswers(all) : nextAnswers(all, before));
  const draft = kept === undefined || previous === undefined ? tableDraft(all, answers) : previous;
  madeFrom.set(draft, { proxyClass, dualStack, services, found, all, answers });
  return draft;
}

function namesIn(found: readonly Found[]): Names[] {
  const all: Names[] = [];
  for (const each of found) if (typeof each === 'object') all.push(each);
  return all;
}

const NOBODY: readonly ScopedService[] = [];
const NOTHING_FOUND: readonly Found[] = [];

function servicesOf(egress: readonly EgressListener[]): readonly ScopedService[] {
  const [only] = egress;
  return egress.length === 1 && only !== undefined ? only.services : distinct(egress);
}

const distinct = memo((egress: readonly EgressListener[]): readonly ScopedService[] => {
  const seen = new Map<Service, ScopedService>();
  for (const { services } of egress)
    for (const scoped of services) if (!seen.has(scoped.service)) seen.set(scoped.service, scoped);
  return [...seen.values()];
});

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

/** Counted by tests. */
export const namesOf = memo(
  (service: Service, family: IpFamily, clusterId: string, dnsCapture: boolean, dualStack: boolean): Found => {
    const viewer: AddressViewer = { family, clusterId, dnsCapture, dualStack };
    const ips: string[] = [];
    for (const address of serviceAddresses(service, viewer)) {
      if (!reachable(service, address, family)) continue;
      if (address === NO_ADDRESS || address === NO_ADDRESS_V6) {
        return service.resolution === 'Passthrough' && service.ports.length > 0 ? 'headless' : 'nothing';
      }
      // The others are prefixes.
      if (isIp(address)) ips.push(address);
    }
    return ips.length === 0 ? 'nothing' : { service, answers: [answer(service.hostname, infoOf(service, ips))] };
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

function allAnswers(all: readonly Names[]): readonly Answer[] {
  const table = new Map<string, Answer>();
  for (const { service, answers } of all) for (const each of answers) add(table, service, each);
  return inOrder([...table.keys()]).map((host) => table.get(host) as Answer);
}

function add(table: Map<string, Answer>, service: Service, next: Answer): void {
  const before = table.get(next.host);
  table.set(next.host, before === undefined ? next : merged(service, before, next));
}

/** Only hosts of services that came, went or have other answers are looked at. */
function nextAnswers(all: readonly Names[], before: Made): readonly Answer[] {
  const common = commonEnds(before.all, all);
  const come = middleOf(all, common);
  const hosts = new Set([...middleOf(before.all, common), ...come].flatMap(({ answers }) => answers.map(hostOf)));
  const known = [...hosts].some((host) => isAnswer(before.answers, host));
  // Of a host that was known others may have something to say.
  const next = answersFor(hosts, known ? all : come);
  return replacedByName(before.answers, hostOf, hosts, next);
}

function answersFor(hosts: ReadonlySet<string>, names: readonly Names[]): readonly Answer[] {
  const table = new Map<string, Answer>();
  for (const { service, answers } of names)
    for (const each of answers) if (hosts.has(each.host)) add(table, service, each);
  return [...table.values()];
}

function hostOf({ host }: Answer): string {
  return host;
}

function isAnswer(answers: readonly Answer[], host: string): boolean {
  const at = placeOf(host, answers, hostOf);
  return answers[at]?.host === host;
}

function tableDraft(all: readonly Names[], answers: readonly Answer[]): Draft {
  const parts = answers.map(({ bytes }) => bytes);
  const origins = (): readonly Origin[] => all.flatMap(({ service }) => service.refs.map((ref) => originOfRef(ref)));
  return lazyDraftOf(NAME_TABLE, RESOURCE_NAME, parts, origins);
}

/** A Kubernetes Service takes its name from ServiceEntries; of those all addresses are answered. */
function merged({ registry }: Service, before: Answer, next: Answer): Answer {
  if (before.info.registry === 'Kubernetes') return before;
  if (registry === 'Kubernetes') return next;
  const ips = [...new Set([...(before.info.ips ?? []), ...(next.info.ips ?? [])])];
  return answer(before.host, { ...before.info, ips });
}
