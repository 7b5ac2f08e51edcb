// A virtual host of a gateway: the hosts that have the very same routes, with those routes.
// In: hosts of one server, lists of routes. Out: a virtual host. Called by virtual-hosts.ts.

import { type Origin, originOf } from '../../ir/draft.ts';
import type { GatewayServer } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { DOMAIN_SEPARATOR, domainName } from '../routes/domains.ts';
import { longVirtualHost, type VirtualHost, virtualHost } from '../routes/route-config.ts';
import type { EncodedRoute, RouteList } from '../routes/virtual-service.ts';
import type { HostEntry } from './gateway-hosts.ts';

/** So many lists are put together without asking whether they were before. */
const MANY = 16;

export function rendered(
  { name, server, lists, requireTls }: HostEntry,
  hosts: readonly string[],
  attemptCount: boolean,
): VirtualHost {
  const domains = hosts.join(DOMAIN_SEPARATOR);
  const http3 = server.quic === true ? server.port : undefined;
  const owner = serverOrigin(server);
  return lists.length > MANY
    ? longVirtualHost(lists, name, domains, attemptCount, requireTls, http3, owner)
    : virtualHost(listOf(server, lists), name, domains, attemptCount, requireTls, http3, owner);
}

function listOf(server: GatewayServer, lists: readonly RouteList[]): RouteList {
  const [first, ...others] = lists;
  if (first === undefined) return noRoutes(server);
  return others.length === 0 ? first : joinedRoutes(first, ...others);
}

/** Nobody is bound to any host: every request gets 404. */
export function nobody([first]: readonly GatewayServer[]): readonly VirtualHost[] {
  if (first === undefined) return [];
  const name = domainName('blackhole', first.port);
  return [virtualHost(noRoutes(first), name, '*', false, false, undefined, serverOrigin(first))];
}

const serverOrigin = memo((server: GatewayServer): Origin => originOf(server.gateway, `spec.servers[${server.index}]`));

/** Each server has an empty list of its own: what is made from it goes with the server. */
const noRoutes = memo((_server: GatewayServer): RouteList => ({ routes: [], origins: [], findings: [] }));

/** All routes, oldest VirtualService first; those that take everything come last, or they would hide the others. */
const joinedRoutes = memo((...lists: readonly [RouteList, ...RouteList[]]): RouteList => {
  const routes: EncodedRoute[] = [];
  const catchAlls: EncodedRoute[] = [];
  for (const list of lists) for (const route of list.routes) (route.catchAll ? catchAlls : routes).push(route);
  for (const route of catchAlls) routes.push(route);
  return {
    routes,
    origins: lists.flatMap((list) => list.origins),
    findings: lists.flatMap((list) => list.findings),
  };
});
