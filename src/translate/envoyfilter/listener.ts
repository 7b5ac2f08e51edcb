// Patches of a listener and of everything in it: the listener itself, its listener filters, its chains and their filters;
// what is added as a whole comes last. In: a listener's draft. Out: the draft patched, or nothing. Called by index.ts.

import type { ListenerMatch } from '../../config/generated/types.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { VIRTUAL_INBOUND, VIRTUAL_OUTBOUND } from '../listeners/listener.ts';
import { type ChainPatches, patchedChain } from './chain.ts';
import { type ElementKind, patchedElements } from './elements.ts';
import { type Fields, listOf, opened, openedDraft, orAbsent } from './fields.ts';
import { PATCHED_TYPES, type Patch } from './patch.ts';
import { type Patched, PatchRun, patchedDraft } from './run.ts';
import { type PatchList, patchesOf } from './selection.ts';

const { LISTENER } = PATCHED_TYPES;

const LISTENER_FILTERS: ElementKind = {
  type: PATCHED_TYPES.LISTENER_FILTER,
  wanted: (patch) => patch.match.listener?.listenerFilter || undefined,
};

/** `routes`: patches for routes that the listener carries itself. */
export const patchedListener = memo((draft: Draft, patches: PatchList, routes: PatchList): Patched => {
  const run = new PatchRun(`listener ${draft.name}`);
  let fields = openedDraft(LISTENER, draft);
  for (const patch of patchesOf(patches, 'LISTENER')) {
    if (!matchesListener(fields, patch)) continue;
    if (patch.operation === 'REMOVE') {
      run.apply(patch);
      return patchedDraft(run, LISTENER, draft, undefined);
    }
    if (patch.operation === 'MERGE') fields = run.merged(LISTENER, fields, patch) as Fields;
  }
  return patchedDraft(run, LISTENER, draft, withParts(run, fields, patches, routes));
});

function withParts(run: PatchRun, fields: Fields, patches: PatchList, routes: PatchList): Fields | undefined {
  const inside = patches.filter((patch) => patch.target !== 'LISTENER' && matchesListener(fields, patch));
  if (inside.length === 0 && routes.length === 0) return fields;
  const listenerFilters = patchedElements(
    run,
    LISTENER_FILTERS,
    listOf(fields['listenerFilters']),
    patchesOf(inside, 'LISTENER_FILTER'),
  );
  const chains: ChainPatches = { virtual: isVirtual(fields), patches: inside, routes };
  const kept = listOf(fields['filterChains']).flatMap((chain) => patchedChain(run, chain, chains) ?? []);
  const byDefault = fields['defaultFilterChain'];
  const defaultFilterChain = byDefault === undefined ? undefined : patchedChain(run, byDefault, chains);
  const added = patchesOf(inside, 'FILTER_CHAIN').filter((patch) => patch.operation === 'ADD');
  for (const patch of added) run.apply(patch);
  const filterChains = [...kept, ...added.map((patch) => patch.encoded)];
  // Envoy refuses a listener of which all chains were removed.
  const emptied = filterChains.length === 0 && listOf(fields['filterChains']).length > 0;
  if (emptied && defaultFilterChain === undefined) return undefined;
  return {
    ...fields,
    listenerFilters: orAbsent(listenerFilters),
    filterChains: orAbsent(filterChains),
    defaultFilterChain,
  };
}

function isVirtual({ name }: Fields): boolean {
  return name === VIRTUAL_INBOUND || name === VIRTUAL_OUTBOUND;
}

function matchesListener(fields: Fields, { target, match: { listener } }: Patch): boolean {
  if (listener === undefined) return true;
  if (listener.name && listener.name !== fields['name']) return false;
  // The ports that a virtual listener stands for are those of its chains.
  if (target !== 'LISTENER' && isVirtual(fields)) return true;
  return matchesPort(fields, listener);
}

function matchesPort(fields: Fields, { portNumber }: ListenerMatch): boolean {
  if (!portNumber) return true;
  const address = opened('envoy.config.core.v3.Address', fields['address']);
  const socket = opened('envoy.config.core.v3.SocketAddress', address['socketAddress']);
  return socket['portValue'] === portNumber;
}
