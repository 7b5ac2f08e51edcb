// Routes of gateways (RDS): one RouteConfiguration for each plaintext port and each server that terminates HTTPS.
// In: the scope of a router with its merged Gateways, the drafts made before. Out: drafts, one for each route name.
// Called by ../index.ts. VirtualServices are rendered by ../routes, once for all gateways that agree on the inputs.

import type { Destination } from '../../config/generated/types.ts';
import type { MeshConfig } from '../../config/mesh.ts';
import type { Finding } from '../../config/object.ts';
import { type Draft, originOf } from '../../ir/draft.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { GatewayServer, MergedGateway, VirtualService } from '../../ir/traffic.ts';
import { compareSpecificity } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import { keepList, sameList, tableGet } from '../../lib/table.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { proxyHeaders } from '../http/headers.ts';
import { DOMAIN_SEPARATOR, domainName } from '../routes/domains.ts';
import { destinationHash } from '../routes/hash-policy.ts';
import { routeConfiguration, type VirtualHost, virtualHost } from '../routes/route-config.ts';
import type { Target } from '../routes/settings.ts';
import { type EncodedRoute, type RouteList, virtualServiceRoutes } from '../routes/virtual-service.ts';
import { sharedHosts } from './hosts.ts';

/** The drafts by name; `previous` are those that the class had, kept where nothing in them changed. */
export function gatewayRoutes(scope: Scope, previous: readonly Draft[] = []): readonly Draft[] {
  const { gateway } = scope;
  if (gateway === undefined) return [];
  const before = new Map(previous.map((draft) => [draft.name, draft]));
  const names = [...gateway.routes.keys()].sort(compareStrings);
  return keepList(
    previous,
    names.map((name) => {
      const servers = gateway.routes.get(name) ?? [];
      const hosts = servers.length > FEW ? virtualHostsOf(scope, servers) : keptHosts(scope, servers);
      return routeConfiguration(name, hosts, [], before.get(name));
    }),
  );
}

/** Servers of one route name up to which a look at each of their lists is less work than merging them again. */
const FEW = 4;

/** Most route names are of one server with HTTPS, and most of those have nothing to do with what changed. */
function keptHosts(scope: Scope, servers: readonly GatewayServer[]): readonly VirtualHost[] {
  const { proxyClass, mesh, services } = scope;
  return mergedHosts(servers, proxyClass, mesh, services, ...servers.map((server) => boundTo(scope, server)));
}

const mergedHosts = memo(
  (
    servers: readonly GatewayServer[],
    proxyClass: ProxyClass,
    mesh: MeshConfig,
    services: Scope['services'],
    ...nodes: readonly (readonly VirtualService[])[]
  ): readonly VirtualHost[] => {
    const virtualServices = new Map(servers.map((server, index) => [server.gatewayName, nodes[index] ?? NONE]));
    return virtualHostsOf({ proxyClass, mesh, services, gateway: { virtualServices } }, servers);
  },
);

/** What of a scope the routes of one route name are made from. */
interface RouteScope extends Pick<Scope, 'proxyClass' | 'mesh' | 'services'> {
  readonly gateway?: Pick<MergedGateway, 'virtualServices'> | undefined;
}

const NONE: readonly VirtualService[] = [];

/** The VirtualServices that name the server's Gateway. */
function boundTo({ gateway }: RouteScope, { gatewayName }: GatewayServer): readonly VirtualService[] {
  return gateway?.virtualServices.get(gatewayName) ?? NONE;
}

/** Rules of VirtualServices that the gateway's routes had to leave out. */
export function gatewayRouteFindings(scope: Scope): readonly Finding[] {
  const findings = new Set<Finding>();
  for (const servers of scope.gateway?.routes.values() ?? []) {
    for (const { lists } of hostEntries(scope, servers)) {
      for (const list of lists) for (const finding of list.findings) findings.add(finding);
    }
  }
  return [...findings];
}

/** One host of a route name: what is bound to it, oldest first. */
interface HostEntry {
  readonly host: string;
  readonly name: string;
  /** The server that brought it. */
  readonly server: GatewayServer;
  readonly lists: RouteList[];
  requireTls: boolean;
}

function virtualHostsOf(scope: RouteScope, servers: readonly GatewayServer[]): readonly VirtualHost[] {
  const { attemptCount } = proxyHeaders(scope.proxyClass);
  const entries = hostEntries(scope, servers);
  const [first] = servers;
  if (entries.length === 0 && first !== undefined) {
    // No routes: every request gets 404.
    return [virtualHost(serverRoutes(first), domainName('blackhole', first.port), '*', false, false)];
  }
  const hosts = collapsed(entries).map(({ entry, domains }) =>
    virtualHost(
      joinedRoutes(serverRoutes(entry.server), ...entry.lists),
      entry.name,
      domains.join(DOMAIN_SEPARATOR),
      attemptCount,
      entry.requireTls,
      entry.server.quic === true ? entry.server.port : undefined,
    ),
  );
  return hosts.sort((a, b) => compareStrings(a.name, b.name));
}

function hostEntries(scope: RouteScope, servers: readonly GatewayServer[]): readonly HostEntry[] {
  const entries = new Map<string, HostEntry>();
  // A VirtualService has the same routes for all servers of one Gateway under one route name.
  const rendered = new Map<string, RouteList>();
  const entryFor = (host: string, server: GatewayServer): HostEntry => {
    const known = entries.get(host);
    if (known !== undefined) return known;
    const entry = { host, name: domainName(host, server.port), server, lists: [], requireTls: false };
    entries.set(host, entry);
    return entry;
  };
  for (const server of servers) {
    const redirects = server.server.tls?.httpsRedirect === true;
    const { proxyClass, mesh, services } = scope;
    for (const node of boundTo(scope, server)) {
      const bound = boundRoutes(node, server, proxyClass, mesh, services);
      if (bound === undefined) continue;
      const { hosts } = bound;
      const list = rendered.get(bound.key) ?? bound.list;
      if (list.routes.length > 0) rendered.set(bound.key, list);
      for (const host of hosts) {
        if (list.routes.length === 0 && list.findings.length === 0) continue;
        const entry = entryFor(host, server);
        entry.lists.push(list);
        if (redirects) entry.requireTls = true;
      }
    }
    // Hosts of a redirecting server redirect even when no VirtualService is bound to them.
    if (redirects) for (const { host } of server.hosts) entryFor(host.toLowerCase(), server).requireTls = true;
  }
  return [...entries.values()];
}

/** A VirtualService on a server: the hosts that both have, and its routes there. */
interface BoundRoutes {
  /** Of the VirtualService and the Gateway. */
  readonly key: string;
  readonly hosts: readonly string[];
  readonly list: RouteList;
}

/** Undefined where they have no host in common. Counted by tests: a change leaves all other VirtualServices alone. */
export const boundRoutes = memo(
  (
    node: VirtualService,
    server: GatewayServer,
    proxyClass: ProxyClass,
    mesh: MeshConfig,
    services: Scope['services'],
  ): BoundRoutes | undefined => {
    const hosts = sharedHosts(server, node);
    if (hosts.length === 0) return undefined;
    const key = `${server.gatewayName} ${node.namespace}/${node.name}`;
    return { key, hosts, list: routesFor({ proxyClass, mesh, services }, server, node) };
  },
);

function routesFor(scope: RouteScope, server: GatewayServer, node: VirtualService): RouteList {
  const { proxyClass, mesh } = scope;
  const { namespace, labels, dialect } = proxyClass;
  const audience = { gateway: server.gatewayName, port: server.port, namespace, labels };
  const { forwardedHost } = proxyHeaders(proxyClass);
  const sessions = mesh.features?.persistentSessions === true;
  const defaults = { retries: mesh.defaultHttpRetryPolicy, forwardedHost, dialect, sessions };
  return virtualServiceRoutes(node, audience, server.server.tls !== undefined, defaults, (to) =>
    targetOf(scope, server.port, to),
  );
}

/** The port that a destination means: the one it names, else the service's only one, else that of the server. */
function targetOf({ services, mesh }: RouteScope, serverPort: number, destination: Destination): Target {
  const host = destination.host ?? '';
  if (host === '') return { cluster: 'UnknownService', hash: undefined, session: undefined };
  const scoped = tableGet(services, host);
  const ports = scoped?.service.ports ?? [];
  const port = destination.port?.number ?? (ports.length === 1 ? ports[0]?.number : undefined) ?? serverPort;
  const cluster = outboundClusterName(port, destination.subset ?? '', scoped?.service.externalName ?? host);
  const session = mesh.features?.persistentSessions === true ? scoped?.service.persistentSession : undefined;
  return { cluster, hash: destinationHash(scoped?.rule, destination), session };
}

/** No routes of its own: the server as an origin of what is bound to it. */
const serverRoutes = memo(
  (server: GatewayServer): RouteList => ({
    routes: [],
    origins: [originOf(server.gateway, `spec.servers[${server.index}]`)],
    findings: [],
  }),
);

/** All routes, oldest VirtualService first; those that take everything come last, or they would hide the others. */
const joinedRoutes = memo((server: RouteList, ...lists: readonly RouteList[]): RouteList => {
  const routes: EncodedRoute[] = [];
  const catchAlls: EncodedRoute[] = [];
  const origins = [...server.origins];
  const findings: Finding[] = [];
  for (const list of lists) {
    for (const route of list.routes) (route.catchAll ? catchAlls : routes).push(route);
    for (const origin of list.origins) origins.push(origin);
    for (const finding of list.findings) findings.push(finding);
  }
  for (const route of catchAlls) routes.push(route);
  return { routes, origins, findings };
});

/** Hosts of several Gateways stay apart: EnvoyFilters know virtual hosts by their names. */
function isAlike(a: HostEntry, b: HostEntry): boolean {
  const together = a.lists.length === 0 || a.server.gatewayName === b.server.gatewayName;
  return together && a.requireTls === b.requireTls && sameList(a.lists, b.lists);
}

/** Hosts with the very same routes become one virtual host: routes are large, domains are small. */
function collapsed(
  entries: readonly HostEntry[],
): readonly { readonly entry: HostEntry; readonly domains: string[] }[] {
  const groups: { readonly entry: HostEntry; readonly domains: string[] }[] = [];
  const byFirst = new Map<RouteList | undefined, typeof groups>();
  for (const entry of [...entries].sort((a, b) => compareSpecificity(a.host, b.host))) {
    const alike = byFirst.get(entry.lists[0]) ?? [];
    byFirst.set(entry.lists[0], alike);
    const group = alike.find((each) => isAlike(each.entry, entry));
    if (group !== undefined) group.domains.push(entry.host);
    else {
      const made = { entry, domains: [entry.host] };
      groups.push(made);
      alike.push(made);
    }
  }
  return groups;
}
