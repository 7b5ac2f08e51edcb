// Workloads by address and by who selects them.
// In: changes of Pods, WorkloadEntries, Services and ServiceEntries. Out: the next indexes and which of their keys differ.

import type { WorkloadEntrySpec } from '../config/generated/types.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { type Table, emptyTable, sameList, tableGet } from '../lib/table.ts';
import type { ChangeSet } from './change-set.ts';
import { workloadEntryLabels } from './facts.ts';
import { regroup } from './groups.ts';
import type { Pod, RegistryOptions, RegistryTables, ServiceEntry, WorkloadEntry } from './input.ts';
import { ipKey, membersKey, podKey } from './reads.ts';
import { type SelectorIndex, indexSelectors, ownerChanges, updateMembers } from './selectors.ts';

export interface WorkloadsState {
  readonly podsByIp: Table<readonly Pod[]>;
  readonly entriesByIp: Table<readonly WorkloadEntry[]>;
  /** ServiceEntries by the addresses of the endpoints written into them. */
  readonly inlineByIp: Table<readonly ServiceEntry[]>;
  readonly selectors: SelectorIndex;
  /** By selector owner. */
  readonly podMembers: Table<readonly Pod[]>;
  readonly entryMembers: Table<readonly WorkloadEntry[]>;
}

export const NO_WORKLOADS: WorkloadsState = {
  podsByIp: emptyTable(),
  entriesByIp: emptyTable(),
  inlineByIp: emptyTable(),
  selectors: emptyTable(),
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
  const selectors = indexSelectors(state.selectors, owners).index;
  const common = { index: selectors, owners };
  const podMembers = updateMembers(state.podMembers, {
    ...common,
    objects: tables.pods,
    changes: changes.pods,
    // With Kubernetes the endpoint slices say which Pods a Service has.
    wanted: (owner) => options.mode === 'files' || owner.object.kind === 'ServiceEntry',
    labelsOf: (pod) => pod.labels,
  });
  const entryMembers = updateMembers(state.entryMembers, {
    ...common,
    objects: tables.workloadEntries,
    changes: changes.workloadEntries,
    wanted: () => true,
    labelsOf: workloadEntryLabels,
  });
  const next: WorkloadsState = {
    podsByIp: podsByIp.index,
    entriesByIp: entriesByIp.index,
    inlineByIp: inlineByIp.index,
    selectors,
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

function podIps(pod: Pod): ReadonlySet<string> {
  // Pods on the host's network share its address: an address says nothing about which of them is meant.
  return new Set(isLivePod(pod) && pod.spec.hostNetwork !== true ? pod.status?.podIPs : []);
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
