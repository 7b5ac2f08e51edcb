// Recorded reads: which hosts looked at what when their endpoints were built, absences included. A change of a key leads
// back to exactly these hosts; there is no rule anywhere that says which change concerns whom.

import { compareStrings } from '../lib/order.ts';
import { type Table, emptyTable, sameList, tableGet, tableWith } from '../lib/table.ts';
import { regroup, type Change } from './groups.ts';

interface ReadSet {
  readonly host: string;
  readonly keys: readonly string[];
}

export interface Reads {
  readonly byHost: Table<ReadSet>;
  readonly byKey: Table<readonly ReadSet[]>;
}

export const NO_READS: Reads = { byHost: emptyTable(), byKey: emptyTable() };

/** Collects the keys that one build reads. */
export type ReadLog = Set<string>;

/** Hosts that read the key when they were last built. */
export function readersOf(reads: Reads, key: string): readonly string[] {
  return (tableGet(reads.byKey, key) ?? []).map((set) => set.host);
}

/** The reads after some hosts were built again (a log) or went away (undefined). */
export function withReads(reads: Reads, built: ReadonlyMap<string, ReadLog | undefined>): Reads {
  const changes: Change<ReadSet>[] = [];
  for (const [host, log] of built) {
    const before = tableGet(reads.byHost, host);
    const keys = log === undefined || log.size === 0 ? undefined : [...log].sort(compareStrings);
    if (keys === undefined ? before === undefined : before !== undefined && sameList(before.keys, keys)) continue;
    changes.push([host, before, keys === undefined ? undefined : { host, keys }]);
  }
  if (changes.length === 0) return reads;
  return {
    byHost: tableWith(
      reads.byHost,
      changes.map(([host, , after]) => [host, after] as const),
    ),
    byKey: regroup(
      reads.byKey,
      changes,
      (set) => set.keys,
      (a, b) => compareStrings(a.host, b.host),
    ).index,
  };
}

/** By the key of its table, `namespace/name`. */
export function podKey(key: string): string {
  return `pod ${key}`;
}

export function ipKey(ip: string): string {
  return `ip ${ip}`;
}

export function nodeKey(name: string): string {
  return `node ${name}`;
}

/** Slices of a Service, by `namespace/name`. */
export function sliceKey(service: string): string {
  return `slices ${service}`;
}

/** `owner` is the key of a selector's owner, as in `selectors.ts`. */
export function membersKey(owner: string): string {
  return `members ${owner}`;
}
