// Who answers for what on one listener: VirtualServices first, in order, then the services that none of them takes.
// In: a port group, the VirtualServices of the listener. Out: claims on domains with their routes, in precedence.
// What a VirtualService or a service claimed before is taken over where everything that it looked at is still the same.

import type { Destination } from '../../config/generated/types.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { MESH_GATEWAY, type ScopedService, type VirtualService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { append, carriedOver, commonEnds, differenceOf, middleOf } from '../../lib/positions.ts';
import type { Steps } from '../../lib/steps.ts';
import { keepList, sameList, tableDiff, tableGet } from '../../lib/table.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { coveredBy, hasWildcard, servedOn } from './coverage.ts';
import { type Addressing, type DomainClaim, hostClaim, serviceClaim } from './domains.ts';
import { destinationHash } from './hash-policy.ts';
import { areKin, looksAtSource, renamedHosts, sameSource } from './kin-clients.ts';
import { httpPorts, type ListedGroup } from './listener-services.ts';
import { serviceRoutes } from './service.ts';
import { semanticsOf, type Target } from './settings.ts';
import { destinationsOf, type RouteDefaults, type RouteList, virtualServiceRoutes } from './virtual-service.ts';

export interface ListenerInputs extends ListedGroup {
  readonly virtualServices: readonly VirtualService[];
  readonly proxyClass: ProxyClass;
  readonly addressing: Addressing;
  readonly defaults: RouteDefaults;
  /** For the rules of destinations, which may be outside of the listener. */
  readonly services: Scope['services'];
}

/** A claim and the routes that stand behind it. The same object while both are. */
export interface Claimed {
  readonly claim: DomainClaim;
  readonly list: RouteList;
}

/** What one VirtualService or service claims. */
interface Part {
  readonly claimed: readonly Claimed[];
  /** Services that it takes. */
  readonly taken: readonly string[];
  /** Everything that a VirtualService looked up, in order: the part stands as long as the answers are the same. */
  readonly reads: readonly (ScopedService | undefined)[];
}

export interface ListenerClaims {
  readonly inputs: ListenerInputs;
  /** By position of the VirtualService. */
  readonly nodes: readonly Part[];
  /** Services that VirtualServices take. */
  readonly taken: ReadonlySet<string>;
  /** By position of the service in the group. */
  readonly services: readonly Part[];
  /** Of all, in order of precedence. */
  readonly parts: readonly Part[];
  readonly claimed: readonly Claimed[];
}

/** VirtualServices or services claimed in one step. */
const STRIDE = 64;

const NOTHING: Part = { claimed: [], taken: [], reads: [] };

export function* claimsOfListener(inputs: ListenerInputs, previous: ListenerClaims | undefined): Steps<ListenerClaims> {
  const before = previous !== undefined && areKin(inputs, previous.inputs) ? previous : undefined;
  const renamed = before === undefined ? NO_HOSTS : renamedHosts(inputs, before.inputs);
  const nodes = yield* nodeParts(inputs, renamed, before);
  const taken = takenBy(nodes, before);
  const services = yield* serviceParts(inputs, taken, renamed, before);
  const parts = nodes === before?.nodes && services === before.services ? before.parts : nodes.concat(services);
  return { inputs, nodes, taken, services, parts, claimed: claimedBy(parts, before) };
}

function* nodeParts(
  inputs: ListenerInputs,
  renamed: ReadonlySet<string>,
  before: ListenerClaims | undefined,
): Steps<readonly Part[]> {
  const { virtualServices } = inputs;
  const moved = before === undefined ? NO_HOSTS : movedHosts(inputs, before.inputs);
  const elsewhere = before !== undefined && !sameSource(inputs, before.inputs);
  const parts: Part[] = [];
  const known = carriedOver<VirtualService, Part | undefined>(
    before?.inputs.virtualServices ?? NO_NODES,
    before?.nodes ?? NO_PARTS,
    virtualServices,
    (_node, part) => part,
  );
  for (const node of virtualServices) {
    const part = known[parts.length];
    const other = (elsewhere && looksAtSource(node)) || looksAt(node, renamed);
    const stands = part !== undefined && !hasWildcard(node) && !other && !looksAt(node, moved);
    const standing = stands ? part : other ? undefined : standingPart(inputs, node, part);
    parts.push(standing ?? keptClaims(part, virtualServicePart(inputs, node)));
    if (parts.length % STRIDE === 0) yield;
  }
  return keepList(before?.nodes, parts);
}

/** Hosts that are other services now than before, in the list or in the whole scope. */
function movedHosts(now: ListenerInputs, before: ListenerInputs): ReadonlySet<string> {
  if (now.group === before.group && now.services === before.services) return NO_HOSTS;
  const hosts = new Set<string>();
  const { gone, come } = differenceOf(before.group.services, now.group.services);
  for (const { service } of gone) hosts.add(service.hostname);
  for (const { service } of come) hosts.add(service.hostname);
  for (const [host] of tableDiff(before.services, now.services)) hosts.add(host);
  return hosts;
}

const NO_HOSTS: ReadonlySet<string> = new Set();

/** The VirtualService asks for one of the hosts, see `readsOf`. */
function looksAt(node: VirtualService, hosts: ReadonlySet<string>): boolean {
  if (hosts.size === 0) return false;
  for (const host of readHosts(node)) if (hosts.has(host)) return true;
  return false;
}

const readHosts = memo((node: VirtualService): readonly string[] => [
  ...new Set([...node.hosts.map((host) => host.toLowerCase()), ...destinationsOf(node).map(({ host = '' }) => host)]),
]);

const NO_NODES: readonly VirtualService[] = [];
const NO_PARTS: readonly Part[] = [];

/** Of what was made anew, the claims that came out the same are those of before. */
function keptClaims(before: Part | undefined, part: Part): Part {
  if (before === undefined) return part;
  const claimed = part.claimed.map((each, index) => {
    const old = before.claimed[index];
    return old?.claim === each.claim && old.list === each.list ? old : each;
  });
  return { ...part, claimed };
}

/** The set of before where the VirtualServices take what they took. */
function takenBy(nodes: readonly Part[], before: ListenerClaims | undefined): ReadonlySet<string> {
  const same = (part: Part, index: number): boolean => {
    const old = before?.nodes[index];
    return old !== undefined && (old === part || sameList(old.taken, part.taken));
  };
  if (before !== undefined && before.nodes.length === nodes.length && nodes.every(same)) return before.taken;
  return new Set(nodes.flatMap((part) => part.taken));
}

function* serviceParts(
  inputs: ListenerInputs,
  taken: ReadonlySet<string>,
  renamed: ReadonlySet<string>,
  before: ListenerClaims | undefined,
): Steps<readonly Part[]> {
  const { group } = inputs;
  const part = (scoped: ScopedService): Part =>
    taken.has(scoped.service.hostname) ? NOTHING : servicePart(inputs, scoped);
  if (before?.taken === taken) {
    const { services } = before.inputs.group;
    const parts = carriedOver(services, before.services, group.services, (scoped, known) => known ?? part(scoped));
    if (renamed.size === 0) return parts;
    return parts.map((known, at) => {
      const scoped = group.services[at] as ScopedService;
      return renamed.has(scoped.service.hostname) ? keptClaims(known, part(scoped)) : known;
    });
  }
  const parts: Part[] = [];
  const known = new Map(before?.inputs.group.services.map((scoped, index) => [scoped, before.services[index]]));
  for (const scoped of group.services) {
    const { hostname } = scoped.service;
    const old = before?.taken.has(hostname) === true || renamed.has(hostname) ? undefined : known.get(scoped);
    parts.push(old === undefined || taken.has(hostname) ? part(scoped) : old);
    if (parts.length % STRIDE === 0) yield;
  }
  return parts;
}

/** One part after the other: those of before that stand at the start and the end are not opened. */
function claimedBy(parts: readonly Part[], before: ListenerClaims | undefined): readonly Claimed[] {
  if (before === undefined) return parts.flatMap((part) => part.claimed);
  const { parts: old } = before;
  const common = commonEnds(old, parts);
  let from = 0;
  for (let at = 0; at < common.start; at++) from += (old[at] as Part).claimed.length;
  let to = before.claimed.length;
  for (let at = old.length - common.end; at < old.length; at++) to -= (old[at] as Part).claimed.length;
  if (common.start === parts.length && common.start === old.length) return before.claimed;
  const claimed = before.claimed.slice(0, from);
  for (const part of middleOf(parts, common)) for (const each of part.claimed) claimed.push(each);
  append(claimed, before.claimed, to, before.claimed.length);
  return keepList(before.claimed, claimed);
}

/** The part of before, if all that it was made from is still the same. */
function standingPart(inputs: ListenerInputs, node: VirtualService, part: Part | undefined): Part | undefined {
  // Which wildcard is the most specific depends on all VirtualServices.
  if (part === undefined || hasWildcard(node)) return undefined;
  return sameList(part.reads, readsOf(inputs, node)) ? part : undefined;
}

/** Services of the hosts; services of the destinations, as the listener and as the whole scope has them. */
function readsOf({ group, services }: ListenerInputs, node: VirtualService): readonly (ScopedService | undefined)[] {
  const reads = node.hosts.map((host) => group.byHost.get(host.toLowerCase()));
  for (const { host = '' } of destinationsOf(node)) reads.push(group.byHost.get(host), tableGet(services, host));
  return reads;
}

function servicePart({ group, addressing, defaults }: ListenerInputs, scoped: ScopedService): Part {
  const { service } = scoped;
  // An Alias has no cluster: its name is among the domains of the service that it stands for.
  if (service.resolution === 'Alias') return NOTHING;
  const ports = httpPorts(service, group);
  if (ports.length === 0) return NOTHING;
  const claimed = ports.map(({ number }) => ({
    claim: serviceClaim(service, number, group.port === 0, addressing),
    list: serviceRoutes(scoped, number, defaults),
  }));
  return { claimed, taken: [], reads: [] };
}

function virtualServicePart(inputs: ListenerInputs, node: VirtualService): Part {
  const { group, defaults, proxyClass } = inputs;
  const { services, others } = coveredBy(inputs, node);
  const reads = readsOf(inputs, node);
  if (isForeign(inputs, node, services)) return nothingOf(reads);
  const byPort = servedOn(group, services);
  if (byPort.size === 0) return nothingOf(reads);
  const { namespace, labels } = proxyClass;
  const audience = { gateway: MESH_GATEWAY, port: group.port, namespace, labels };
  const list = virtualServiceRoutes(node, audience, false, defaults, (to) => targetOf(inputs, to));
  if (list.routes.length === 0) return nothingOf(reads);
  const claimed: Claimed[] = [];
  const taken = new Set<string>();
  byPort.forEach((scoped, port) => {
    for (const host of others) claimed.push({ claim: claimOfHost(node, host, port), list });
    addClaims(claimed, taken, scoped, port, list, inputs);
  });
  return { claimed, taken: [...taken], reads };
}

function nothingOf(reads: Part['reads']): Part {
  return { claimed: NOTHING.claimed, taken: NOTHING.taken, reads };
}

function addClaims(
  claimed: Claimed[],
  taken: Set<string>,
  services: readonly ScopedService[],
  port: number,
  list: RouteList,
  { group, addressing }: ListenerInputs,
): void {
  for (const { service } of services) {
    claimed.push({ claim: serviceClaim(service, port, group.port === 0, addressing), list });
    taken.add(service.hostname);
  }
}

const claimOfHost = memo((_node: VirtualService, host: string, port: number): DomainClaim => hostClaim(host, port));

/** Routes of the Gateway API hold for clients in their own namespace, or for services there. */
function isForeign({ proxyClass }: ListenerInputs, node: VirtualService, services: readonly ScopedService[]): boolean {
  if (semanticsOf(node) !== 'gateway') return false;
  const own = proxyClass.namespace === node.namespace;
  return !services.some(({ service }) => own || service.namespace === node.namespace);
}

/** The port that a destination means: the one it names, else the service's only one, else that of the listener. */
function targetOf({ group, services, defaults }: ListenerInputs, destination: Destination): Target {
  const host = destination.host ?? '';
  if (host === '') return { cluster: 'UnknownService', hash: undefined, session: undefined };
  const service = group.byHost.get(host)?.service;
  const only = service?.ports.length === 1 ? service.ports[0]?.number : undefined;
  // On a listener of one port, a service counts with that port only.
  const port = destination.port?.number ?? (group.port === 0 ? (only ?? 0) : group.port);
  const cluster = outboundClusterName(port, destination.subset ?? '', service?.externalName ?? host);
  const scoped = tableGet(services, host);
  const session = defaults.sessions ? scoped?.service.persistentSession : undefined;
  return { cluster, hash: destinationHash(scoped?.rule, destination), session };
}
