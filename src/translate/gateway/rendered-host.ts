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
  const [only] = lists;
  if (lists.length === 1 && only !== undefined) {
    return virtualHost(only, name, domains, attemptCount, requireTls, http3, serverOrigin(server));
  }
  const own = serverRoutes(server);
  return lists.length > MANY
    ? longVirtualHost([own, ...lists], name, domains, attemptCount, requireTls, http3)
    : virtualHost(joinedRoutes(own, ...lists), name, domains, attemptCount, requireTls, http3);
}

/** Nobody is bound to any host: every request gets 404. */
export function nobody([first]: readonly GatewayServer[]): readonly VirtualHost[] {
  if (first === undefined) return [];
  return [virtualHost(serverRoutes(first), domainName('blackhole', first.port), '*', false, false)];
}

const serverOrigin = memo((server: GatewayServer): Origin => originOf(server.gateway, `spec.servers[${server.index}]`));

/** No routes of its own: the server as an origin of what is bound to it. */
const serverRoutes = memo(
  (server: GatewayServer): RouteList => ({ routes: [], origins: [serverOrigin(server)], findings: [] }),
);

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
