// Routes of gateways (RDS): one RouteConfiguration for each plaintext port and each server that terminates HTTPS.
// In: the scope of a router with its merged Gateways, the drafts made before. Out: drafts, one for each route name.
// Called by ../index.ts. A change is led back to the route names of the Gateways that it concerns; no other is looked at.

import type { Finding } from '../../config/object.ts';
import type { Draft } from '../../ir/draft.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { GatewayServer, MergedGateway } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import { stamp } from '../../lib/stamp.ts';
import { keepList, tableDiff } from '../../lib/table.ts';
import { routeConfiguration } from '../routes/route-config.ts';
import { leadsTo, type RouteScope } from './bound.ts';
import { type RouteNameHosts, routeNameFindings, routeNameHosts } from './virtual-hosts.ts';

/** What drafts were made from. */
interface Made {
  readonly scope: RouteScope;
  readonly routes: MergedGateway['routes'];
  readonly bound: MergedGateway['virtualServices'];
  /** By position of the route name. */
  readonly hosts: readonly RouteNameHosts[];
}

const madeFrom = stamp<readonly Draft[], Made>();

/** The drafts by name; `previous` are those that the class had, kept where nothing in them changed. */
export function gatewayRoutes(scope: Scope, previous: readonly Draft[] = []): readonly Draft[] {
  const { gateway, proxyClass, mesh, services } = scope;
  if (gateway === undefined) return [];
  const { routes, virtualServices: bound } = gateway;
  const before = standing(scope, madeFrom.get(previous));
  if (before?.bound === bound && before.routes === routes && before.scope.services === services) return previous;
  const moved = before === undefined ? NO_HOSTS : movedHosts(before.scope.services, services);
  const names = namesOf(routes);
  const former = before === undefined ? NO_ROUTES : before.routes;
  const stale = before?.routes === routes ? staleNames(before, gateway, moved) : undefined;
  const hosts: RouteNameHosts[] = [];
  const drafts: Draft[] = [];
  const placeOf = stale === undefined ? placesOf(former) : undefined;
  for (const [place, name] of names.entries()) {
    const at = placeOf === undefined ? place : placeOf.get(name);
    const old = at === undefined ? undefined : before?.hosts[at];
    const draft = at === undefined ? undefined : previous[at];
    if (stale?.has(place) === false && old !== undefined && draft !== undefined) {
      hosts.push(old);
      drafts.push(draft);
      continue;
    }
    const servers = routes.get(name) ?? NO_SERVERS;
    const made = routeNameHosts(scope, servers, bound, old === undefined ? undefined : { hosts: old, moved });
    hosts.push(made);
    drafts.push(old === made && draft !== undefined ? draft : routeConfiguration(name, made.hosts, [], draft));
  }
  const all = keepList(previous, drafts);
  madeFrom.set(all, { scope: { proxyClass, mesh, services }, routes, bound, hosts });
  return all;
}

const NO_HOSTS: ReadonlySet<string> = new Set();
const NO_SERVERS: readonly GatewayServer[] = [];
const NO_ROUTES: MergedGateway['routes'] = new Map();

/** Undefined where what holds for all routes is another. */
function standing({ proxyClass, mesh }: RouteScope, made: Made | undefined): Made | undefined {
  return made?.scope.proxyClass === proxyClass && made.scope.mesh === mesh ? made : undefined;
}

function movedHosts(before: Scope['services'], now: Scope['services']): ReadonlySet<string> {
  return before === now ? NO_HOSTS : new Set([...tableDiff(before, now)].map(([host]) => host));
}

const namesOf = memo((routes: MergedGateway['routes']): readonly string[] => [...routes.keys()].sort(compareStrings));

/** By name of the route. */
const placesOf = memo(
  (routes: MergedGateway['routes']): ReadonlyMap<string, number> =>
    new Map(namesOf(routes).map((name, place) => [name, place])),
);

/** The places of route names on which a Gateway has servers, by name of the Gateway. */
const placesOfGateways = memo((routes: MergedGateway['routes']): ReadonlyMap<string, readonly number[]> => {
  const places = new Map<string, number[]>();
  for (const [place, name] of namesOf(routes).entries()) {
    for (const gateway of new Set(routes.get(name)?.map((server) => server.gatewayName))) {
      const known = places.get(gateway);
      if (known === undefined) places.set(gateway, [place]);
      else known.push(place);
    }
  }
  return places;
});

/** Route names of Gateways to which others are bound than before, or whose routes lead to a service that moved. */
function staleNames(before: Made, gateway: MergedGateway, moved: ReadonlySet<string>): ReadonlySet<number> {
  const stale = new Set<number>();
  for (const [name, nodes] of gateway.virtualServices) {
    if (before.bound.get(name) === nodes && !(moved.size > 0 && nodes.some((node) => leadsTo(node, moved)))) continue;
    for (const place of placesOfGateways(gateway.routes).get(name) ?? []) stale.add(place);
  }
  return stale;
}

/** Rules of VirtualServices that had to be left out of these drafts. */
export function gatewayRouteFindings(drafts: readonly Draft[]): readonly Finding[] {
  return [...new Set(madeFrom.get(drafts)?.hosts.flatMap(routeNameFindings))];
}
