// The views of one class of proxies: its scope translated, encoded, hashed, and kept for the next time.
// In: a scope. Out: for each xDS type the tables of resources that every proxy of the class shares.
// Called by the plane once per class and change; proxies only look up.

import type { Draft } from '../ir/draft.ts';
import { TYPE_URL } from '../ir/draft.ts';
import type { Scope } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import type { Steps } from '../lib/steps.ts';
import { type Derived, deriveTableOnce, keepList, type Table, tableFrom, tableGet } from '../lib/table.ts';
import { type Resource, resourceFor } from '../resources/resource.ts';
import { type ResourceTable, shardKey } from '../resources/view.ts';
import { privateModules } from '../translate/extensions/config.ts';
import { type ClassResources, translateClass } from '../translate/index.ts';
import { onDemandClass } from '../translate/ondemand/index.ts';
import { type SplitRoutes, splitRoutes } from '../translate/ondemand/split-routes.ts';
import type { OnDemandViews } from './on-demand.ts';
import type { TablePool } from './table-pool.ts';

/** Everything that a class has translated, by type URL. */
export interface ClassViews {
  readonly scope: Scope;
  readonly resources: ClassResources;
  readonly tables: ReadonlyMap<string, ResourceTable>;
  /** The same object while nothing has changed of what workloads have of their own, but for the pods of the workload. */
  readonly ownBasis: object;
  /** What its proxies have is that, and what their workloads have of their own: nothing is peculiar to a single proxy. */
  readonly plain: boolean;
  /** Of types that few proxies ask for: made for the first that does. */
  readonly late: ReadonlyMap<string, () => ResourceTable>;
  /** Of a class that is on demand: what its proxies may ask for. Their clusters and routes aren't in `tables`. */
  readonly onDemand?: OnDemandViews | undefined;
  /** Of a class whose virtual hosts travel one by one: their tables by RouteConfiguration. */
  readonly split?: SplitViews | undefined;
  readonly derived: ReadonlyMap<string, ClassStep>;
  /** Drafts of the types that are lists. */
  readonly lists: ReadonlyMap<string, readonly Draft[]>;
}

export interface SplitViews {
  readonly made: SplitRoutes;
  readonly tables: ReadonlyMap<string, ResourceTable>;
}

/**
 * Translates a scope, in steps. `previous`: the views of the class before a change; `kin`: those of another class, from which one
 * without any starts.
 */
export function* classViews(
  scope: Scope,
  previous: ClassViews | undefined,
  kin: ClassViews | undefined,
  pool: TablePool,
): Steps<ClassViews> {
  const resources = yield* translateClass(scope, previous?.resources, kin?.resources);
  const start = previous ?? kin;
  const derived = new Map<string, ClassStep>();
  const tables = new Map<string, ResourceTable>();
  const keyed: readonly (readonly [string, Table<readonly Draft[]>])[] = [
    [TYPE_URL.cluster, resources.clusters],
    [TYPE_URL.endpoint, resources.endpoints],
  ];
  for (const [typeUrl, drafts] of keyed) {
    const step = deriveTableOnce(start?.derived.get(typeUrl), drafts, [], encodeGroup);
    const output = pool.shared(typeUrl, step.output);
    derived.set(typeUrl, output === step.output ? step : withOutput(step, output));
    tables.set(typeUrl, output);
    yield;
  }
  const onDemand = onDemandViews(scope, resources, tables, previous);
  const split = splitViews(scope, resources, previous?.split);
  const listed: readonly (readonly [string, readonly Draft[]])[] = [
    [TYPE_URL.listener, (onDemand?.made ?? resources).listeners],
    ...(onDemand === undefined ? [[TYPE_URL.route, split?.made.routes ?? resources.routes] as const] : []),
    [TYPE_URL.extension, resources.extensions],
  ];
  for (const [typeUrl, drafts] of listed) {
    const before = start?.tables.get(typeUrl);
    const kept = before !== undefined && start?.lists.get(typeUrl) === drafts ? before : undefined;
    tables.set(typeUrl, kept ?? pool.shared(typeUrl, tableOf(drafts, before)));
  }
  const late = new Map([[TYPE_URL.nameTable, () => nameTableOf(resources.nameTable())]]);
  const ownBasis = sameBasis(previous, scope, resources) ? (previous as ClassViews).ownBasis : {};
  // Extensions of its own come with Secrets that only one proxy may read.
  const plain = onDemand === undefined && split === undefined && privateModules(scope).length === 0;
  return { scope, resources, tables, ownBasis, plain, late, derived, lists: new Map(listed), onDemand, split };
}

/** True where `translateWorkload` reads the same of both, for every workload that doesn't ask for its own pods. */
function sameBasis(previous: ClassViews | undefined, scope: Scope, { ground, surroundings }: ClassResources): boolean {
  return (
    previous?.resources.ground === ground &&
    previous.resources.surroundings === surroundings &&
    previous.scope.services === scope.services
  );
}

function splitViews(
  { proxyClass }: Scope,
  { routes }: ClassResources,
  previous: SplitViews | undefined,
): SplitViews | undefined {
  if (proxyClass.splitRoutes !== true) return undefined;
  const made = splitRoutes(routes, previous?.made);
  if (made === previous?.made) return previous;
  const tables = [...made.byName].map(([name, { hosts }]) => {
    const before = previous?.made.byName.get(name)?.hosts === hosts ? previous.tables.get(name) : undefined;
    return [name, before ?? tableOf(hosts, previous?.tables.get(name))] as const;
  });
  return { made, tables: new Map(tables) };
}

/** Takes the clusters out of the tables that every proxy is given. */
function onDemandViews(
  scope: Scope,
  resources: ClassResources,
  tables: Map<string, ResourceTable>,
  previous: ClassViews | undefined,
): OnDemandViews | undefined {
  const clusters = tables.get(TYPE_URL.cluster);
  if (scope.proxyClass.onDemand === undefined || clusters === undefined) return undefined;
  tables.delete(TYPE_URL.cluster);
  const before = previous?.onDemand;
  const made = onDemandClass(scope, resources, before?.made);
  if (before?.made === made && before.clusters === clusters) return before;
  const inForm = (form: 0 | 1): ResourceTable =>
    before?.made.routes[form] === made.routes[form]
      ? before.routes[form]
      : tableOf(made.routes[form], before?.routes[form]);
  return { made, clusters, routes: [inForm(0), inForm(1)] };
}

const withOutput = memo((step: ClassStep, output: ResourceTable): ClassStep => ({ ...step, output }));

type ClassStep = Derived<readonly Draft[], readonly Resource[]>;

const nameTableOf = memo((draft: Draft): ResourceTable => tableOf([draft]));

function encodeGroup(
  drafts: readonly Draft[],
  _key: string,
  before: readonly Resource[] | undefined,
): readonly Resource[] {
  return keepList(before, drafts.map(resourceFor));
}

/** Groups drafts by the key under which views look them up; equal buckets keep their identity. */
export function tableOf(drafts: readonly Draft[], previous?: ResourceTable): ResourceTable {
  const groups = new Map<string, Resource[]>();
  for (const draft of drafts) {
    const key = shardKey(draft.name);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [resourceFor(draft)]);
    else group.push(resourceFor(draft));
  }
  const kept = [...groups].map(([key, group]) => [key, keepList(previousGroup(previous, key), group)] as const);
  return tableFrom(kept, previous);
}

function previousGroup(previous: ResourceTable | undefined, key: string): readonly Resource[] | undefined {
  return previous === undefined ? undefined : tableGet(previous, key);
}
