// What differs between the tables of two builds, kind by kind.

import type { ConfigObject } from '../config/object.ts';
import { type Change, changesBetween } from './groups.ts';
import type { EndpointSlice, KubeService, Node, Pod, RegistryTables, ServiceEntry, WorkloadEntry } from './input.ts';

export interface ChangeSet {
  readonly services: readonly Change<KubeService>[];
  readonly pods: readonly Change<Pod>[];
  readonly nodes: readonly Change<Node>[];
  readonly namespaces: readonly Change<ConfigObject>[];
  readonly slices: readonly Change<EndpointSlice>[];
  readonly serviceEntries: readonly Change<ServiceEntry>[];
  readonly workloadEntries: readonly Change<WorkloadEntry>[];
  readonly empty: boolean;
}

export function changeSet(before: RegistryTables | undefined, after: RegistryTables): ChangeSet {
  const changes = {
    services: changesBetween(before?.services, after.services),
    pods: changesBetween(before?.pods, after.pods),
    nodes: changesBetween(before?.nodes, after.nodes),
    namespaces: changesBetween(before?.namespaces, after.namespaces),
    slices: changesBetween(before?.slices, after.slices),
    serviceEntries: changesBetween(before?.serviceEntries, after.serviceEntries),
    workloadEntries: changesBetween(before?.workloadEntries, after.workloadEntries),
  };
  return { ...changes, empty: Object.values(changes).every((list) => list.length === 0) };
}
