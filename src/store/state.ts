// What the store hands to everything downstream: one immutable value for each moment.

import { KINDS } from '../config/kinds.ts';
import type { ConfigObject, Finding, Kind, ObjectRef } from '../config/object.ts';
import { emptyTable, type Table, tableGet } from '../lib/table.ts';

export interface StoreState {
  /** Grows by one with every change. */
  readonly sequence: number;
  /** The objects in force, keyed by `tableKey`. */
  readonly byKind: Readonly<Record<Kind, Table<ConfigObject>>>;
  /** Everything wrong at this moment, by object and path. */
  readonly findings: readonly Finding[];
  /** Objects whose newest version is refused: the last good one, if there was any, is in force. */
  readonly held: readonly ObjectRef[];
}

/** The key of an object within the table of its kind; `/name` for cluster-scoped kinds. */
export function tableKey(ref: { readonly namespace: string; readonly name: string }): string {
  return `${ref.namespace}/${ref.name}`;
}

/** The object in force. */
export function objectIn(state: StoreState, ref: ObjectRef): ConfigObject | undefined {
  return tableGet(state.byKind[ref.kind], tableKey(ref));
}

export function emptyState(): StoreState {
  const tables = KINDS.map(({ kind }) => [kind, emptyTable<ConfigObject>()] as const);
  return {
    sequence: 0,
    byKind: Object.fromEntries(tables) as unknown as StoreState['byKind'],
    findings: [],
    held: [],
  };
}
