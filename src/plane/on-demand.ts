// Views of a proxy that asks for clusters and virtual hosts when it first needs them: of the tables of its class, what it
// has named, and what it needs without naming it. No resource is made for one proxy: those that name the same share the
// tables, and a table stays the same object while what is named stays the same.
//
// Envoy never lets go of a cluster by itself. Where virtual hosts are on demand, it is made to let go of them now and then,
// and asks again for those that requests need. Clusters to which no virtual host led for a whole term are taken away; when
// the virtual host is asked for again, its clusters come with it.

import type { OnDemand } from '../ir/proxy.ts';
import { TYPE_URL } from '../ir/draft.ts';
import { fnv1a } from '../lib/hash.ts';
import { memo } from '../lib/memo.ts';
import { compareStrings } from '../lib/order.ts';
import { smallTable } from '../lib/table.ts';
import { type Resource, resourceFor } from '../resources/resource.ts';
import { emptyView, type ResourceTable, shardKey, type View, viewGet } from '../resources/view.ts';
import { type OnDemandClass, type OnDemandListeners, virtualHostAnswer } from '../translate/ondemand/index.ts';
import type { SplitViews } from './class-views.ts';
import { composedView } from './session.ts';

/** What a class has for those who ask. */
export interface OnDemandViews {
  readonly made: OnDemandClass;
  /** All clusters of the class. */
  readonly clusters: ResourceTable;
  /** In two forms that take turns. */
  readonly routes: readonly [ResourceTable, ResourceTable];
}

type Names = ReadonlySet<string>;

const NO_NAMES: Names = new Set();
const NO_HOSTS = emptyView(TYPE_URL.virtualHost);

const ASKED = [TYPE_URL.cluster, TYPE_URL.route, TYPE_URL.virtualHost];
/** The types whose names a session has to remember. */
export const ASKED_TYPES: ReadonlySet<string> = new Set(ASKED);

/** What one proxy asked for, and since when. */
export class Demand {
  readonly #asked = new Map<string, Names>();
  readonly #offset: number;
  #term: number | undefined;
  /** Virtual hosts of the term before this one; undefined in the first: all clusters that were asked for stay. */
  #lingering: Names | undefined;

  /** `id`: of the node; spreads the terms of many proxies over time, the same way on every control plane. */
  constructor(id: string) {
    this.#offset = fnv1a(id) / 2 ** 32;
  }

  ask(typeUrl: string, names: Names): void {
    this.#asked.set(typeUrl, names);
  }

  /** Comes to the term of `now`; ms from then until the next, undefined without terms. */
  advance(onDemand: OnDemand | undefined, now: number): number | undefined {
    const { hosts = false, idle = 0 } = onDemand ?? {};
    if (!hosts || idle === 0) return undefined;
    // Terms follow the clock alone: a proxy that comes to another control plane within one has nothing changed.
    const term = Math.floor(now / idle + this.#offset);
    if (this.#term !== undefined && term !== this.#term) this.#lingering = this.#names(TYPE_URL.virtualHost);
    this.#term = term;
    return (term + 1 - this.#offset) * idle - now;
  }

  #names(typeUrl: string): Names {
    return this.#asked.get(typeUrl) ?? NO_NAMES;
  }

  /** `own`: listeners of the workload's own; `inbound`: its clusters. The same views for all who are to have the same. */
  *views(
    views: OnDemandViews | undefined,
    own: OnDemandListeners | undefined,
    inbound: ResourceTable | undefined,
    split: SplitViews | undefined,
  ): Generator<View> {
    if (split !== undefined) return yield splitHosts(split, this.#names(TYPE_URL.route));
    // A proxy that no longer asks is not to keep what it was given.
    if (views === undefined || own === undefined) return yield NO_HOSTS;
    const hosts = hostsFor(views.made, this.#names(TYPE_URL.route), this.#names(TYPE_URL.virtualHost));
    const names = [...views.made.clusters, ...own.clusters, ...this.#clustersThatStay(views.made, own, hosts)];
    yield composedView(TYPE_URL.cluster, tableOfNames(views.clusters, names), inbound);
    yield composedView(TYPE_URL.route, views.routes[(this.#term ?? 0) % 2 === 0 ? 0 : 1], undefined);
    yield composedView(TYPE_URL.virtualHost, hosts.table, undefined);
  }

  /** Of those that were asked for. */
  #clustersThatStay(made: OnDemandClass, { tcp }: OnDemandListeners, hosts: Hosts): readonly string[] {
    const asked = [...this.#names(TYPE_URL.cluster)];
    const { lasting } = made;
    if (this.#lingering === undefined || lasting === undefined) return asked;
    const before = hostsFor(made, NO_NAMES, this.#lingering).clusters;
    return asked.filter(
      (name) => hosts.clusters.has(name) || before.has(name) || lasting.has(name) || tcp.includes(name),
    );
  }
}

/**
 * The virtual hosts of the RouteConfigurations that the proxy has asked for: before that it would not hear of them. One that
 * comes back has them all until it has asked.
 */
const splitHosts = memo(
  ({ tables }: SplitViews, routes: Names): View => ({
    typeUrl: TYPE_URL.virtualHost,
    parts: [...tables].flatMap(([name, table]) => (routes.size === 0 || routes.has(name) ? [table] : [])),
  }),
);

interface Hosts {
  readonly table: ResourceTable;
  /** Candidates for the clusters that they lead to. */
  readonly clusters: Names;
}

const hostsFor = memo((made: OnDemandClass, routes: Names, names: Names): Hosts => {
  // Envoy waits for the first virtual host of each RouteConfiguration before it listens: it is given one for nobody.
  const first = [...routes].flatMap((name) => (made.hosted.has(name) ? `${name}/` : []));
  const answers = [...first, ...names].flatMap((name) => virtualHostAnswer(made, name) ?? []);
  return {
    table: sharedTable(answers.map(({ draft }) => resourceFor(draft))),
    clusters: new Set(answers.flatMap(({ clusters }) => clusters)),
  };
});

function tableOfNames(all: ResourceTable, names: readonly string[]): ResourceTable {
  const view = { typeUrl: TYPE_URL.cluster, parts: [all] };
  return sharedTable([...new Set(names)].flatMap((name) => viewGet(view, name) ?? []));
}

/** One table for the same resources, whatever led to them and in which order. */
function sharedTable(resources: readonly Resource[]): ResourceTable {
  const [first, ...rest] = [...resources].sort((a, b) => compareStrings(a.name, b.name));
  return first === undefined ? NOTHING : grouped(first, ...rest);
}

const NOTHING: ResourceTable = smallTable([]);

const grouped = memo((...resources: readonly [Resource, ...Resource[]]): ResourceTable => {
  const groups = new Map<string, Resource[]>();
  for (const resource of resources) {
    const key = shardKey(resource.name);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [resource]);
    else group.push(resource);
  }
  return smallTable(groups);
});
