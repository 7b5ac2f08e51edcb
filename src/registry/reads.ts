// Recorded reads: which hosts looked at what when their endpoints were built, absences included. A change of a key leads
// back to exactly these hosts; there is no rule anywhere that says which change concerns whom.

import { exact } from '../lib/exact.ts';
import { compareStrings } from '../lib/order.ts';
import { emptyTable, sameList, type Table, tableGet, tableWith } from '../lib/table.ts';

export interface Reads {
  /** What each host read, sorted. */
  readonly byHost: Table<readonly string[]>;
  /** Who read each key, in no order. */
  readonly byKey: Table<readonly string[]>;
}

export const NO_READS: Reads = { byHost: emptyTable(), byKey: emptyTable() };

/** Collects the keys that one build reads. */
export type ReadLog = Set<string>;

/** Hosts that read the key when they were last built, in no order. */
export function readersOf(reads: Reads, key: string): readonly string[] {
  return tableGet(reads.byKey, key) ?? [];
}

interface Edit {
  readonly added: string[];
  removed: Set<string> | undefined;
}

/** The reads after some hosts were built again (a log) or went away (undefined). */
export function withReads(reads: Reads, built: ReadonlyMap<string, ReadLog | undefined>): Reads {
  const hosts: [string, readonly string[] | undefined][] = [];
  const edits = new Map<string, Edit>();
  for (const [host, log] of built) {
    const before = tableGet(reads.byHost, host) ?? [];
    const after = log === undefined ? [] : [...log].sort(compareStrings);
    if (sameList(before, after)) continue;
    hosts.push([host, after.length === 0 ? undefined : after]);
    collectEdits(edits, host, before, after, log);
  }
  if (hosts.length === 0) return reads;
  return { byHost: tableWith(reads.byHost, hosts), byKey: applyEdits(reads.byKey, edits) };
}

/** Only keys that one list has and the other has not: a node has thousands of readers, which are left alone. */
function collectEdits(
  edits: Map<string, Edit>,
  host: string,
  before: readonly string[],
  after: readonly string[],
  log: ReadLog | undefined,
): void {
  const edit = (key: string): Edit => {
    let found = edits.get(key);
    if (found === undefined) {
      found = { added: [], removed: undefined };
      edits.set(key, found);
    }
    return found;
  };
  for (const key of before) {
    if (log?.has(key) === true) continue;
    const found = edit(key);
    found.removed ??= new Set();
    found.removed.add(host);
  }
  const known = new Set(before);
  for (const key of after) if (!known.has(key)) edit(key).added.push(host);
}

function applyEdits(table: Table<readonly string[]>, edits: ReadonlyMap<string, Edit>): Table<readonly string[]> {
  const entries: [string, readonly string[] | undefined][] = [];
  for (const [key, { added, removed }] of edits) {
    const before = tableGet(table, key);
    const kept = before === undefined || removed === undefined ? before : before.filter((host) => !removed.has(host));
    const list = kept === undefined ? exact(added) : added.length === 0 ? kept : [...kept, ...added];
    entries.push([key, list.length === 0 ? undefined : list]);
  }
  return tableWith(table, entries);
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
