// ROUTE_CONFIGURATION, VIRTUAL_HOST and HTTP_ROUTE patches. In: a route configuration's draft, or one within a listener.
// Out: it patched. Virtual hosts that no patch names stay encoded: a configuration may hold thousands. Called by index.ts
// and chain.ts.

import { Encoded } from '../../codec/index.ts';
import type { RouteConfigurationMatch, VirtualHostMatch } from '../../config/generated/types.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { parseClusterName } from './cluster.ts';
import { type Fields, listOf, opened, openedDraft, orAbsent, textOf } from './fields.ts';
import { PATCHED_TYPES, type Patch } from './patch.ts';
import { type Patched, PatchRun, patchedDraft } from './run.ts';
import { type PatchList, patchesOf } from './selection.ts';

const { ROUTE_CONFIGURATION, VIRTUAL_HOST, HTTP_ROUTE } = PATCHED_TYPES;

/** `gateway`: of gateways, `NUMBER,NUMBER PORTNAME NAMESPACE/NAME`: ports, name and Gateway that the routes are of. */
export const patchedRouteConfiguration = memo((draft: Draft, patches: PatchList, gateway: string): Patched => {
  const run = new PatchRun(`routes ${draft.name}`);
  if (!patches.some((patch) => matchesConfiguration(patch, draft.name, gateway))) return { draft, findings: [] };
  const fields = patchedRoutes(run, openedDraft(ROUTE_CONFIGURATION, draft), patches, gateway);
  return patchedDraft(run, ROUTE_CONFIGURATION, draft, fields);
});

/** The same for routes within a listener. */
export function patchedRoutes(run: PatchRun, before: Fields, patches: PatchList, gateway: string): Fields {
  let fields = before;
  const matching = (target: Patch['target']): PatchList =>
    patchesOf(patches, target).filter((patch) => matchesConfiguration(patch, textOf(fields, 'name'), gateway));
  for (const patch of matching('ROUTE_CONFIGURATION')) {
    if (patch.operation === 'MERGE') fields = run.merged(ROUTE_CONFIGURATION, fields, patch) as Fields;
  }
  const [hosts, routes] = [matching('VIRTUAL_HOST'), matching('HTTP_ROUTE')];
  if (hosts.length === 0 && routes.length === 0) return fields;
  const kept = listOf(fields['virtualHosts']).flatMap((host) => patchedHost(run, host, hosts, routes) ?? []);
  const added = hosts.filter((patch) => patch.operation === 'ADD');
  for (const patch of added) run.apply(patch);
  return { ...fields, virtualHosts: orAbsent([...kept, ...added.map((patch) => patch.encoded)]) };
}

function matchesConfiguration({ match }: Patch, name: string, gateway: string): boolean {
  const wanted = match.routeConfiguration;
  if (wanted === undefined) return true;
  if (wanted.name && wanted.name !== name) return false;
  if (gateway !== '') return matchesGateway(wanted, gateway);
  return !wanted.portNumber || wanted.portNumber === portOf(name);
}

function matchesGateway({ portNumber, portName, gateway }: RouteConfigurationMatch, of: string): boolean {
  const [ports = '', name = '', object = ''] = of.split(' ');
  if (portName && portName !== name) return false;
  if (gateway && gateway !== object) return false;
  return !portNumber || ports.split(',').includes(String(portNumber));
}

/** Routes of one port have its number as their name; sniffed ones and sockets have none. */
function portOf(name: string): number {
  if (name.startsWith('inbound')) return parseClusterName(name).port;
  return /^\d+$/.test(name) ? Number(name) : 0;
}

/** Undefined when a patch removes it. */
function patchedHost(run: PatchRun, host: unknown, hosts: PatchList, routes: PatchList): unknown {
  const name = host instanceof Encoded ? leadingName(host.bytes) : undefined;
  if (name !== undefined && [...hosts, ...routes].every((patch) => !mayMean(patch, name))) return host;
  let fields = opened(VIRTUAL_HOST, host);
  for (const patch of hosts) {
    if (patch.operation === 'ADD' || !matchesHost(fields, patch)) continue;
    if (patch.operation === 'MERGE') fields = run.merged(VIRTUAL_HOST, fields, patch) as Fields;
    else run.apply(patch);
    if (patch.operation === 'REMOVE') return undefined;
    if (patch.operation === 'REPLACE') fields = opened(VIRTUAL_HOST, patch.encoded);
  }
  const inside = routes.filter((patch) => matchesHost(fields, patch));
  if (inside.length === 0) return fields;
  const kept = listOf(fields['routes']).flatMap((route) => patchedRoute(run, route, inside) ?? []);
  const placed = inside.reduce<readonly unknown[]>((list, patch) => withInserted(run, list, patch), kept);
  return { ...fields, routes: orAbsent(placed) };
}

/** The name, which comes first on the wire, without reading the rest; undefined when something else comes first. */
function leadingName(bytes: Uint8Array): string | undefined {
  const length = bytes[1] ?? 0;
  // Names of hosts are plain ASCII, and those longer than one length byte can say are read in full.
  if (bytes[0] !== 0x0a || length > 127) return undefined;
  const name = String.fromCharCode(...bytes.subarray(2, 2 + length));
  return /^[\x20-\x7e]*$/.test(name) ? name : undefined;
}

function mayMean({ match, operation, target }: Patch, name: string): boolean {
  if (target === 'VIRTUAL_HOST' && operation === 'ADD') return false;
  const wanted = match.routeConfiguration?.vhost?.name;
  return !wanted || wanted === name;
}

function hostMatch({ match }: Patch): VirtualHostMatch {
  return match.routeConfiguration?.vhost ?? NO_CRITERIA;
}

const NO_CRITERIA: VirtualHostMatch = {};

function matchesHost(fields: Fields, patch: Patch): boolean {
  const { name, domainName } = hostMatch(patch);
  if (name && name !== fields['name']) return false;
  return !domainName || listOf(fields['domains']).includes(domainName);
}

/** Undefined when a patch removes it. */
function patchedRoute(run: PatchRun, route: unknown, patches: PatchList): unknown {
  let current = route;
  for (const patch of patches) {
    if ((patch.operation !== 'REMOVE' && patch.operation !== 'MERGE') || !matchesRoute(current, patch)) continue;
    if (patch.operation === 'MERGE') current = run.merged(HTTP_ROUTE, current, patch);
    else {
      run.apply(patch);
      return undefined;
    }
  }
  return current;
}

const ACTIONS = { ROUTE: 'route', REDIRECT: 'redirect', DIRECT_RESPONSE: 'directResponse' } as const;

function matchesRoute(route: unknown, patch: Patch): boolean {
  const wanted = hostMatch(patch).route;
  if (wanted === undefined) return true;
  const fields = opened(HTTP_ROUTE, route);
  if (wanted.name && wanted.name !== fields['name']) return false;
  if (wanted.action === undefined || wanted.action === 'ANY') return true;
  // Actions that no patch can name match every one.
  const known = Object.values(ACTIONS).some((action) => fields[action] !== undefined);
  return !known || fields[ACTIONS[wanted.action]] !== undefined;
}

function withInserted(run: PatchRun, list: readonly unknown[], patch: Patch): readonly unknown[] {
  const { operation, encoded } = patch;
  if (operation === 'REMOVE' || operation === 'MERGE' || operation === 'REPLACE') return list;
  const alone = operation === 'ADD' || hostMatch(patch).route === undefined;
  const at = alone ? -1 : list.findIndex((route) => matchesRoute(route, patch));
  if (!alone && at < 0) return list;
  run.apply(patch);
  switch (operation) {
    case 'ADD':
      return [...list, encoded];
    case 'INSERT_FIRST':
      return [encoded, ...list];
    case 'INSERT_BEFORE':
      return list.toSpliced(alone ? 0 : at, 0, encoded);
    case 'INSERT_AFTER':
      return list.toSpliced(alone ? list.length : at + 1, 0, encoded);
  }
}
