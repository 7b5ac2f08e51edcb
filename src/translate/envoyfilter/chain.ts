// FILTER_CHAIN, NETWORK_FILTER and HTTP_FILTER patches within one filter chain. In: the chain, still encoded; patches that
// match its listener. Out: the chain, or nothing. Called by listener.ts.

import { openAny } from '../../codec/index.ts';
import type { FilterChainMatch, ListenerMatch } from '../../config/generated/types.ts';
import { type ElementKind, patchedElements } from './elements.ts';
import { type Fields, listOf, opened, orAbsent, textOf } from './fields.ts';
import { PATCHED_TYPES, type Patch } from './patch.ts';
import { patchedRoutes } from './route.ts';
import { type PatchRun } from './run.ts';
import { NO_PATCHES, type PatchList, patchesOf } from './selection.ts';
import { mergedSocket, socketName, withoutSocket } from './transport-socket.ts';

const CHAIN = PATCHED_TYPES.FILTER_CHAIN;
const MATCH = 'envoy.config.listener.v3.FilterChainMatch';
const ROUTE_CONFIGURATION = PATCHED_TYPES.ROUTE_CONFIGURATION;
const MANAGER = 'envoy.filters.network.http_connection_manager';
const MANAGER_URL =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** What of a listener its chains are matched by, and the patches that are left for them. */
export interface ChainPatches {
  /** Ports of captured listeners stand in the chains. */
  readonly virtual: boolean;
  readonly patches: PatchList;
  /** For routes that the chain carries itself. */
  readonly routes: PatchList;
}

const NETWORK_FILTERS: ElementKind = {
  type: PATCHED_TYPES.NETWORK_FILTER,
  wanted: (patch) => patch.match.listener?.filterChain?.filter?.name,
};

const HTTP_FILTERS: ElementKind = {
  type: PATCHED_TYPES.HTTP_FILTER,
  wanted: (patch) => patch.match.listener?.filterChain?.filter?.subFilter?.name,
};

/** Undefined when a patch removes it. */
export function patchedChain(run: PatchRun, chain: unknown, { virtual, patches, routes }: ChainPatches): unknown {
  let fields = opened(CHAIN, chain);
  for (const patch of patchesOf(patches, 'FILTER_CHAIN')) {
    if (!matchesChain(fields, patch, virtual)) continue;
    if (patch.operation === 'REMOVE') {
      run.apply(patch);
      return undefined;
    }
    if (patch.operation === 'MERGE') fields = mergedChain(run, fields, patch);
  }
  const inChain = (target: 'NETWORK_FILTER' | 'HTTP_FILTER'): PatchList => {
    const all = patchesOf(patches, target);
    return all.length === 0 ? NO_PATCHES : all.filter((patch) => matchesChain(fields, patch, virtual));
  };
  const before = listOf(fields['filters']);
  const filters = patchedElements(run, NETWORK_FILTERS, before, inChain('NETWORK_FILTER'));
  const http = inChain('HTTP_FILTER');
  const after =
    http.length === 0 && routes.length === 0 ? filters : filters.map((each) => patchedManager(run, each, http, routes));
  return { ...fields, filters: orAbsent(after) };
}

function mergedChain(run: PatchRun, fields: Fields, patch: Patch): Fields {
  const socket = patch.value['transportSocket'];
  const rest = withoutSocket(patch.value);
  const known = fields['transportSocket'];
  // A socket of another kind can't be merged, and taking its place is not what was asked for.
  if (socket !== undefined && known !== undefined && socketName(socket) !== socketName(known)) {
    run.refuse(patch, `its transport socket is ${socketName(known)}, not ${socketName(socket)}`);
    return fields;
  }
  const secured =
    socket === undefined ? fields : { ...fields, transportSocket: mergedSocket(run, known, socket, patch) };
  return Object.keys(rest).length === 0 ? secured : (run.merged(CHAIN, secured, patch, rest) as Fields);
}

/** The listener is already known to match. */
function matchesChain(fields: Fields, { match: { listener } }: Patch, virtual: boolean): boolean {
  if (listener === undefined) return true;
  if (listener.filterChain === undefined && !(virtual && listener.portNumber)) return true;
  const own = opened(MATCH, fields['filterChainMatch']);
  if (virtual && listener.portNumber && own['destinationPort'] !== listener.portNumber) return false;
  return matchesCriteria(textOf(fields, 'name'), own, listener.filterChain ?? NO_CRITERIA);
}

const NO_CRITERIA: NonNullable<ListenerMatch['filterChain']> = {};

function matchesCriteria(name: string, own: Fields, wanted: FilterChainMatch): boolean {
  if (wanted.name && wanted.name !== name) return false;
  if (wanted.sni && !listOf(own['serverNames']).includes(wanted.sni)) return false;
  if (wanted.transportProtocol && wanted.transportProtocol !== own['transportProtocol']) return false;
  if (wanted.destinationPort && wanted.destinationPort !== own['destinationPort']) return false;
  const protocols = listOf(own['applicationProtocols']);
  return (
    !wanted.applicationProtocols || wanted.applicationProtocols.split(',').every((each) => protocols.includes(each))
  );
}

/** A connection manager with its HTTP filters and, where it has them inline, its routes patched. */
function patchedManager(run: PatchRun, filter: unknown, patches: PatchList, routes: PatchList): unknown {
  const fields = opened(NETWORK_FILTERS.type, filter);
  if (fields['name'] !== MANAGER) return filter;
  const manager = openAny(fields['typedConfig']);
  if (manager?.['@type'] !== MANAGER_URL) return filter;
  const applicable = patches.filter((patch) => (NETWORK_FILTERS.wanted(patch) ?? MANAGER) === MANAGER);
  const httpFilters = patchedElements(run, HTTP_FILTERS, listOf(manager['httpFilters']), applicable);
  const routeConfig = manager['routeConfig'];
  const typedConfig = {
    ...manager,
    httpFilters: orAbsent(httpFilters),
    routeConfig:
      routeConfig === undefined || routes.length === 0
        ? routeConfig
        : patchedRoutes(run, opened(ROUTE_CONFIGURATION, routeConfig), routes, ''),
  };
  return { ...fields, typedConfig };
}
