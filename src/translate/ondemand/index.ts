// What a class of proxies is given that ask for their outbound configuration when they first need it: made from what the
// class would be given otherwise, resource by resource.
// In: the resources of a class. Out: listeners and routes that make Envoy ask, and answers. Called by the plane.

import type { Draft } from '../../ir/draft.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { memo } from '../../lib/memo.ts';
import { keepList } from '../../lib/table.ts';
import type { ClassResources } from '../index.ts';
import { parseRouteName } from '../routes/names.ts';
import { hostsOf } from '../routes/route-config.ts';
import { onDemandListener } from './listener.ts';
import { addClusterNames } from './references.ts';
import {
  type HostAnswer,
  hostAnswer,
  mirrorsOf,
  type OnDemandRoutes,
  onDemandRoutes,
  virtualHostsOf,
} from './routes.ts';

export interface OnDemandClass {
  /** What its routes were made from. */
  readonly source: readonly Draft[];
  readonly listeners: readonly Draft[];
  /** In two forms that take turns. Where virtual hosts aren't on demand, both are the same list. */
  readonly routes: readonly [readonly Draft[], readonly Draft[]];
  /** Candidates for clusters that are needed without being asked for. */
  readonly clusters: readonly string[];
  /** Clusters that are asked for otherwise than through a virtual host on demand; undefined: any may be. */
  readonly lasting: ReadonlySet<string> | undefined;
  /** By name, those whose virtual hosts are asked for. */
  readonly hosted: ReadonlyMap<string, OnDemandRoutes>;
}

/** Of one class: `previous` was made for the same. */
export function onDemandClass(
  { proxyClass }: Scope,
  { listeners: source, routes, extensions }: ClassResources,
  previous: OnDemandClass | undefined,
): OnDemandClass {
  const listeners = onDemandListeners(source);
  const hosts = proxyClass.onDemand?.hosts === true;
  const next: OnDemandClass = {
    ...(previous?.source === routes ? previous : turningRoutes(hosts ? routes.filter(isShared) : [], routes, previous)),
    source: routes,
    listeners: keepList(previous?.listeners, listeners.drafts),
    clusters: keepList(previous?.clusters, neededClusters(listeners, routes, extensions)),
    lasting: hosts ? lastingClusters(listeners, routes) : undefined,
  };
  return previous !== undefined && same(previous, next) ? previous : next;
}

function turningRoutes(
  shared: readonly Draft[],
  all: readonly Draft[],
  previous: OnDemandClass | undefined,
): Pick<OnDemandClass, 'hosted' | 'routes'> {
  const hosted = new Map(
    shared.map((draft) => [draft.name, onDemandRoutes(draft, previous?.hosted.get(draft.name))] as const),
  );
  const inForm = (form: 0 | 1): readonly Draft[] =>
    keepList(
      previous?.routes[form],
      all.map((draft) => hosted.get(draft.name)?.shells[form] ?? draft),
    );
  return { hosted, routes: [inForm(0), inForm(1)] };
}

/** Routes of one service's own address are one virtual host for all authorities. */
function isShared({ name }: Draft): boolean {
  return parseRouteName(name)?.kind !== 'sniffed';
}

const neededClusters = memo(
  (listeners: OnDemandListeners, routes: readonly Draft[], extensions: readonly Draft[]): readonly string[] => [
    ...new Set([...listeners.clusters, ...extensions.flatMap(namesIn), ...routes.flatMap(mirrorsIn)]),
  ],
);

const mirrorsIn = memo((draft: Draft): readonly string[] =>
  virtualHostsOf(draft).flatMap((host) => mirrorsOf(host.message)),
);

/** User-written patches may make a route lead to where a header says. */
const lastingClusters = memo(
  ({ tcp }: OnDemandListeners, routes: readonly Draft[]): ReadonlySet<string> | undefined => {
    const shared = routes.filter(isShared);
    if (shared.some((draft) => hostsOf(draft) === undefined)) return undefined;
    return new Set([...tcp, ...routes.flatMap((draft) => (isShared(draft) ? [] : namesIn(draft)))]);
  },
);

function same(a: OnDemandClass, b: OnDemandClass): boolean {
  return a.listeners === b.listeners && a.source === b.source && a.clusters === b.clusters && a.lasting === b.lasting;
}

export interface OnDemandListeners {
  readonly drafts: readonly Draft[];
  readonly clusters: readonly string[];
  readonly tcp: readonly string[];
}

/** Of a class or a workload. */
export const onDemandListeners = memo((drafts: readonly Draft[]): OnDemandListeners => {
  const made = drafts.map((draft) => onDemandListener(draft));
  return {
    drafts: made.map(({ draft }) => draft),
    clusters: [...new Set(made.flatMap(({ clusters }) => clusters))],
    tcp: [...new Set(made.flatMap(({ tcp }) => tcp))],
  };
});

const namesIn = memo((draft: Draft): readonly string[] => {
  const names = new Set<string>();
  addClusterNames(draft.bytes, names);
  return [...names];
});

/** The answer to `ROUTE/AUTHORITY`; undefined for a name that isn't of that form. */
export function virtualHostAnswer({ hosted }: OnDemandClass, name: string): HostAnswer | undefined {
  const slash = name.lastIndexOf('/');
  if (slash < 0) return undefined;
  return hostAnswer(hosted.get(name.slice(0, slash)), name, name.slice(slash + 1));
}
