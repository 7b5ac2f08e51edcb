// Workloads by address and by who selects them.
// In: changes of Pods, WorkloadEntries, Services and ServiceEntries. Out: the next indexes and which of their keys differ.

import type { WorkloadEntrySpec } from '../config/generated/types.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { emptyTable, sameList, type Table, tableGet } from '../lib/table.ts';
import type { ChangeSet } from './change-set.ts';
import { workloadEntryLabels } from './facts.ts';
import { regroup } from './groups.ts';
import type { Pod, RegistryOptions, RegistryTables, ServiceEntry, WorkloadEntry } from './input.ts';
import { ipKey, membersKey, podKey } from './reads.ts';
import { indexSelectors, ownerChanges, type SelectorIndex, updateMembers } from './selectors.ts';

export interface WorkloadsState {
  readonly podsByIp: Table<readonly Pod[]>;
  readonly entriesByIp: Table<readonly WorkloadEntry[]>;
  /** ServiceEntries by the addresses of the endpoints written into them. */
  readonly inlineByIp: Table<readonly ServiceEntry[]>;
  readonly selectors: SelectorIndex;
  /** Those among them that want to know their Pods. */
  readonly podSelectors: SelectorIndex;
  /** By selector owner. */
  readonly podMembers: Table<readonly Pod[]>;
  readonly entryMembers: Table<readonly WorkloadEntry[]>;
}

export const NO_WORKLOADS: WorkloadsState = {
  podsByIp: emptyTable(),
  entriesByIp: emptyTable(),
  inlineByIp: emptyTable(),
  selectors: emptyTable(),
  podSelectors: emptyTable(),
  podMembers: emptyTable(),
  entryMembers: emptyTable(),
};

export interface WorkloadsStep {
  readonly state: WorkloadsState;
  /** Read keys (reads.ts) whose values differ. */
  readonly touched: readonly string[];
}

const compareObjects = orderBy<{ readonly namespace: string; readonly name: string }>(
  (a, b) => compareStrings(a.namespace, b.namespace),
  (a, b) => compareStrings(a.name, b.name),
);

const compareEntries = orderBy<ServiceEntry>((a, b) => compareNumbers(a.created, b.created), compareObjects);

export function updateWorkloads(
  state: WorkloadsState,
  tables: RegistryTables,
  changes: ChangeSet,
  options: RegistryOptions,
): WorkloadsStep {
  const podsByIp = regroup(state.podsByIp, changes.pods, podIps, compareObjects);
  const entriesByIp = regroup(state.entriesByIp, changes.workloadEntries, entryIps, compareObjects);
  const inlineByIp = regroup(state.inlineByIp, changes.serviceEntries, inlineIps, compareEntries);
  const owners = ownerChanges([...changes.services, ...changes.serviceEntries]);
  // With Kubernetes the endpoint slices say which Pods a Service has.
  const podOwners = options.mode === 'files' ? owners : ownerChanges(changes.serviceEntries);
  const selectors = indexSelectors(state.selectors, owners).index;
  const podSelectors = indexSelectors(state.podSelectors, podOwners).index;
  const podMembers = updateMembers(state.podMembers, {
    objects: tables.pods,
    changes: changes.pods,
    index: podSelectors,
    owners: podOwners,
    labelsOf: (pod) => pod.labels,
  });
  const entryMembers = updateMembers(state.entryMembers, {
    objects: tables.workloadEntries,
    changes: changes.workloadEntries,
    index: selectors,
    owners,
    labelsOf: workloadEntryLabels,
  });
  const next: WorkloadsState = {
    podsByIp: podsByIp.index,
    entriesByIp: entriesByIp.index,
    inlineByIp: inlineByIp.index,
    selectors,
    podSelectors,
    podMembers: podMembers.index,
    entryMembers: entryMembers.index,
  };
  return {
    state: sameList(Object.values(state), Object.values(next)) ? state : next,
    touched: [
      ...changes.pods.map(([key]) => podKey(key)),
      ...podsByIp.touched.map(ipKey),
      ...[...podMembers.touched, ...entryMembers.touched].map(membersKey),
    ],
  };
}

/** Pods that ended keep their address in the status until they are deleted, while another may have it. */
export function isLivePod(pod: Pod): boolean {
  return pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed';
}

function podIps(pod: Pod): Iterable<string> {
  // Pods on the host's network share its address: an address says nothing about which of them is meant.
  if (!isLivePod(pod) || pod.spec.hostNetwork === true) return [];
  const ips = pod.status?.podIPs ?? [];
  return ips.length < 2 ? ips : new Set(ips);
}

function entryIps(entry: WorkloadEntry): readonly string[] {
  return entry.spec.address === undefined || entry.spec.address === '' ? [] : [entry.spec.address];
}

function inlineIps(entry: ServiceEntry): ReadonlySet<string> {
  const endpoints: readonly WorkloadEntrySpec[] =
    entry.spec.workloadSelector === undefined ? (entry.spec.endpoints ?? []) : [];
  return new Set(endpoints.flatMap((endpoint) => (endpoint.address === undefined ? [] : [endpoint.address])));
}

export type KnownWorkload =
  | { readonly kind: 'pod'; readonly pod: Pod }
  | { readonly kind: 'entry'; readonly entry: WorkloadEntry };

/** Workloads that the registry knows, by address. */
export interface WorkloadIndex {
  /** Pods before WorkloadEntries, each by namespace and name. Pods on the host's network are left out. */
  byAddress(ip: string): readonly KnownWorkload[];
}

export function workloadIndex(state: WorkloadsState): WorkloadIndex {
  return {
    byAddress: (ip) => [
      ...(tableGet(state.podsByIp, ip) ?? []).map((pod): KnownWorkload => ({ kind: 'pod', pod })),
      ...(tableGet(state.entriesByIp, ip) ?? []).map((entry): KnownWorkload => ({ kind: 'entry', entry })),
    ],
  };
}
