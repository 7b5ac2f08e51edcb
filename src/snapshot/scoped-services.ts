// Services together with what applies to them. The base is what a client without anything of its own sees, built once
// for the whole mesh; a namespace's view differs from it in few hosts and shares everything else by identity.

import type { ServiceEndpoints } from '../ir/endpoint.ts';
import type { MtlsMode } from '../ir/policy.ts';
import type { Service } from '../ir/service.ts';
import type { PeerAuthnIndex } from '../ir/snapshot.ts';
import type { DestinationRule, ScopedService } from '../ir/traffic.ts';
import { hostSubsetOf, isWildcard } from '../lib/hosts.ts';
import { memo } from '../lib/memo.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import {
  type Derived,
  type Derived2,
  type Table,
  deriveTable,
  deriveTable2,
  emptyTable,
  tableEntries,
  tableGet,
  tableWith,
} from '../lib/table.ts';
import { changesBetween, regroup } from '../registry/groups.ts';
import { ANYONE, type DestinationRuleIndex, ownHosts, type RuleClient, ruleFor } from './destination-rules.ts';
import { keepTable, type Ordered, orderedFrom } from './tables.ts';

/** Which of a host's services have endpoints that all take mTLS, as text: equal text, equal facts. */
export type TlsFacts = string;

export interface ServiceBase {
  readonly services: Table<readonly Service[]>;
  readonly rules: DestinationRuleIndex;
  readonly peerAuthn: PeerAuthnIndex;
  readonly facts: Derived<readonly ServiceEndpoints[], TlsFacts>;
  /** Hosts of which not everybody sees the same service. */
  readonly special: Derived<readonly Service[], readonly Service[]>;
  /** By client namespace: hosts of which it may see another service than clients elsewhere. */
  readonly specialFor: Table<readonly (readonly Service[])[]>;
  /** By namespace: hosts of its services that it does not see itself. */
  readonly hiddenIn: Table<readonly (readonly Service[])[]>;
  /** Hosts that a namespace defines at several addresses; the first service stands for all, listeners take each. */
  readonly siblings: Derived<readonly Service[], readonly Service[]>;
  readonly scoped: Derived2<readonly Service[], TlsFacts, ScopedService>;
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
  const facts = deriveTable(previous?.facts, input.endpoints, [], tlsFacts);
  const special = deriveTable(previous?.special, services, [], (list) => (isSpecial(list) ? list : undefined));
  const changes = changesBetween(previous?.special.output, special.output);
  const none = emptyTable<readonly (readonly Service[])[]>();
  const specialFor = regroup(previous?.specialFor ?? none, changes, namespacesConcerned, compareHosts).index;
  const hiddenIn = regroup(previous?.hiddenIn ?? none, changes, namespacesHidden, compareHosts).index;
  const siblings = deriveTable(previous?.siblings, special.output, [], (list) =>
    new Set(list.map((each) => each.namespace)).size < list.length ? list : undefined,
  );
  const scoped = deriveTable2(previous?.scoped, services, facts.output, [rules, peerAuthn], (list, fact) => {
    const service = visibleService(list, ANYONE.namespace);
    return service === undefined ? undefined : scopedService({ rules, peerAuthn }, ANYONE, service, fact);
  });
  const ordered = orderedFrom(previous?.ordered, scoped.output, compareScoped, previous?.ordered.list);
  const endpoints = deriveTable2(previous?.endpoints, scoped.output, input.endpoints, [], endpointsOf);
  return { services, rules, peerAuthn, facts, special, specialFor, hiddenIn, siblings, scoped, ordered, endpoints };
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

export function isServiceVisible(service: Service, namespace: string): boolean {
  return service.exportTo === '*' || service.exportTo.has(namespace);
}

/** The one of a host's services that clients of the namespace mean. */
export function visibleService(list: readonly Service[], namespace: string): Service | undefined {
  return preferred(list.length === 1 ? list : inLookupOrder(list, namespace), namespace, isServiceVisible);
}

/** Services exported by name are looked up before public ones. */
export function inLookupOrder(list: readonly Service[], namespace: string): readonly Service[] {
  const named = (service: Service): boolean => service.exportTo !== '*' && service.exportTo.has(namespace);
  if (list.length < 2 || !list.some(named)) return list;
  return [...list.filter(named), ...list.filter((service) => !named(service))];
}

/** Own namespace first, then Kubernetes over ServiceEntries, then the order of the list (age). */
export function preferred(
  list: readonly Service[],
  namespace: string,
  admits: (service: Service, namespace: string) => boolean,
): Service | undefined {
  let best: Service | undefined;
  for (const service of list) {
    if (!admits(service, namespace)) continue;
    if (service.namespace === namespace) return service;
    if (best === undefined || (best.registry !== 'Kubernetes' && service.registry === 'Kubernetes')) best = service;
  }
  return best;
}

/** What deciding over a service takes beside the client. */
export interface ServiceContext {
  readonly rules: DestinationRuleIndex;
  readonly peerAuthn: PeerAuthnIndex;
}

/** The same object for the same service, rule and mode, for whichever class of clients. */
export function scopedService(
  context: ServiceContext,
  client: RuleClient,
  service: Service,
  fact: TlsFacts | undefined,
): ScopedService {
  const rule = ruleFor(context.rules, client, service);
  return node(service, rule, inferredMode(context.peerAuthn, service, rule, fact));
}

const node = memo(
  (service: Service, rule: DestinationRule | undefined, mtls: MtlsMode | undefined): ScopedService => ({
    service,
    rule,
    mtls,
  }),
);

/** Where the proxy does not choose the endpoint itself, all have to take mTLS before it can be offered. */
function inferredMode(
  peerAuthn: PeerAuthnIndex,
  service: Service,
  rule: DestinationRule | undefined,
  fact: TlsFacts | undefined,
): MtlsMode | undefined {
  if (service.meshExternal) return undefined;
  const passthrough =
    service.resolution === 'Passthrough' || rule?.trafficPolicy?.loadBalancer?.simple === 'PASSTHROUGH';
  if (passthrough && fact?.includes(`${service.namespace};`) !== true) return 'DISABLE';
  return peerAuthn.namespaceMode(service.namespace);
}

/** Registry order: age, name, namespace; the hostname where all of these are equal. */
export const compareScoped = orderBy<ScopedService>(
  (a, b) => compareNumbers(a.service.created, b.service.created),
  (a, b) => compareStrings(a.service.name, b.service.name),
  (a, b) => compareStrings(a.service.namespace, b.service.namespace),
  (a, b) => compareStrings(a.service.hostname, b.service.hostname),
);

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
  return keepTable(previous, tableWith(base.scoped.output, entries));
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

/** The endpoints of the given services; buckets that the base has as well are taken from there. */
export function endpointsFor(
  base: ServiceBase,
  services: Table<ScopedService>,
  endpoints: Table<readonly ServiceEndpoints[]>,
  previous: Table<ServiceEndpoints> | undefined,
): Table<ServiceEndpoints> {
  if (services === base.scoped.output) return keepTable(previous, base.endpoints.output);
  let size = 0;
  const buckets = services.buckets.map((bucket, index) => {
    const shared = base.scoped.output.buckets[index] === bucket ? base.endpoints.output.buckets[index] : undefined;
    const out = shared ?? new Map<string, ServiceEndpoints>();
    if (shared === undefined) {
      for (const [host, scoped] of bucket) {
        const found = endpointsOf(scoped, endpoints.buckets[index]?.get(host));
        if (found !== undefined) (out as Map<string, ServiceEndpoints>).set(host, found);
      }
    }
    size += out.size;
    return out;
  });
  return keepTable(previous, { buckets, size });
}
