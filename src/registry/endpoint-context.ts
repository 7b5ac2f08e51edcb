// What a build of endpoints may look at. Every look-up of something that can change on its own is recorded.

import { type Table, tableGet } from '../lib/table.ts';
import type { Placement } from './facts.ts';
import type { Findings } from './findings.ts';
import type { EndpointSlice, Node, Pod, RegistryOptions, RegistryTables, WorkloadEntry } from './input.ts';
import { ipKey, membersKey, nodeKey, podKey, type ReadLog, sliceKey } from './reads.ts';
import type { WorkloadsState } from './workloads.ts';

/** Settings that endpoints depend on, beside their placement. */
export type EndpointOptions = Pick<RegistryOptions, 'mode' | 'dualStack' | 'sessionLabels'>;

export interface EndpointContext {
  readonly options: EndpointOptions;
  readonly placement: Placement;
  readonly findings: Findings;
  pod(namespace: string, name: string): Pod | undefined;
  /** A Pod of the namespace that has the address. */
  podByIp(namespace: string, ip: string): Pod | undefined;
  node(name: string | undefined): Node | undefined;
  /** Sorted by name. */
  slices(namespace: string, service: string): readonly EndpointSlice[];
  /** Workloads that the owner of a selector has, sorted by name. */
  selectedPods(owner: string): readonly Pod[];
  selectedEntries(owner: string): readonly WorkloadEntry[];
}

export interface EndpointSources {
  readonly tables: RegistryTables;
  readonly slices: Table<readonly EndpointSlice[]>;
  readonly workloads: WorkloadsState;
  readonly placement: Placement;
  readonly options: EndpointOptions;
}

export function endpointContext(sources: EndpointSources, log: ReadLog, findings: Findings): EndpointContext {
  const { tables, workloads } = sources;
  const read = <V>(key: string, table: Table<V>, tableKey: string): V | undefined => {
    log.add(key);
    return tableGet(table, tableKey);
  };
  return {
    options: sources.options,
    placement: sources.placement,
    findings,
    pod: (namespace, name) => read(podKey(`${namespace}/${name}`), tables.pods, `${namespace}/${name}`),
    podByIp: (namespace, ip) => read(ipKey(ip), workloads.podsByIp, ip)?.find((pod) => pod.namespace === namespace),
    node: (name) => (name === undefined || name === '' ? undefined : read(nodeKey(name), tables.nodes, `/${name}`)),
    slices: (namespace, service) =>
      read(sliceKey(`${namespace}/${service}`), sources.slices, `${namespace}/${service}`) ?? [],
    selectedPods: (owner) => read(membersKey(owner), workloads.podMembers, owner) ?? [],
    selectedEntries: (owner) => read(membersKey(owner), workloads.entryMembers, owner) ?? [],
  };
}
