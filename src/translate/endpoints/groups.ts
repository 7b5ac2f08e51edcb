// Endpoints by locality, and how localities are weighed and ranked for one proxy.

import type { LocalityLoadBalancerSetting, ZoneAwareLoadBalancerSetting } from '../../config/generated/types.ts';
import type { Endpoint } from '../../ir/endpoint.ts';
import { compareStrings } from '../../lib/order.ts';
import { type LocalityRanking, NETWORK_LABEL, type TopologyFacts, topologyValue } from './locality-setting.ts';

/** An endpoint with the weight that it has in this assignment. */
export interface WeightedEndpoint {
  readonly endpoint: Endpoint;
  readonly weight: number;
  /** By what labels rank it, where that isn't the endpoint: a gateway has a network and no other place. */
  readonly facts?: TopologyFacts | undefined;
}

export interface LocalityGroup {
  readonly locality: string;
  readonly endpoints: readonly WeightedEndpoint[];
  readonly weight: number;
  readonly priority: number;
}

/** Groups in order of locality; a locality weighs what its endpoints weigh together. */
export function byLocality(endpoints: readonly WeightedEndpoint[]): readonly LocalityGroup[] {
  const groups = new Map<string, WeightedEndpoint[]>();
  for (const weighted of endpoints) {
    const group = groups.get(weighted.endpoint.locality);
    if (group === undefined) groups.set(weighted.endpoint.locality, [weighted]);
    else group.push(weighted);
  }
  return [...groups]
    .sort((a, b) => compareStrings(a[0], b[0]))
    .map(([locality, members]) => ({ locality, endpoints: members, weight: total(members), priority: 0 }));
}

function total(members: readonly WeightedEndpoint[]): number {
  return members.reduce((sum, { weight }) => sum + weight, 0);
}

/** Ranks and weighs localities from where `proxy` stands. */
export function rankLocalities(
  groups: readonly LocalityGroup[],
  ranking: LocalityRanking,
  proxy: TopologyFacts,
): readonly LocalityGroup[] {
  return ranking.kind === 'zones'
    ? byRegion(groups, ranking.setting, proxy)
    : applyLocality(groups, ranking.setting, proxy);
}

/** Own region first, then the one to fail over to, then the rest: within the first rank Envoy balances zones. */
function byRegion(
  groups: readonly LocalityGroup[],
  { failover = [], failoverPriority = [] }: ZoneAwareLoadBalancerSetting,
  proxy: TopologyFacts,
): readonly LocalityGroup[] {
  const split =
    failoverPriority.length > 0 ? groups.flatMap((group) => splitByLabels(group, failoverPriority, proxy)) : groups;
  const own = regionOf(proxy.locality);
  const next = failover.find((entry) => entry.from === own)?.to;
  const rank = (region: string): number => (region === own ? 0 : region === next ? 1 : 2);
  return renumbered(
    split.map((group) => ({ ...group, priority: group.priority * 3 + rank(regionOf(group.locality)) })),
  );
}

function regionOf(locality: string): string {
  return locality.split('/')[0] ?? '';
}

function applyLocality(
  groups: readonly LocalityGroup[],
  setting: LocalityLoadBalancerSetting,
  proxy: TopologyFacts,
): readonly LocalityGroup[] {
  const { distribute = [], failover = [], failoverPriority = [] } = setting;
  if (distribute.length > 0) return distributed(groups, setting, proxy);
  if (failoverPriority.length > 0) {
    const split = groups.flatMap((group) => splitByLabels(group, failoverPriority, proxy));
    if (failover.length === 0) return renumbered(split);
    return renumbered(
      split.map((group) => ({ ...group, priority: group.priority * 5 + regional(group.locality, failover, proxy) })),
    );
  }
  return renumbered(groups.map((group) => ({ ...group, priority: regional(group.locality, failover, proxy) })));
}

/** `distribute`: the first entry for the proxy's locality shares out 100 percent; what it doesn't name gets nothing. */
function distributed(
  groups: readonly LocalityGroup[],
  setting: LocalityLoadBalancerSetting,
  proxy: TopologyFacts,
): readonly LocalityGroup[] {
  const rule = setting.distribute?.find((entry) => covers(entry.from ?? '', proxy.locality));
  if (rule === undefined) return groups;
  const shares = Object.entries(rule.to ?? {}).sort((a, b) => compareStrings(a[0], b[0]));
  const claimed = new Map<string, number>();
  for (const [pattern, share] of shares) {
    const matched = groups.filter((group) => !claimed.has(group.locality) && covers(pattern, group.locality));
    const sum = matched.reduce((weight, group) => weight + group.weight, 0);
    for (const group of matched) claimed.set(group.locality, Math.ceil((share * group.weight) / Math.max(sum, 1)));
  }
  return groups.map((group) => {
    const weight = claimed.get(group.locality);
    return weight === undefined ? { ...group, endpoints: [] } : { ...group, weight };
  });
}

/** `us-west/a/*` covers every locality of that zone; missing and `*` parts cover everything. */
function covers(pattern: string, locality: string): boolean {
  const parts = locality.split('/');
  return pattern.split('/').every((part, i) => part === '*' || part === '' || part === (parts[i] ?? ''));
}

/** 0 same place … 3 elsewhere; with a rule for the proxy's region its target is 3 and the rest of the world 4. */
function regional(
  locality: string,
  failover: NonNullable<LocalityLoadBalancerSetting['failover']>,
  proxy: TopologyFacts,
): number {
  const [region = '', zone = '', subzone = ''] = locality.split('/');
  const [ownRegion = '', ownZone = '', ownSubzone = ''] = proxy.locality.split('/');
  if (region === ownRegion) return zone !== ownZone ? 2 : subzone !== ownSubzone ? 1 : 0;
  const rule = failover.find((entry) => entry.from === ownRegion);
  return rule === undefined || rule.to === region ? 3 : 4;
}

/** Endpoints of one locality may differ in their labels, and so in their rank. */
function splitByLabels(
  group: LocalityGroup,
  labels: readonly string[],
  proxy: TopologyFacts,
): readonly LocalityGroup[] {
  const ranks = new Map<number, WeightedEndpoint[]>();
  for (const weighted of group.endpoints) {
    const rank = labelRank(weighted.facts ?? weighted.endpoint, labels, proxy);
    const members = ranks.get(rank);
    if (members === undefined) ranks.set(rank, [weighted]);
    else members.push(weighted);
  }
  return [...ranks]
    .sort((a, b) => a[0] - b[0])
    .map(([priority, endpoints]) => ({ ...group, endpoints, weight: total(endpoints), priority }));
}

/** The earlier in the list the first label that differs, the worse. Another network is worse than any of the rest. */
function labelRank(endpoint: TopologyFacts, labels: readonly string[], proxy: TopologyFacts): number {
  const differs = (label: string): boolean => {
    const equals = label.indexOf('=');
    const key = equals < 0 ? label : label.slice(0, equals);
    const wanted = equals < 0 ? topologyValue(key, proxy) : label.slice(equals + 1);
    const found = key === NETWORK_LABEL ? (endpoint.labels[key] ?? '') : topologyValue(key, endpoint);
    return found !== wanted;
  };
  const [first, ...rest] = labels;
  if (first === NETWORK_LABEL && differs(first)) {
    const next = rest.findIndex(differs);
    return labels.length + (next < 0 ? 0 : rest.length - next);
  }
  const index = labels.findIndex(differs);
  return index < 0 ? 0 : labels.length - index;
}

/** Envoy wants priorities without gaps, from 0. */
function renumbered(groups: readonly LocalityGroup[]): readonly LocalityGroup[] {
  const used = [...new Set(groups.map((group) => group.priority))].sort((a, b) => a - b);
  return groups.map((group) => ({ ...group, priority: used.indexOf(group.priority) }));
}
