// EnvoyFilter: user-written patches over what was rendered. Classes without EnvoyFilters pass through untouched; for the
// others each patched draft is kept for the draft that it was made from, so that a change patches only what it changed.
// In: rendered drafts of a class or a workload. Out: the drafts to be sent. Called by ../index.ts.

import type { Finding } from '../../config/object.ts';
import type { Draft } from '../../ir/draft.ts';
import type { Workload } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { memo } from '../../lib/memo.ts';
import type { Steps } from '../../lib/steps.ts';
import {
  type Derived,
  type Derived2,
  deriveTable,
  deriveTable2Steps,
  emptyTable,
  keepList,
  sameList,
  type Table,
  tableGet,
  tableValues,
} from '../../lib/table.ts';
import { addedDrafts } from './added.ts';
import { parseClusterName, patchedCluster, removesCluster } from './cluster.ts';
import { gatewayOfRoutes } from './gateway-match.ts';
import { patchedListener } from './listener.ts';
import { patchedRouteConfiguration } from './route.ts';
import type { Patched } from './run.ts';
import { NO_PATCHES, type PatchList, type PatchSet, patchSet } from './selection.ts';
import { hostsOfInbound, isOutboundCluster } from './workload-match.ts';

type Drafts = readonly Draft[];

/** What of a class can be patched. */
export interface Patchable {
  readonly clusters: Table<Drafts>;
  readonly endpoints: Table<Drafts>;
  readonly listeners: Drafts;
  readonly routes: Drafts;
}

export interface PatchedClass extends Patchable {
  /** Patches that match something that they do not fit. */
  readonly findings: () => readonly Finding[];
  /** What the next run starts from. */
  readonly lists?: { readonly listeners: KeptList; readonly routes: KeptList } | undefined;
  readonly derived?: DerivedTables | undefined;
}

interface DerivedTables {
  readonly groups: Derived2<Drafts, never, PatchedList>;
  readonly clusters: Derived<PatchedList, Drafts>;
  readonly endpoints?: Derived<Drafts, Drafts> | undefined;
}

interface PatchedList {
  readonly drafts: Drafts;
  readonly findings: readonly Finding[];
}

/** A list that remembers what became of each draft: what is memoised for a draft is shared by a limited number of classes. */
interface KeptList extends PatchedList {
  readonly source: Drafts;
  /** Patches, and what else they were matched with. */
  readonly inputs: readonly unknown[];
  readonly outcomes: ReadonlyMap<Draft, Patched>;
}

const NO_FINDINGS = (): readonly Finding[] => [];

/** The resources of a class after its EnvoyFilters; those of before where nothing differs. */
export function* patchedClass(
  scope: Scope,
  rendered: Patchable,
  previous: PatchedClass | undefined,
): Steps<PatchedClass> {
  const set = clientSide(scope);
  if (set === undefined) return { findings: NO_FINDINGS, ...rendered };
  const before = previous?.lists;
  const listeners = yield* patchedLists(rendered.listeners, [set.listeners], before?.listeners, (draft) =>
    patchedListener(draft, set.listeners, NO_PATCHES),
  );
  const { gateway } = scope;
  const routes = yield* patchedLists(rendered.routes, [set.routes, gateway], before?.routes, (draft) =>
    patchedRouteConfiguration(draft, set.routes, gateway === undefined ? '' : gatewayOfRoutes(gateway, draft.name)),
  );
  const tables =
    set.clusters.length === 0 ? undefined : yield* patchedTables(rendered, set.clusters, previous?.derived);
  return {
    clusters: tables?.clusters.output ?? rendered.clusters,
    endpoints: tables?.endpoints?.output ?? rendered.endpoints,
    listeners: keepList(previous?.listeners, listeners.drafts),
    routes: keepList(previous?.routes, routes.drafts),
    findings: () => [
      ...(tables === undefined ? [] : [...tableValues(tables.groups.output)].flatMap((group) => group.findings)),
      ...[listeners, routes].flatMap((each) => each.findings),
    ],
    lists: { listeners, routes },
    derived: tables,
  };
}

/** Of one workload, as rendered. */
export interface PatchableWorkload {
  readonly clusters: Drafts;
  readonly outbound: Drafts;
  readonly inbound: Drafts;
}

export interface PatchedWorkload {
  readonly clusters: Drafts;
  readonly listeners: Drafts;
  readonly findings: () => readonly Finding[];
}

/** What a workload's class has, after its EnvoyFilters: whatever they add must not be there already. */
export type Surroundings = Pick<Patchable, 'clusters' | 'listeners'>;

/** The workload's own resources, and those that are added as a whole; `shared` is there wherever there are EnvoyFilters. */
export function patchedWorkload(
  scope: Pick<Scope, 'proxyClass' | 'policies'>,
  workload: Workload,
  rendered: PatchableWorkload,
  shared: Surroundings | undefined,
): PatchedWorkload {
  const out = clientSide(scope);
  const own =
    scope.proxyClass.type === 'router'
      ? undefined
      : patchSet(workload.policies.envoyFilters, workload.proxyClass, 'SIDECAR_INBOUND');
  if (shared === undefined || (out === undefined && own === undefined)) {
    const listeners = joined(rendered.outbound, rendered.inbound);
    return { clusters: rendered.clusters, listeners, findings: NO_FINDINGS };
  }
  const clusters = workloadClusters(
    rendered.clusters,
    workload,
    out?.clusters ?? NO_PATCHES,
    own?.clusters ?? NO_PATCHES,
  );
  const exists = (name: string): boolean =>
    [...clusters.drafts, ...(tableGet(shared.clusters, parseClusterName(name).host) ?? [])].some(
      (draft) => draft.name === name,
    );
  const addedClusters = addedDrafts([...(out?.addedClusters ?? []), ...(own?.addedClusters ?? [])], exists);
  const outbound = listenersOf(rendered.outbound, out?.listeners ?? NO_PATCHES, NO_PATCHES);
  const inbound = listenersOf(rendered.inbound, own?.listeners ?? NO_PATCHES, own?.routes ?? NO_PATCHES);
  const listeners = joined(outbound.drafts, inbound.drafts);
  const addedListeners = addedDrafts(
    [...(out?.addedListeners ?? []), ...(own?.addedListeners ?? [])],
    (name) => namesOf(shared.listeners).has(name) || namesOf(listeners).has(name),
  );
  return {
    clusters: withAdded(clusters.drafts, ...addedClusters.drafts),
    listeners: withAdded(listeners, ...addedListeners.drafts),
    findings: () => [clusters, addedClusters, outbound, inbound, addedListeners].flatMap((each) => each.findings),
  };
}

/** EXTENSION_CONFIG patches of a class: extensions that listeners refer to by name. */
export function extensionPatches(scope: Scope): PatchList {
  return clientSide(scope)?.extensions ?? NO_PATCHES;
}

function clientSide({ policies, proxyClass }: Pick<Scope, 'proxyClass' | 'policies'>): PatchSet | undefined {
  return patchSet(policies.envoyFilters, proxyClass, proxyClass.type === 'router' ? 'GATEWAY' : 'SIDECAR_OUTBOUND');
}

const namesOf = memo((drafts: Drafts): ReadonlySet<string> => new Set(drafts.map((draft) => draft.name)));

const joined = memo((outbound: Drafts, inbound: Drafts): Drafts => [...outbound, ...inbound]);

const withAdded = memo(
  (drafts: Drafts, ...added: Drafts): Drafts => (added.length === 0 ? drafts : [...drafts, ...added]),
);

/** The same list when every draft came out as it was. */
function patchedList(drafts: Drafts, patch: (draft: Draft) => Patched): PatchedList {
  const outcomes = drafts.map(patch);
  return {
    drafts: keepList(
      drafts,
      outcomes.flatMap(({ draft }) => draft ?? []),
    ),
    findings: outcomes.flatMap(({ findings }) => findings),
  };
}

const patchedListeners = memo(
  (drafts: Drafts, patches: PatchList, routes: PatchList): PatchedList =>
    patchedList(drafts, (draft) => patchedListener(draft, patches, routes)),
);

const DRAFTS_IN_A_STEP = 32;

/** Without patches, the first of the inputs, the list as it is. */
function* patchedLists(
  source: Drafts,
  inputs: readonly [PatchList, ...unknown[]],
  before: KeptList | undefined,
  patch: (draft: Draft) => Patched,
): Steps<KeptList> {
  if (inputs[0].length === 0) return { source, inputs, drafts: source, findings: [], outcomes: new Map() };
  const same = before !== undefined && sameList(before.inputs, inputs);
  if (same && before.source === source) return before;
  const outcomes = new Map<Draft, Patched>();
  for (const draft of source) {
    outcomes.set(draft, (same ? before.outcomes.get(draft) : undefined) ?? patch(draft));
    if (outcomes.size % DRAFTS_IN_A_STEP === 0) yield;
  }
  return { ...patchedList(source, (draft) => outcomes.get(draft) ?? patch(draft)), source, inputs, outcomes };
}

function listenersOf(drafts: Drafts, patches: PatchList, routes: PatchList): PatchedList {
  if (patches.length === 0 && routes.length === 0) return { drafts, findings: [] };
  return patchedListeners(drafts, patches, routes);
}

function* patchedTables(
  rendered: Patchable,
  patches: PatchList,
  previous: DerivedTables | undefined,
): Steps<DerivedTables> {
  const groups = yield* deriveTable2Steps(previous?.groups, rendered.clusters, NO_TABLE, [patches], (drafts) =>
    patchedGroup(drafts, patches),
  );
  const clusters = deriveTable(previous?.clusters, groups.output, [], ({ drafts }) =>
    drafts.length === 0 ? undefined : drafts,
  );
  if (!patches.some((patch) => patch.operation === 'REMOVE')) return { groups, clusters };
  const endpoints = deriveTable(previous?.endpoints, rendered.endpoints, [patches], (drafts) => {
    const kept = drafts.filter((draft) => !removesCluster(patches, draft.name));
    return kept.length === 0 ? undefined : keepList(drafts, kept);
  });
  return { groups, clusters, endpoints };
}

const NO_TABLE = emptyTable<never>();

const patchedGroup = memo(
  (drafts: Drafts, patches: PatchList): PatchedList =>
    patchedList(drafts, (draft) => patchedCluster(draft, patches, '')),
);

const workloadClusters = memo(
  (drafts: Drafts, workload: Workload, outbound: PatchList, inbound: PatchList): PatchedList =>
    patchedList(drafts, (draft) =>
      isOutboundCluster(draft.name)
        ? patchedCluster(draft, outbound, '')
        : patchedCluster(draft, inbound, hostsOfInbound(workload, draft.name)),
    ),
);
