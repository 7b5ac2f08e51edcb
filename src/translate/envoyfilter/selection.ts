// Which patches a class of proxies (or one workload) gets on one side. In: EnvoyFilters in the order in which they apply,
// the class. Out: patches by what they are applied to. Equal selections are the same lists, so that classes share what
// was patched by them. Called by index.ts.

import type { EnvoyFilterSpec } from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import { memo } from '../../lib/memo.ts';
import { compiledPatches, type Patch, type PatchContext, type PatchTarget } from './patch.ts';

export interface PatchSet {
  /** Of clusters that are there; those that are added apart. */
  readonly clusters: PatchList;
  readonly addedClusters: PatchList;
  /** Of listeners and everything in them; whole ones that are added apart. */
  readonly listeners: PatchList;
  readonly addedListeners: PatchList;
  /** Of route configurations and everything in them. */
  readonly routes: PatchList;
  readonly extensions: PatchList;
}

export const NO_PATCHES: PatchList = [];

/** A list that is the same object wherever the same patches come in the same order. */
export type PatchList = readonly Patch[];

/** The patches of one side; undefined without any, so that nothing more is done for most classes. */
export function patchSet(
  filters: readonly ConfigObject<EnvoyFilterSpec>[],
  { version, metadata }: ProxyClass,
  context: PatchContext,
): PatchSet | undefined {
  return filters.length === 0 ? undefined : selected(filters, version, metadata, context);
}

const selected = memo(
  (
    filters: readonly ConfigObject<EnvoyFilterSpec>[],
    version: string,
    metadata: ProxyClass['metadata'],
    context: PatchContext,
  ): PatchSet => {
    const suitable = filters
      .flatMap((filter) => compiledPatches(filter))
      .filter((patch) => patch.suits(version, metadata));
    const inContext = suitable.filter((patch) => appliesIn(patch, context));
    const added = inContext.filter(addsWhole);
    const changing = inContext.filter((patch) => !addsWhole(patch));
    return {
      clusters: interned(changing, ['CLUSTER']),
      addedClusters: interned(added, ['CLUSTER']),
      listeners: interned(changing, LISTENER_TARGETS),
      addedListeners: interned(added, ['LISTENER']),
      routes: interned(changing, ROUTE_TARGETS),
      // Nothing but a name leads to them: no side to match.
      extensions: interned(suitable, ['EXTENSION_CONFIG']),
    };
  },
);

const LISTENER_TARGETS = ['LISTENER', 'LISTENER_FILTER', 'FILTER_CHAIN', 'NETWORK_FILTER', 'HTTP_FILTER'] as const;
const ROUTE_TARGETS = ['ROUTE_CONFIGURATION', 'VIRTUAL_HOST', 'HTTP_ROUTE'] as const;

function addsWhole({ target, operation }: Patch): boolean {
  return operation === 'ADD' && (target === 'LISTENER' || target === 'CLUSTER');
}

/** What is added as a whole for ANY side is added once: on the side of clients. */
function appliesIn(patch: Patch, context: PatchContext): boolean {
  const { context: wanted = 'ANY' } = patch.match;
  if (wanted !== 'ANY') return wanted === context;
  return context !== 'SIDECAR_INBOUND' || !addsWhole(patch);
}

function interned(patches: readonly Patch[], targets: readonly PatchTarget[]): PatchList {
  let list = NO_PATCHES;
  for (const patch of patches) if (targets.includes(patch.target)) list = extended(patch, list);
  return list;
}

const extended = memo((patch: Patch, before: PatchList): PatchList => [...before, patch]);

/** The patches of one kind, in order. */
export function patchesOf(list: PatchList, target: PatchTarget): PatchList {
  return list.length === 0 ? NO_PATCHES : (grouped(list).get(target) ?? NO_PATCHES);
}

const grouped = memo((list: PatchList): ReadonlyMap<PatchTarget, PatchList> => {
  const groups = new Map<PatchTarget, Patch[]>();
  for (const patch of list) {
    const group = groups.get(patch.target);
    if (group === undefined) groups.set(patch.target, [patch]);
    else group.push(patch);
  }
  return groups;
});
