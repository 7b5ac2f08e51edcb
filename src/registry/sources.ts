// Which objects the endpoints of a host were made from: the reads that its last build recorded, as objects.
// In: a registry, a host name. Out: objects. Called for people who ask (explain), never while building.

import type { ConfigObject } from '../config/object.ts';
import { tableGet } from '../lib/table.ts';
import type { Registry } from './registry.ts';

/** Slices, Pods and WorkloadEntries behind a host, each once, in the order of their reads. Nodes and networks are left out. */
export function endpointSources({ state }: Registry, hostname: string): readonly ConfigObject[] {
  const found = new Set<ConfigObject>();
  for (const read of tableGet(state.endpoints.reads.byHost, hostname) ?? []) {
    const blank = read.indexOf(' ');
    const [kind, key] = [read.slice(0, blank), read.slice(blank + 1)];
    for (const object of objectsOf(state, kind, key)) found.add(object);
  }
  return [...found];
}

function objectsOf(state: Registry['state'], kind: string, key: string): readonly ConfigObject[] {
  switch (kind) {
    case 'slices':
      return tableGet(state.slices, key) ?? [];
    case 'pod': {
      const pod = tableGet(state.tables.pods, key);
      return pod === undefined ? [] : [pod];
    }
    case 'members':
      return [
        ...(tableGet(state.workloads.podMembers, key) ?? []),
        ...(tableGet(state.workloads.entryMembers, key) ?? []),
      ];
    default:
      return [];
  }
}
