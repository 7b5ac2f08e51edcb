// The hosts of one Gateway under one route name, each with the routes that are bound to it, oldest VirtualService first.
// In: the Gateway's servers of that name, the VirtualServices that name it, the hosts before. Out: hosts; those that a change
// has nothing to do with are the same objects. Called by virtual-hosts.ts.

import type { GatewayServer, VirtualService } from '../../ir/traffic.ts';
import { carriedOver, commonEnds, middleOf } from '../../lib/positions.ts';
import { keepList, sameList } from '../../lib/table.ts';
import { domainName } from '../routes/domains.ts';
import type { RouteList } from '../routes/virtual-service.ts';
import { type BoundRoutes, boundRoutes, leadsTo, type RouteScope } from './bound.ts';

/** One host of a route name. */
export interface HostEntry {
  readonly host: string;
  readonly name: string;
  /** The server that brought it. */
  readonly server: GatewayServer;
  /** What is bound to it, oldest first. */
  readonly lists: readonly RouteList[];
  readonly requireTls: boolean;
}

/** A VirtualService on each of the servers, as far as they have hosts in common. */
type Binding = readonly (BoundRoutes | undefined)[];

export interface GatewayHosts {
  readonly servers: readonly GatewayServer[];
  readonly nodes: readonly VirtualService[];
  /** By position of the VirtualService. */
  readonly bindings: readonly Binding[];
  readonly hosts: ReadonlyMap<string, HostEntry>;
}

/** `moved`: hosts of services that are others now than those that `before` was made with. */
export function gatewayHosts(
  scope: RouteScope,
  servers: readonly GatewayServer[],
  nodes: readonly VirtualService[],
  before: GatewayHosts | undefined,
  moved: ReadonlySet<string>,
): GatewayHosts {
  const old = before !== undefined && sameList(before.servers, servers) ? before : undefined;
  const bindings = bindingsOf(scope, servers, nodes, old, moved);
  if (old === undefined) return { servers, nodes, bindings, hosts: allHosts(servers, bindings) };
  const hosts = sameList(old.bindings, bindings) ? old.hosts : nextHosts(servers, bindings, old);
  return { servers, nodes, bindings, hosts };
}

function bindingsOf(
  scope: RouteScope,
  servers: readonly GatewayServer[],
  nodes: readonly VirtualService[],
  old: GatewayHosts | undefined,
  moved: ReadonlySet<string>,
): readonly Binding[] {
  const bind = (node: VirtualService): Binding => servers.map((server) => boundRoutes(scope, node, server));
  if (old === undefined) return nodes.map(bind);
  const known = carriedOver(old.nodes, old.bindings, nodes, (node, binding) => binding ?? bind(node));
  if (moved.size === 0) return known;
  const next = known.map((binding, index) => {
    const node = nodes[index] as VirtualService;
    return leadsTo(node, moved) ? keptBinding(binding, bind(node)) : binding;
  });
  return keepList(old.bindings, next);
}

function keptBinding(before: Binding, binding: Binding): Binding {
  const same = binding.every((each, index) => {
    const old = before[index];
    return old?.list === each?.list && sameList(old?.hosts ?? [], each?.hosts ?? []);
  });
  return same ? before : binding;
}

/** In the order in which servers and VirtualServices bring them. */
function allHosts(servers: readonly GatewayServer[], bindings: readonly Binding[]): ReadonlyMap<string, HostEntry> {
  const found = new Map<string, Found>();
  servers.forEach((server, position) => {
    const redirects = server.server.tls?.httpsRedirect === true;
    for (const binding of bindings) {
      const hosts = binding[position]?.hosts ?? NO_HOSTS;
      const list = hosts.length === 0 ? undefined : listOf(binding, position);
      if (list === undefined || isNothing(list)) continue;
      for (const host of hosts) note(found, server, host, list, redirects);
    }
    // Hosts of a redirecting server redirect even when no VirtualService is bound to them.
    if (redirects) for (const { host } of server.hosts) note(found, server, host.toLowerCase(), undefined, true);
  });
  return found;
}

const NO_HOSTS: readonly string[] = [];

/** A host while it is put together. */
interface Found extends HostEntry {
  readonly lists: RouteList[];
  requireTls: boolean;
}

function note(
  found: Map<string, Found>,
  server: GatewayServer,
  host: string,
  list: RouteList | undefined,
  requireTls: boolean,
): void {
  const known = found.get(host);
  if (known === undefined) {
    found.set(host, foundOn(server, host, list === undefined ? [] : [list], requireTls));
    return;
  }
  if (list !== undefined) known.lists.push(list);
  if (requireTls) known.requireTls = true;
}

function foundOn(server: GatewayServer, host: string, lists: RouteList[], requireTls: boolean): Found {
  return { host, name: domainName(host, server.port), server, lists, requireTls };
}

/** A VirtualService has the same routes for all servers of one Gateway under one route name: the first that has any. */
function listOf(binding: Binding, position: number): RouteList {
  for (let at = 0; at < position; at++) {
    const list = binding[at]?.list;
    if (list !== undefined && list.routes.length > 0) return list;
  }
  return (binding[position] as BoundRoutes).list;
}

function isNothing({ routes, findings }: RouteList): boolean {
  return routes.length === 0 && findings.length === 0;
}

/** Only the hosts of VirtualServices that are bound otherwise than before are looked at. */
function nextHosts(
  servers: readonly GatewayServer[],
  bindings: readonly Binding[],
  old: GatewayHosts,
): ReadonlyMap<string, HostEntry> {
  const common = commonEnds(old.bindings, bindings);
  const gone = middleOf(old.bindings, common);
  const come = middleOf(bindings, common);
  const hosts = new Map(old.hosts);
  if (servers.length === 1 && exchanged(hosts, gone, come)) return hosts;
  const touched = new Set<string>();
  for (const binding of [...gone, ...come])
    for (const bound of binding) for (const host of bound?.hosts ?? []) touched.add(host);
  for (const host of touched) {
    const entry = oneHost(host, servers, bindings);
    if (entry === undefined) hosts.delete(host);
    else hosts.set(host, entry);
  }
  return hosts;
}

/** One VirtualService with other routes for the same hosts: they take the place that its routes had. */
function exchanged(hosts: Map<string, HostEntry>, gone: readonly Binding[], come: readonly Binding[]): boolean {
  const before = gone[0]?.[0];
  const now = come[0]?.[0];
  if (gone.length !== 1 || come.length !== 1 || before === undefined || now === undefined) return false;
  if (!sameList(before.hosts, now.hosts) || isNothing(before.list) || isNothing(now.list)) return false;
  for (const host of now.hosts) {
    const { name, server, lists, requireTls } = hosts.get(host) as HostEntry;
    const others = lists.with(lists.indexOf(before.list), now.list);
    hosts.set(host, { host, name, server, lists: others, requireTls });
  }
  return true;
}

function oneHost(host: string, servers: readonly GatewayServer[], bindings: readonly Binding[]): HostEntry | undefined {
  const lists: RouteList[] = [];
  let first: GatewayServer | undefined;
  let requireTls = false;
  for (const [position, server] of servers.entries()) {
    const redirects = server.server.tls?.httpsRedirect === true;
    for (const binding of bindings) {
      if (binding[position]?.hosts.includes(host) !== true) continue;
      const list = listOf(binding, position);
      if (isNothing(list)) continue;
      lists.push(list);
      first ??= server;
      if (redirects) requireTls = true;
    }
    if (!redirects || !server.hosts.some((each) => each.host.toLowerCase() === host)) continue;
    first ??= server;
    requireTls = true;
  }
  return first === undefined ? undefined : foundOn(first, host, lists, requireTls);
}
