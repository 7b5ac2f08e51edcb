// Changes of which it is known that the rest follows within moments.
// In: the store's tables, before and after. Out: whether to wait for the rest. Called where the store tells of changes.

import { tableDiff } from '../lib/table.ts';
import type { KubeService } from '../registry/input.ts';
import { selectorOwner } from '../registry/selectors.ts';
import type { StoreState } from '../store/state.ts';

type Tables = StoreState['byKind'];

/**
 * True where nothing has changed but that Services came which select Pods: Kubernetes writes the EndpointSlices of a Service after
 * the Service. Nobody can call it before, and its clusters are others as soon as it is known who serves it.
 */
export function awaitsSlices(after: Tables, before: Tables): boolean {
  if (after.Service === before.Service) return false;
  for (const kind in after) {
    if (kind !== 'Service' && after[kind as keyof Tables] !== before[kind as keyof Tables]) return false;
  }
  for (const [, old, service] of tableDiff(before.Service, after.Service)) {
    if (old !== undefined || selectorOwner(service as KubeService) === undefined) return false;
  }
  return true;
}
