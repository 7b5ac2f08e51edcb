// Which labels the present configuration can tell apart. Proxies that differ in other labels only get the same outbound
// configuration, so those labels are left out of their class: a thousand workloads of a namespace, each with its own
// `app` label, are one class.

import type { DestinationRuleSpec, EnvoyFilterSpec, TrafficPolicy } from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';
import type { Service } from '../ir/service.ts';
import type { VirtualService } from '../ir/traffic.ts';
import { memo } from '../lib/memo.ts';
import { compareStrings, sortedEntries } from '../lib/order.ts';
import { type Derived, deriveTable, keepList, type Table, tableGet, tableValues } from '../lib/table.ts';
import { keepMembers } from './keep.ts';
import { type Labels, type Selecting, selectorOf } from './selection.ts';
import type { LinkSettings } from './settings.ts';

type Objects = readonly ConfigObject<Selecting>[];
type Mentions = readonly string[];

const NOTHING: Mentions = [];

/** Label that stands for the node; failover by it makes the node part of the class. */
const HOSTNAME_LABEL = 'kubernetes.io/hostname';

export interface LabelUniverse {
  /** Per kind of selecting object: `key=value` pairs of each namespace's selectors. */
  readonly selectors: readonly Derived<Objects, Mentions>[];
  readonly sources: Derived<VirtualService, Mentions>;
  readonly failover: Derived<readonly ConfigObject<DestinationRuleSpec>[], Mentions>;
  readonly metadata: Derived<readonly ConfigObject<EnvoyFilterSpec>[], Mentions>;
  readonly nodeBound: Derived<readonly Service[], true>;
  /** Pairs that VirtualServices anywhere ask of sources. */
  readonly sourcePairs: Mentions;
  /** Names of labels by which something fails over. */
  readonly failoverKeys: Mentions;
  /** True when a class has to name its node. */
  readonly usesNode: boolean;
}

export interface UniverseInput {
  readonly settings: LinkSettings;
  /** Tables of objects by namespace: Sidecar, DestinationRule, EnvoyFilter, Telemetry, WasmPlugin, TrafficExtension. */
  readonly selecting: readonly Table<Objects>[];
  readonly virtualServices: Table<VirtualService>;
  readonly destinationRules: Table<readonly ConfigObject<DestinationRuleSpec>[]>;
  readonly envoyFilters: Table<readonly ConfigObject<EnvoyFilterSpec>[]>;
  readonly services: Table<readonly Service[]>;
}

export function labelUniverse(previous: LabelUniverse | undefined, input: UniverseInput): LabelUniverse {
  const selectors = input.selecting.map((table, index) =>
    deriveTable(previous?.selectors[index], table, [], (objects, _namespace, before) =>
      mentions(
        before,
        objects.flatMap((object) => pairs(selectorOf(object.spec))),
      ),
    ),
  );
  const sources = deriveTable(previous?.sources, input.virtualServices, [], (node, _key, before) =>
    mentions(before, sourceLabelsOf(node).flatMap(pairs)),
  );
  const failover = deriveTable(previous?.failover, input.destinationRules, [], (objects, _namespace, before) =>
    mentions(
      before,
      objects.flatMap((object) => failoverKeysOf(object.spec)),
    ),
  );
  const metadata = deriveTable(previous?.metadata, input.envoyFilters, [], (objects, _namespace, before) =>
    mentions(before, objects.flatMap(matchedMetadata)),
  );
  const nodeBound = deriveTable(previous?.nodeBound, input.services, [], (services) =>
    services.some((service) => service.nodeLocal || service.trafficDistribution === 'PreferSameNode')
      ? true
      : undefined,
  );
  const meshKeys = input.settings.failoverPriority.map(keyOf);
  const failoverKeys = unique([...meshKeys, ...[...tableValues(failover.output)].flat()]);
  return keepMembers(previous, {
    selectors: keepList(previous?.selectors, selectors),
    sources,
    failover,
    metadata,
    nodeBound,
    sourcePairs: keepList(previous?.sourcePairs, unique([...tableValues(sources.output)].flat())),
    failoverKeys: keepList(previous?.failoverKeys, failoverKeys),
    usesNode: nodeBound.output.size > 0 || failoverKeys.includes(HOSTNAME_LABEL),
  });
}

/** What a class of this namespace depends on: the same objects as long as the same labels are mentioned. */
export function mentionsFor(universe: LabelUniverse, settings: LinkSettings, namespace: string): readonly unknown[] {
  const lists: unknown[] = [universe.sourcePairs, universe.failoverKeys, universe.usesNode];
  for (const each of universe.selectors) {
    lists.push(tableGet(each.output, namespace) ?? NOTHING, tableGet(each.output, settings.rootNamespace) ?? NOTHING);
  }
  lists.push(tableGet(universe.metadata.output, namespace), tableGet(universe.metadata.output, settings.rootNamespace));
  return lists;
}

/** The labels that something of the configuration can see, sorted by name. */
export function projectLabels(
  universe: LabelUniverse,
  settings: LinkSettings,
  namespace: string,
  labels: Labels,
): Labels {
  const lists = [universe.sourcePairs];
  for (const each of universe.selectors) {
    lists.push(tableGet(each.output, namespace) ?? NOTHING, tableGet(each.output, settings.rootNamespace) ?? NOTHING);
  }
  const sets = lists.filter((list) => list.length > 0).map((list) => setOf(list));
  const keys = setOf(universe.failoverKeys);
  const seen = sortedEntries(labels).filter(([key, value]) => {
    const pair = pairOf(key, value);
    return keys.has(key) || sets.some((set) => set.has(pair));
  });
  return Object.fromEntries(seen);
}

/** The node metadata that an EnvoyFilter in reach matches on. */
export function projectMetadata(
  universe: LabelUniverse,
  settings: LinkSettings,
  namespace: string,
  metadata: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const keys = new Set([
    ...(tableGet(universe.metadata.output, settings.rootNamespace) ?? NOTHING),
    ...(tableGet(universe.metadata.output, namespace) ?? NOTHING),
  ]);
  return Object.fromEntries(sortedEntries(metadata).filter(([key]) => keys.has(key)));
}

const setOf = memo((list: Mentions): ReadonlySet<string> => new Set(list));

function mentions(before: Mentions | undefined, found: readonly string[]): Mentions | undefined {
  return found.length === 0 ? undefined : keepList(before, unique(found));
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)].sort(compareStrings);
}

function pairOf(key: string, value: string): string {
  return `${key}=${value}`;
}

function pairs(labels: Labels | undefined): readonly string[] {
  return Object.entries(labels ?? {}).map(([key, value]) => pairOf(key, value));
}

function sourceLabelsOf(node: VirtualService): readonly Labels[] {
  const routes: readonly { readonly match?: readonly { readonly sourceLabels?: Labels | undefined }[] | undefined }[] =
    [...node.http, ...node.tls, ...node.tcp];
  return routes.flatMap((route) =>
    (route.match ?? []).flatMap((match) => (match.sourceLabels === undefined ? [] : [match.sourceLabels])),
  );
}

/** `label` or `label=value`. */
function keyOf(priority: string): string {
  return priority.split('=', 1)[0] ?? '';
}

function failoverKeysOf(spec: DestinationRuleSpec): readonly string[] {
  const policies = [spec.trafficPolicy, ...(spec.subsets ?? []).map((subset) => subset.trafficPolicy)];
  return policies.flatMap((policy) => (policy === undefined ? [] : policyKeys(policy)));
}

function policyKeys(policy: TrafficPolicy): readonly string[] {
  const balancers = [policy.loadBalancer, ...(policy.portLevelSettings ?? []).map((port) => port.loadBalancer)];
  return balancers
    .flatMap((each) => [
      ...(each?.localityLbSetting?.failoverPriority ?? []),
      ...(each?.zoneAwareLbSetting?.failoverPriority ?? []),
    ])
    .map(keyOf);
}

function matchedMetadata(object: ConfigObject<EnvoyFilterSpec>): readonly string[] {
  return (object.spec.configPatches ?? []).flatMap((patch) => Object.keys(patch.match?.proxy?.metadata ?? {}));
}
