// Translation as a whole: what one class of proxies, and one workload, is given.
// In: a scope, a workload. Out: drafts. Called by the plane; every part keeps what it made before and reuses it by identity.

import type { Finding } from '../config/object.ts';
import type { Draft } from '../ir/draft.ts';
import type { ProxyClass, Workload } from '../ir/proxy.ts';
import type { Scope } from '../ir/snapshot.ts';
import type { DestinationRule } from '../ir/traffic.ts';
import type { Steps } from '../lib/steps.ts';
import { memo } from '../lib/memo.ts';
import { keepList, type Table, tableGet } from '../lib/table.ts';
import { inboundClusters, type OutboundClusters, outboundClusters, placedClusters } from './clusters/index.ts';
import { type EndpointAssignments, endpointAssignments } from './endpoints/index.ts';
import { selfAssignments } from './endpoints/self.ts';
import {
  type Patchable,
  type PatchedClass,
  type PatchedWorkload,
  patchedClass,
  patchedWorkload,
  type Surroundings,
} from './envoyfilter/index.ts';
import { extensionConfigs } from './extensions/config.ts';
import { gatewayListeners } from './gateway/listeners.ts';
import { gatewayRouteFindings, gatewayRoutes } from './gateway/routes.ts';
import { type WorkloadGround, workloadGround } from './ground.ts';
import { inboundListeners, type OutboundListeners, outboundListeners, workloadListeners } from './listeners/index.ts';
import { nameTable } from './nametable/index.ts';
import { type OutboundRoutes, outboundRoutesSteps } from './routes/index.ts';

/** Resources that all proxies of a class share. */
export interface ClassResources {
  readonly clusters: Table<readonly Draft[]>;
  readonly endpoints: Table<readonly Draft[]>;
  readonly listeners: readonly Draft[];
  readonly routes: readonly Draft[];
  readonly extensions: readonly Draft[];
  /** Made when somebody asks: few proxies do. */
  readonly nameTable: () => Draft;
  /** What the resources of its workloads are made from. */
  readonly ground: WorkloadGround;
  readonly surroundings: Surroundings;
  /** What the parts start from next time. */
  readonly parts: ClassParts;
}

interface ClassParts {
  readonly clusters: OutboundClusters;
  readonly endpoints: EndpointAssignments;
  /** Of sidecars. */
  readonly placeless?: PlacelessParts | undefined;
  /** As they are without EnvoyFilters. */
  readonly rendered: Patchable;
  readonly patched: PatchedClass;
}

/** Resources of one workload, beside those of its class. */
export interface WorkloadResources extends PatchedWorkload {
  /** Of proxies that want to know the other pods of their workload. */
  readonly endpoints: readonly Draft[];
}

/**
 * In steps: of a large mesh this is long work. `previous`: what the class had before; `kin`: what another one has, for a class
 * that is new. Services that both see alike are not looked at.
 */
export function* translateClass(
  scope: Scope,
  previous: ClassResources | undefined,
  kin?: ClassResources,
): Steps<ClassResources> {
  const parts = yield* renderedParts(scope, previous?.parts, kin?.parts);
  yield;
  const patched = yield* patchedClass(scope, parts.rendered, previous?.parts.patched);
  const { clusters, endpoints, listeners, routes } = patched;
  const names = parts.placeless?.names ?? { scope: undefined, draft: undefined };
  const named = scope.placeless ?? scope;
  return {
    clusters,
    endpoints,
    listeners,
    routes,
    extensions: keepList(previous?.extensions, extensionConfigs(scope)),
    nameTable: () => latestNames(names, named),
    ground: workloadGround(scope, parts.placeless?.listeners.named, previous?.ground),
    surroundings: keptSurroundings(previous?.surroundings, { clusters, listeners }),
    parts: { patched, ...parts },
  };
}

/** The table that was last asked for. */
interface LatestNames {
  scope: WeakRef<Scope> | undefined;
  draft: Draft | undefined;
}

/** The next table starts from the one before, whoever asked for it. */
function latestNames(latest: LatestNames, scope: Scope): Draft {
  if (latest.draft !== undefined && latest.scope?.deref() === scope) return latest.draft;
  latest.draft = nameTable(scope, latest.draft);
  latest.scope = new WeakRef(scope);
  return latest.draft;
}

function keptSurroundings(before: Surroundings | undefined, next: Surroundings): Surroundings {
  return before?.clusters === next.clusters && before.listeners === next.listeners ? before : next;
}

function* renderedParts(
  scope: Scope,
  before: ClassParts | undefined,
  kin: ClassParts | undefined,
): Steps<Omit<ClassParts, 'patched'>> {
  if (scope.proxyClass.type === 'router') {
    const clusters = yield* outboundClusters(scope, (before ?? kin)?.clusters);
    const endpoints = yield* endpointAssignments(scope, (before ?? kin)?.endpoints);
    const listeners = gatewayListeners(scope, before?.rendered.listeners);
    const routes = gatewayRoutes(scope, before?.rendered.routes);
    return {
      clusters,
      endpoints,
      rendered: { clusters: clusters.table, endpoints: endpoints.table, listeners, routes },
    };
  }
  const placeless = yield* placelessParts(scope, before?.placeless, kin?.placeless);
  const { listeners, routes } = placeless;
  const clusters =
    scope.placeless === undefined ? placeless.clusters : placedClusters(scope, placeless.clusters, before?.clusters);
  const endpoints = yield* endpointAssignments(scope, (before ?? kin)?.endpoints);
  const tables = { clusters: clusters.table, endpoints: endpoints.table };
  return {
    clusters,
    endpoints,
    placeless,
    rendered: { listeners: listeners.drafts, routes: routes.drafts, ...tables },
  };
}

/** What is the same for all classes that differ in place alone. */
interface PlacelessParts {
  readonly scope: Scope;
  readonly clusters: OutboundClusters;
  readonly listeners: OutboundListeners;
  readonly routes: OutboundRoutes;
  readonly names: LatestNames;
}

/** What was last made for a placeless class, while a class has it: it is made once for all, and the next starts from it. */
const latestParts = new WeakMap<ProxyClass, WeakRef<PlacelessParts>>();

function* placelessParts(
  placed: Scope,
  previous: PlacelessParts | undefined,
  kin: PlacelessParts | undefined,
): Steps<PlacelessParts> {
  const scope = placed.placeless ?? placed;
  const latest = placed.placeless === undefined ? undefined : latestParts.get(scope.proxyClass)?.deref();
  if (latest?.scope === scope) return latest;
  const before = previous ?? latest ?? kin;
  const clusters = yield* outboundClusters(scope, before?.clusters);
  const listeners = outboundListeners(scope, before?.listeners);
  yield;
  const routes = yield* outboundRoutesSteps(scope, before?.routes);
  const names = (previous ?? latest)?.names ?? { scope: undefined, draft: kin?.names.draft };
  const parts = { scope, clusters, listeners, routes, names };
  if (placed.placeless !== undefined) latestParts.set(scope.proxyClass, new WeakRef(parts));
  return parts;
}

/** What is wrong with routes and patches under this scope; found when asked for. */
export function classFindings(scope: Scope, { parts }: ClassResources): readonly Finding[] {
  const routes =
    scope.proxyClass.type === 'router'
      ? gatewayRouteFindings(parts.rendered.routes)
      : (parts.placeless?.routes.findings ?? []);
  return [...routes, ...parts.patched.findings()];
}

/** `shared`: what the workload's class was given under this scope. */
export function translateWorkload(scope: Scope, workload: Workload, shared: ClassResources): WorkloadResources {
  const { ground, surroundings } = shared;
  const patched = ground.policies.envoyFilters.length > 0 || workload.policies.envoyFilters.length > 0;
  const rules = workload.targets.map(({ service }) => tableGet(scope.services, service.hostname)?.rule);
  const own = workloadResources(workload, ground, patched ? surroundings : undefined, ...rules);
  return withEndpoints(own, selfAssignments(scope, workload));
}

/** Counted by tests. `rules`: those of the services that the workload is part of, in the order of its targets. */
export const workloadResources = memo(
  (
    workload: Workload,
    ground: WorkloadGround,
    surroundings: Surroundings | undefined,
    ...rules: readonly (DestinationRule | undefined)[]
  ): PatchedWorkload => {
    const clusters = inboundClusters(ground, workload, rules);
    const routed = ground.named !== undefined;
    const outbound = routed ? workloadListeners(ground, workload) : NONE;
    const inbound = routed ? inboundListeners(ground, workload) : NONE;
    return patchedWorkload(ground, workload, { clusters, outbound, inbound }, surroundings);
  },
);

const withEndpoints = memo(
  (own: PatchedWorkload, endpoints: readonly Draft[]): WorkloadResources => ({ endpoints, ...own }),
);

const NONE: readonly Draft[] = [];
