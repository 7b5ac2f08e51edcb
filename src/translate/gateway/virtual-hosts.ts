// The virtual hosts of one route name of a gateway: hosts of all its Gateways together, those with the very same routes as one.
// In: the servers of the route name, the VirtualServices of each Gateway, what was made before. Out: virtual hosts in order of
// name. Called by routes.ts. Hosts whose Gateways bind what they bound stay as they are, and so do their virtual hosts.

import type { ProxyClass } from '../../ir/proxy.ts';
import type { Finding } from '../../config/object.ts';
import type { GatewayServer, MergedGateway, VirtualService } from '../../ir/traffic.ts';
import { compareSpecificity } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { compareNumbers, compareStrings } from '../../lib/order.ts';
import { replacedByName } from '../../lib/positions.ts';
import { keepList, sameList, type Table, tableFrom, tableGet, tableWith } from '../../lib/table.ts';
import { proxyHeaders } from '../http/headers.ts';
import type { VirtualHost } from '../routes/route-config.ts';
import type { RouteList } from '../routes/virtual-service.ts';
import type { RouteScope } from './bound.ts';
import { type GatewayHosts, gatewayHosts, type HostEntry } from './gateway-hosts.ts';
import { nobody, rendered } from './rendered-host.ts';

export interface RouteNameHosts {
  readonly servers: readonly GatewayServer[];
  /** One for each Gateway, in the order of the servers. */
  readonly gateways: readonly GatewayHosts[];
  /** Where hosts are so few that they are put together anew with each change: undefined. */
  readonly merged: Merged | undefined;
  /** Ordered by name. */
  readonly hosts: readonly VirtualHost[];
}

/** The hosts of all Gateways, for the next change to find its own among them. */
interface Merged {
  /** By host. */
  readonly entries: Table<MergedEntry>;
  /** Entries by the first of their lists, which hosts with the same routes have in common. */
  readonly alike: ReadonlyMap<RouteList | undefined, Alike>;
}

/** A host, and by position the Gateways that have it. */
interface MergedEntry extends HostEntry {
  readonly from: readonly number[];
}

interface Alike {
  readonly entries: readonly MergedEntry[];
  readonly hosts: readonly VirtualHost[];
}

/** What a route name was made from before: `moved` are hosts of services that are others since. */
export interface Before {
  readonly hosts: RouteNameHosts;
  readonly moved: ReadonlySet<string>;
}

export function routeNameHosts(
  scope: RouteScope,
  servers: readonly GatewayServer[],
  bound: MergedGateway['virtualServices'],
  before: Before | undefined,
): RouteNameHosts {
  const old = before?.hosts.servers === servers ? before.hosts : undefined;
  const moved = before?.moved ?? NO_HOSTS;
  const parts = byGateway(servers).map(({ name, own }, position) =>
    gatewayPart(scope, own, bound.get(name) ?? NONE, old?.gateways[position], moved),
  );
  const gateways = keepList(old?.gateways, parts);
  if (old?.gateways === gateways) return old;
  if (old?.merged === undefined) return fromNothing(scope, servers, gateways, old);
  const changes = changedEntries(gateways, old, old.merged);
  if (changes.size === 0) return { ...old, gateways };
  const alike = changedAlike(scope.proxyClass, changes, old.merged);
  return {
    servers,
    gateways,
    merged: { entries: tableWith(old.merged.entries, changes), alike: withChanges(old.merged.alike, alike) },
    hosts: nextHosts(servers, alike, old.hosts, old.merged),
  };
}

function fromNothing(
  scope: RouteScope,
  servers: readonly GatewayServer[],
  gateways: readonly GatewayHosts[],
  old: RouteNameHosts | undefined,
): RouteNameHosts {
  const entries = allEntries(gateways);
  const alike = allAlike(scope.proxyClass, entries);
  const hosts = keepList(old?.hosts, allHosts(servers, alike));
  const merged = entries.size < FEW ? undefined : { entries: tableFrom(entries), alike };
  return { servers, gateways, merged, hosts };
}

/** Most route names are of one server, and it has a few hosts. */
const FEW = 16;

const NO_HOSTS: ReadonlySet<string> = new Set();
const NONE: readonly VirtualService[] = [];

/** The part of before, when nothing of it is another. */
function gatewayPart(
  scope: RouteScope,
  servers: readonly GatewayServer[],
  nodes: readonly VirtualService[],
  before: GatewayHosts | undefined,
  moved: ReadonlySet<string>,
): GatewayHosts {
  if (before?.nodes === nodes && moved.size === 0) return before;
  const next = gatewayHosts(scope, servers, nodes, before, moved);
  return before?.nodes === nodes && before.hosts === next.hosts && before.bindings === next.bindings ? before : next;
}

interface ServersOfGateway {
  readonly name: string;
  readonly own: readonly GatewayServer[];
}

function byGateway(servers: readonly GatewayServer[]): readonly ServersOfGateway[] {
  const [first] = servers;
  return servers.length === 1 && first !== undefined
    ? [{ name: first.gatewayName, own: servers }]
    : groupedByGateway(servers);
}

/** Servers of one Gateway stand together: Gateways are merged one after the other. */
const groupedByGateway = memo((servers: readonly GatewayServer[]): readonly ServersOfGateway[] => {
  const groups = new Map<string, GatewayServer[]>();
  for (const server of servers) {
    const group = groups.get(server.gatewayName);
    if (group === undefined) groups.set(server.gatewayName, [server]);
    else group.push(server);
  }
  return [...groups].map(([name, own]) => ({ name, own }));
});

function allEntries(gateways: readonly GatewayHosts[]): ReadonlyMap<string, MergedEntry> {
  const entries = new Map<string, MergedEntry>();
  gateways.forEach(({ hosts }, position) => {
    const from = [position];
    hosts.forEach((entry, host) => {
      const known = entries.get(host);
      entries.set(host, known === undefined ? entryFrom(from, entry) : joined(known, entry, position));
    });
  });
  return entries;
}

function entryFrom(from: readonly number[], { host, name, server, lists, requireTls }: HostEntry): MergedEntry {
  return { from, host, name, server, lists, requireTls };
}

function joined(first: MergedEntry, next: HostEntry, position: number): MergedEntry {
  const { host, name, server } = first;
  const lists = [...first.lists, ...next.lists];
  const requireTls = first.requireTls || next.requireTls;
  return { from: [...first.from, position], host, name, server, lists, requireTls };
}

/** The hosts that a Gateway has otherwise now, undefined for those that nobody has any more. */
function changedEntries(
  gateways: readonly GatewayHosts[],
  old: RouteNameHosts,
  { entries }: Merged,
): ReadonlyMap<string, MergedEntry | undefined> {
  const positions = new Map<string, Set<number>>();
  gateways.forEach(({ hosts }, position) => {
    const before = old.gateways[position]?.hosts ?? hosts;
    if (before === hosts) return;
    const touch = (host: string): void => {
      const from = positions.get(host) ?? new Set(tableGet(entries, host)?.from);
      positions.set(host, from);
      if (hosts.has(host)) from.add(position);
      else from.delete(position);
    };
    for (const [host, entry] of hosts) if (before.get(host) !== entry) touch(host);
    for (const host of before.keys()) if (!hosts.has(host)) touch(host);
  });
  return new Map([...positions].map(([host, from]) => [host, mergedEntry(gateways, host, from)]));
}

function mergedEntry(
  gateways: readonly GatewayHosts[],
  host: string,
  from: ReadonlySet<number>,
): MergedEntry | undefined {
  let merged: MergedEntry | undefined;
  for (const position of [...from].sort(compareNumbers)) {
    const entry = gateways[position]?.hosts.get(host);
    if (entry === undefined) continue;
    merged = merged === undefined ? entryFrom([position], entry) : joined(merged, entry, position);
  }
  return merged;
}

function allAlike(
  proxyClass: ProxyClass,
  entries: ReadonlyMap<string, MergedEntry>,
): ReadonlyMap<RouteList | undefined, Alike> {
  const lists = new Map<RouteList | undefined, MergedEntry[]>();
  entries.forEach((entry) => {
    const list = lists.get(entry.lists[0]);
    if (list === undefined) lists.set(entry.lists[0], [entry]);
    else list.push(entry);
  });
  const alike = new Map<RouteList | undefined, Alike>();
  lists.forEach((list, first) => alike.set(first, alikeOf(proxyClass, list)));
  return alike;
}

/** What the changed hosts belong to now, and what they belonged to; undefined where nothing is left of it. */
function changedAlike(
  proxyClass: ProxyClass,
  changes: ReadonlyMap<string, MergedEntry | undefined>,
  old: Merged,
): ReadonlyMap<RouteList | undefined, Alike | undefined> {
  const lists = new Map<RouteList | undefined, Set<MergedEntry>>();
  const listOf = (first: RouteList | undefined): Set<MergedEntry> => {
    const list = lists.get(first) ?? new Set(old.alike.get(first)?.entries);
    lists.set(first, list);
    return list;
  };
  for (const [host, entry] of changes) {
    const before = tableGet(old.entries, host);
    if (before !== undefined) listOf(before.lists[0]).delete(before);
    if (entry !== undefined) listOf(entry.lists[0]).add(entry);
  }
  return new Map(
    [...lists].map(([first, list]) => [first, list.size === 0 ? undefined : alikeOf(proxyClass, [...list])]),
  );
}

function withChanges<K, V>(map: ReadonlyMap<K, V>, changes: ReadonlyMap<K, V | undefined>): ReadonlyMap<K, V> {
  const next = new Map(map);
  for (const [key, value] of changes) {
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  return next;
}

function alikeOf(proxyClass: ProxyClass, entries: readonly MergedEntry[]): Alike {
  const { attemptCount } = proxyHeaders(proxyClass);
  return { entries, hosts: collapsed(entries).map(({ entry, domains }) => rendered(entry, domains, attemptCount)) };
}

/** Hosts with the very same routes become one virtual host: routes are large, domains are small. */
function collapsed(
  entries: readonly HostEntry[],
): readonly { readonly entry: HostEntry; readonly domains: string[] }[] {
  const groups: { readonly entry: HostEntry; readonly domains: string[] }[] = [];
  const sorted = entries.length > 1 ? entries.toSorted((a, b) => compareSpecificity(a.host, b.host)) : entries;
  for (const entry of sorted) {
    const group = groups.find((each) => isAlike(each.entry, entry));
    if (group !== undefined) group.domains.push(entry.host);
    else groups.push({ entry, domains: [entry.host] });
  }
  return groups;
}

/** Hosts of several Gateways stay apart: EnvoyFilters know virtual hosts by their names. */
function isAlike(a: HostEntry, b: HostEntry): boolean {
  const together = a.lists.length === 0 || a.server.gatewayName === b.server.gatewayName;
  return together && a.requireTls === b.requireTls && sameList(a.lists, b.lists);
}

function allHosts(
  servers: readonly GatewayServer[],
  alike: ReadonlyMap<RouteList | undefined, Alike>,
): readonly VirtualHost[] {
  if (alike.size === 0) return nobody(servers);
  return [...alike.values()].flatMap((each) => each.hosts).sort((a, b) => compareStrings(a.name, b.name));
}

function nextHosts(
  servers: readonly GatewayServer[],
  changes: ReadonlyMap<RouteList | undefined, Alike | undefined>,
  old: readonly VirtualHost[],
  { alike }: Merged,
): readonly VirtualHost[] {
  const gone = [...changes.keys()].flatMap((list) => alike.get(list)?.hosts.map(nameOf) ?? []);
  const come = [...changes.values()].flatMap((each) => each?.hosts ?? []);
  const hosts = replacedByName(alike.size === 0 ? [] : old, nameOf, gone, come);
  return hosts.length === 0 ? nobody(servers) : hosts;
}

function nameOf({ name }: VirtualHost): string {
  return name;
}

/** Rules that had to be left out, of whatever is bound to a host. */
export function routeNameFindings({ gateways }: RouteNameHosts): readonly Finding[] {
  const entries = gateways.flatMap(({ hosts }) => [...hosts.values()]);
  return entries.flatMap(({ lists }) => lists.flatMap((list) => list.findings));
}
