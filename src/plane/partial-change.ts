// Changes of which it is known that the rest follows within moments.
// In: the store's tables, before and after. Out: whether to wait for the rest. Called where the store tells of changes.

import { deepEqual } from '../lib/equal.ts';
import { memo } from '../lib/memo.ts';
import { type Table, tableDiff, tableValues } from '../lib/table.ts';
import type { KubeService, ServiceEntry } from '../registry/input.ts';
import { selectorOwner } from '../registry/selectors.ts';
import type { StoreState } from '../store/state.ts';

type Tables = StoreState['byKind'];
type Judge = (after: Tables, before: Tables) => boolean;

/**
 * True where nothing has changed but what Kubernetes writes EndpointSlices after: Services that came and select Pods, and Pods that
 * came, went, or are in another state. Nobody can call them before, and what is made of them is made again with the slices.
 */
export function awaitsSlices(after: Tables, before: Tables): boolean {
  let awaits = false;
  for (const kind in after) {
    if (after[kind as keyof Tables] === before[kind as keyof Tables]) continue;
    awaits = JUDGES[kind]?.(after, before) === true;
    if (!awaits) return false;
  }
  return awaits;
}

const JUDGES: Readonly<Record<string, Judge | undefined>> = {
  Service: (after, before) => {
    for (const [, old, service] of tableDiff(before.Service, after.Service)) {
      if (old !== undefined || selectorOwner(service as KubeService) === undefined) return false;
    }
    return true;
  },
  Pod: (after, before) => {
    if (selectingEntries(after.ServiceEntry as Table<ServiceEntry>)) return false;
    for (const [, old, pod] of tableDiff(before.Pod, after.Pod)) {
      if (old === undefined || pod === undefined) continue;
      // Subsets and policies go by them, which no slice tells of.
      if (!deepEqual(old.labels, pod.labels) || !deepEqual(old.annotations, pod.annotations)) return false;
    }
    return true;
  },
};

/** Where a ServiceEntry selects workloads, Pods are its endpoints without any slice. */
const selectingEntries = memo((entries: Table<ServiceEntry>): boolean => {
  for (const entry of tableValues(entries)) if (selectorOwner(entry) !== undefined) return true;
  return false;
});
