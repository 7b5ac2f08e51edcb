// Who answers for what on one listener: VirtualServices first, in order, then the services that none of them takes.
// In: a port group, the VirtualServices of the listener. Out: claims on domains with their routes, in precedence.
// What a VirtualService or a service claimed before is taken over where everything that it looked at is still the same.

import type { Destination } from '../../config/generated/types.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { MESH_GATEWAY, type ScopedService, type VirtualService } from '../../ir/traffic.ts';
import { hostMatches, isWildcard } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import type { Steps } from '../../lib/steps.ts';
import { sameList, tableGet } from '../../lib/table.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { type Addressing, type DomainClaim, hostClaim, serviceClaim } from './domains.ts';
import { destinationHash } from './hash-policy.ts';
import { httpPorts, mostSpecific, type PortGroup } from './listener-services.ts';
import { serviceRoutes } from './service.ts';
import { semanticsOf, type Target } from './settings.ts';
import { destinationsOf, type RouteDefaults, type RouteList, virtualServiceRoutes } from './virtual-service.ts';

export interface ListenerInputs {
  readonly group: PortGroup;
  readonly virtualServices: readonly VirtualService[];
  readonly proxyClass: ProxyClass;
  readonly addressing: Addressing;
  readonly defaults: RouteDefaults;
  /** For the rules of destinations, which may be outside of the listener. */
  readonly services: Scope['services'];
}

/** What one VirtualService or service claims: claims, and at the same positions their routes. */
interface Part {
  readonly claims: readonly DomainClaim[];
  readonly routes: readonly RouteList[];
  /** Services that it takes. */
  readonly taken: readonly string[];
  /** Everything that a VirtualService looked up, in order: the part stands as long as the answers are the same. */
  readonly reads: readonly (ScopedService | undefined)[];
}

export interface ListenerClaims {
  readonly inputs: ListenerInputs;
  readonly nodes: ReadonlyMap<VirtualService, Part>;
  readonly services: ReadonlyMap<ScopedService, Part>;
  readonly claims: readonly DomainClaim[];
  readonly routes: readonly RouteList[];
}

/** VirtualServices or services claimed in one step. */
const STRIDE = 64;

const NOTHING: Part = { claims: [], routes: [], taken: [], reads: [] };

export function* claimsOfListener(inputs: ListenerInputs, previous: ListenerClaims | undefined): Steps<ListenerClaims> {
  const before = previous !== undefined && sameClient(inputs, previous.inputs) ? previous : undefined;
  const claims: DomainClaim[] = [];
  const routes: RouteList[] = [];
  const taken = new Set<string>();
  const add = (part: Part): void => {
    for (const claim of part.claims) claims.push(claim);
    for (const list of part.routes) routes.push(list);
  };
  const nodes = new Map<VirtualService, Part>();
  for (const node of inputs.virtualServices) {
    const part = standingPart(inputs, node, before) ?? virtualServicePart(inputs, node);
    nodes.set(node, part);
    add(part);
    for (const host of part.taken) taken.add(host);
    if (nodes.size % STRIDE === 0) yield;
  }
  const services = new Map<ScopedService, Part>();
  for (const scoped of inputs.group.services) {
    if (taken.has(scoped.service.hostname)) continue;
    const part = before?.services.get(scoped) ?? servicePart(inputs, scoped);
    services.set(scoped, part);
    add(part);
    if (services.size % STRIDE === 0) yield;
  }
  return { inputs, nodes, services, claims, routes };
}

function sameClient(a: ListenerInputs, b: ListenerInputs): boolean {
  return a.group.port === b.group.port && a.proxyClass === b.proxyClass && a.defaults.retries === b.defaults.retries;
}

/** The part of before, if all that it was made from is still the same. */
function standingPart(
  inputs: ListenerInputs,
  node: VirtualService,
  before: ListenerClaims | undefined,
): Part | undefined {
  const part = before?.nodes.get(node);
  // Which wildcard is the most specific depends on all VirtualServices.
  if (before === undefined || part === undefined || hasWildcard(node)) return undefined;
  if (before.inputs.group === inputs.group && before.inputs.services === inputs.services) return part;
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
  return {
    claims: ports.map((port) => serviceClaim(service, port.number, group.port === 0, addressing)),
    routes: ports.map((port) => serviceRoutes(scoped, port.number, defaults)),
    taken: [],
    reads: [],
  };
}

function virtualServicePart(inputs: ListenerInputs, node: VirtualService): Part {
  const { group, addressing, defaults, proxyClass } = inputs;
  const { services, others } = coveredBy(inputs, node);
  const reads = readsOf(inputs, node);
  const none: Part = { ...NOTHING, reads };
  if (isForeign(inputs, node, services)) return none;
  const byPort = new Map<number, ScopedService[]>();
  const taken = new Set<string>();
  for (const scoped of services) {
    for (const { number } of httpPorts(scoped.service, group)) {
      const known = byPort.get(number);
      if (known === undefined) byPort.set(number, [scoped]);
      else known.push(scoped);
      taken.add(scoped.service.hostname);
    }
  }
  // Hosts outside of the registry are served on port 80 alone unless services give the VirtualService more ports.
  if (byPort.size === 0 && group.port === 80) byPort.set(80, []);
  if (byPort.size === 0) return none;
  const audience = {
    gateway: MESH_GATEWAY,
    port: group.port,
    namespace: proxyClass.namespace,
    labels: proxyClass.labels,
  };
  const list = virtualServiceRoutes(node, audience, false, defaults, (to) => targetOf(inputs, to));
  if (list.routes.length === 0) return none;
  const claims: DomainClaim[] = [];
  for (const [port, scoped] of byPort) {
    for (const host of others) claims.push(claimOfHost(node, host, port));
    for (const { service } of scoped) claims.push(serviceClaim(service, port, group.port === 0, addressing));
  }
  return { claims, routes: claims.map(() => list), taken: [...taken], reads };
}

const claimOfHost = memo((_node: VirtualService, host: string, port: number): DomainClaim => hostClaim(host, port));

const hasWildcard = memo((node: VirtualService): boolean => node.hosts.some(isWildcard));

/** Routes of the Gateway API hold for clients in their own namespace, or for services there. */
function isForeign({ proxyClass }: ListenerInputs, node: VirtualService, services: readonly ScopedService[]): boolean {
  if (semanticsOf(node) !== 'gateway') return false;
  const own = proxyClass.namespace === node.namespace;
  return !services.some(({ service }) => own || service.namespace === node.namespace);
}

interface Coverage {
  readonly services: readonly ScopedService[];
  /** Hosts that are no service, in lower case. */
  readonly others: readonly string[];
}

function coveredBy({ group, virtualServices }: ListenerInputs, node: VirtualService): Coverage {
  const services = new Set<ScopedService>();
  const others: string[] = [];
  const gatewayApi = semanticsOf(node) === 'gateway';
  const hosts = node.hosts.map((host) => host.toLowerCase());
  for (const host of hosts) {
    if (isWildcard(host)) continue;
    const scoped = group.byHost.get(host);
    if (scoped === undefined) others.push(host);
    else services.add(scoped);
  }
  for (const pattern of hosts) {
    if (!isWildcard(pattern)) continue;
    const covered = gatewayApi ? [] : group.services.filter(({ service }) => hostMatches(pattern, service.hostname));
    if (covered.length === 0) others.push(pattern);
    for (const scoped of covered) {
      if (mostSpecific(virtualServices).lookup(scoped.service.hostname) === node) services.add(scoped);
    }
  }
  return { services: [...services], others };
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
