// Services together with what applies to them. The base is what a client without anything of its own sees, built once
// for the whole mesh; a namespace's view differs from it in few hosts and shares everything else by identity.

import type { ServiceEndpoints } from '../ir/endpoint.ts';
import type { Service } from '../ir/service.ts';
import type { PeerAuthnIndex } from '../ir/snapshot.ts';
import type { ScopedService } from '../ir/traffic.ts';
import { hostSubsetOf, isWildcard } from '../lib/hosts.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import {
  allPlaces,
  type Bucket,
  BucketEdit,
  changedPlaces,
  type Derived,
  type Derived2,
  deriveTable,
  deriveTable2,
  eitherOf,
  emptyTable,
  type Table,
  tableEntries,
  tableGet,
  tableWith,
} from '../lib/table.ts';
import { type Change, changesBetween, regroup } from '../registry/groups.ts';
import { ANYONE, type DestinationRuleIndex, ownHosts, type RuleClient } from './destination-rules.ts';
import { keepMembers } from './keep.ts';
import {
  type Choices,
  chooseRules,
  isServiceVisible,
  scopedService,
  type TlsFacts,
  visibleService,
} from './service-choice.ts';
import { keepTable, type Ordered, orderedFrom } from './tables.ts';

export interface ServiceBase {
  readonly services: Table<readonly Service[]>;
  readonly rules: DestinationRuleIndex;
  readonly peerAuthn: PeerAuthnIndex;
  /** Services of each namespace: one list as long as all of them are the same. */
  readonly byNamespace: Table<readonly Service[]>;
  readonly facts: Derived<readonly ServiceEndpoints[], TlsFacts>;
  /** Hosts of which not everybody sees the same service. */
  readonly special: Derived<readonly Service[], readonly Service[]>;
  /** By client namespace: hosts of which it may see another service than clients elsewhere. */
  readonly specialFor: Table<readonly (readonly Service[])[]>;
  /** By namespace: hosts of its services that it does not see itself. */
  readonly hiddenIn: Table<readonly (readonly Service[])[]>;
  /** Hosts that a namespace defines at several addresses; the first service stands for all, listeners take each. */
  readonly siblings: Derived<readonly Service[], readonly Service[]>;
  /** What a client without anything of its own means by each host. */
  readonly common: Derived<readonly Service[], Service>;
  readonly choices: Choices;
  readonly scoped: Table<ScopedService>;
  readonly ordered: Ordered<ScopedService>;
  readonly endpoints: Derived2<ScopedService, readonly ServiceEndpoints[], ServiceEndpoints>;
}

export interface ServiceBaseInput {
  readonly services: Table<readonly Service[]>;
  readonly endpoints: Table<readonly ServiceEndpoints[]>;
  readonly rules: DestinationRuleIndex;
  readonly peerAuthn: PeerAuthnIndex;
}

export function serviceBase(previous: ServiceBase | undefined, input: ServiceBaseInput): ServiceBase {
  const { services, rules, peerAuthn } = input;
  const byNamespace = regroup(
    previous?.byNamespace ?? emptyTable<readonly Service[]>(),
    serviceChanges(previous?.services, services),
    (service) => [service.namespace],
    compareServices,
  ).index;
  const facts = deriveTable(previous?.facts, input.endpoints, [], tlsFacts);
  const special = deriveTable(previous?.special, services, [], (list) => (isSpecial(list) ? list : undefined));
  const changes = changesBetween(previous?.special.output, special.output);
  const none = emptyTable<readonly (readonly Service[])[]>();
  const specialFor = regroup(previous?.specialFor ?? none, changes, namespacesConcerned, compareHosts).index;
  const hiddenIn = regroup(previous?.hiddenIn ?? none, changes, namespacesHidden, compareHosts).index;
  const siblings = deriveTable(previous?.siblings, special.output, [], (list) =>
    new Set(list.map((each) => each.namespace)).size < list.length ? list : undefined,
  );
  const common = deriveTable(previous?.common, services, [], (list) => visibleService(list, ANYONE.namespace));
  const choices = chooseRules(previous?.choices, common.output, { rules, peerAuthn, facts }, ANYONE);
  const scoped = choices.scoped.output;
  const ordered = orderedFrom(previous?.ordered, scoped, compareScoped, previous?.ordered.list);
  const endpoints = deriveTable2(previous?.endpoints, scoped, input.endpoints, [], endpointsOf);
  return keepMembers(previous, {
    services,
    rules,
    peerAuthn,
    byNamespace,
    facts,
    special,
    specialFor,
    hiddenIn,
    siblings,
    common,
    choices,
    scoped,
    ordered,
    endpoints,
  });
}

function serviceChanges(
  before: Table<readonly Service[]> | undefined,
  after: Table<readonly Service[]>,
): readonly Change<Service>[] {
  const changes: Change<Service>[] = [];
  for (const [host, old = [], now = []] of changesBetween(before, after)) {
    for (const service of old) if (!now.includes(service)) changes.push([host, service, undefined]);
    for (const service of now) if (!old.includes(service)) changes.push([host, undefined, service]);
  }
  return changes;
}

function tlsFacts(list: readonly ServiceEndpoints[]): TlsFacts {
  return list
    .filter((each) => each.endpoints.length > 0 && !each.someWithoutTls)
    .map((each) => `${each.namespace};`)
    .join('');
}

function isSpecial(list: readonly Service[]): boolean {
  return list.length > 1 || list[0]?.exportTo !== '*';
}

function namespacesConcerned(list: readonly Service[]): ReadonlySet<string> {
  const namespaces = new Set<string>();
  for (const service of list) {
    if (service.exportTo === '*') namespaces.add(service.namespace);
    else for (const namespace of service.exportTo) namespaces.add(namespace);
  }
  return namespaces;
}

function namespacesHidden(list: readonly Service[]): ReadonlySet<string> {
  return new Set(list.flatMap((each) => (isServiceVisible(each, each.namespace) ? [] : [each.namespace])));
}

function compareHosts(a: readonly Service[], b: readonly Service[]): number {
  return compareStrings(a[0]?.hostname ?? '', b[0]?.hostname ?? '');
}

/** Registry order: age, name, namespace; the hostname where all of these are equal. */
const compareServices = orderBy<Service>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.name, b.name),
  (a, b) => compareStrings(a.namespace, b.namespace),
  (a, b) => compareStrings(a.hostname, b.hostname),
);

export function compareScoped(a: ScopedService, b: ScopedService): number {
  return compareServices(a.service, b.service);
}

function endpointsOf(
  scoped: ScopedService,
  list: readonly ServiceEndpoints[] | undefined,
): ServiceEndpoints | undefined {
  if (list === undefined || list.length < 2) return list?.[0];
  return list.find((each) => each.namespace === scoped.service.namespace);
}

/** Everything that the client sees when no Sidecar limits it: the base, and its own view of the hosts that may differ. */
export function allVisible(
  base: ServiceBase,
  client: RuleClient,
  previous: Table<ScopedService> | undefined,
): Table<ScopedService> {
  const entries: [string, ScopedService | undefined][] = [];
  for (const host of hostsToReview(base, client.namespace)) {
    const service = visibleService(tableGet(base.services, host) ?? [], client.namespace);
    const fact = tableGet(base.facts.output, host);
    entries.push([host, service === undefined ? undefined : scopedService(base, client, service, fact)]);
  }
  return keepTable(previous, tableWith(base.scoped, entries));
}

function hostsToReview(base: ServiceBase, namespace: string): ReadonlySet<string> {
  const hosts = new Set<string>();
  for (const list of tableGet(base.specialFor, namespace) ?? []) hosts.add(list[0]?.hostname ?? '');
  const wildcards: string[] = [];
  for (const host of ownHosts(base.rules, namespace)) {
    if (isWildcard(host)) wildcards.push(host);
    else hosts.add(host);
  }
  if (wildcards.length > 0) {
    for (const [host] of tableEntries(base.services)) {
      if (wildcards.some((wildcard) => hostSubsetOf(host, wildcard))) hosts.add(host);
    }
  }
  return hosts;
}

/** The endpoints of a client's services, with what they were found in. */
export interface ScopedEndpoints {
  readonly services: Table<ScopedService>;
  readonly all: Table<readonly ServiceEndpoints[]>;
  readonly shared: ServiceBase['endpoints'];
  readonly output: Table<ServiceEndpoints>;
}

/** The endpoints of the given services; buckets that the base has as well are taken from there. */
export function endpointsFor(
  { scoped, endpoints: shared }: ServiceBase,
  services: Table<ScopedService>,
  all: Table<readonly ServiceEndpoints[]>,
  previous: ScopedEndpoints | undefined,
): ScopedEndpoints {
  const inputs = { services, all, shared };
  if (services === scoped) return { ...inputs, output: keepTable(previous?.output, shared.output) };
  const edit = new BucketEdit(previous?.output, services.buckets.length);
  for (const index of previous === undefined ? allPlaces(services.buckets.length) : placesTouched(previous, inputs)) {
    const bucket = services.buckets[index];
    const own = bucket === scoped.buckets[index] ? shared.output.buckets[index] : undefined;
    edit.put(index, own ?? endpointsIn(bucket, all.buckets[index]));
  }
  return { ...inputs, output: edit.table() };
}

function placesTouched(before: ScopedEndpoints, now: Omit<ScopedEndpoints, 'output'>): readonly number[] {
  const pairs: readonly (readonly [Table<unknown>, Table<unknown>])[] = [
    [before.services, now.services],
    [before.all, now.all],
    [before.shared.left, now.shared.left],
    [before.shared.output, now.shared.output],
  ];
  return pairs.map(([from, to]) => changedPlaces(from, to)).reduce(eitherOf);
}

function endpointsIn(
  services: Bucket<ScopedService> | undefined,
  all: Bucket<readonly ServiceEndpoints[]> | undefined,
): Bucket<ServiceEndpoints> {
  const out = new Map<string, ServiceEndpoints>();
  for (const [host, scoped] of services ?? []) {
    const found = endpointsOf(scoped, all?.get(host));
    if (found !== undefined) out.set(host, found);
  }
  return out;
}
