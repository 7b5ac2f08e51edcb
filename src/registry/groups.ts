// Secondary indexes: tables of the same objects under other keys, kept up with the changes of the first.
// In: an index and the changes of its source table. Out: the next index and the keys whose lists differ.

import { exact } from '../lib/exact.ts';
import { emptyTable, type Table, tableDiff, tableGet, tableWith } from '../lib/table.ts';

export type Change<O> = readonly [key: string, before: O | undefined, after: O | undefined];

/** What differs between two states of one table. */
export function changesBetween<O>(before: Table<O> | undefined, after: Table<O>): readonly Change<O>[] {
  return before === after ? [] : [...tableDiff(before ?? emptyTable<O>(), after)];
}

export interface Regrouped<O> {
  readonly index: Table<readonly O[]>;
  readonly touched: readonly string[];
}

interface Edit<O> {
  removed: Set<O> | undefined;
  readonly added: O[];
}

/**
 * Applies changes to an index. `keysOf` gives the keys under which an object stands, each once; `compare` is the total order of
 * a list. Lists without objects are left out.
 */
export function regroup<O>(
  index: Table<readonly O[]>,
  changes: Iterable<Change<O>>,
  keysOf: (object: O) => Iterable<string>,
  compare: (a: O, b: O) => number,
): Regrouped<O> {
  const edits = new Map<string, Edit<O>>();
  const edit = (key: string): Edit<O> => {
    let found = edits.get(key);
    if (found === undefined) {
      found = { removed: undefined, added: [] };
      edits.set(key, found);
    }
    return found;
  };
  for (const [, before, after] of changes) {
    if (before !== undefined) {
      for (const key of keysOf(before)) {
        const found = edit(key);
        found.removed ??= new Set();
        found.removed.add(before);
      }
    }
    if (after !== undefined) for (const key of keysOf(after)) edit(key).added.push(after);
  }
  return applyEdits(index, edits, compare);
}

function applyEdits<O>(
  index: Table<readonly O[]>,
  edits: ReadonlyMap<string, Edit<O>>,
  compare: (a: O, b: O) => number,
): Regrouped<O> {
  if (edits.size === 0) return { index, touched: [] };
  const entries: [string, readonly O[] | undefined][] = [];
  for (const [key, { removed, added }] of edits) {
    const before = tableGet(index, key);
    if (before === undefined) {
      if (added.length > 0) entries.push([key, exact(added.length > 1 ? added.sort(compare) : added)]);
      continue;
    }
    const kept = removed === undefined ? before : before.filter((each) => !removed.has(each));
    if (added.length === 0 && kept.length === before.length) continue;
    const list = added.length === 0 ? kept : [...kept, ...added].sort(compare);
    entries.push([key, list.length === 0 ? undefined : list]);
  }
  return { index: tableWith(index, entries), touched: entries.map((entry) => entry[0]) };
}
