// Who selects whom: Services and ServiceEntries by the labels that they ask for, and the workloads that each one has.
// Owners are found from a workload through one pair of their selector, so that a changed Pod looks at the few services
// that may want it and at no others.

import { deepEqual } from '../lib/equal.ts';
import { memo } from '../lib/memo.ts';
import { compareStrings, sortedEntries } from '../lib/order.ts';
import { type Table, tableGet, tableValues, tableWith } from '../lib/table.ts';
import { type Change, type Regrouped, regroup } from './groups.ts';
import { type KubeService, objectKey, type ServiceEntry } from './input.ts';
import type { Labels } from './labels.ts';
import { labelsMatch } from './labels.ts';

export interface SelectorOwner {
  /** `Service/NAMESPACE/NAME` or `ServiceEntry/NAMESPACE/NAME`. */
  readonly key: string;
  readonly namespace: string;
  readonly selector: Labels;
  readonly object: KubeService | ServiceEntry;
}

/** Owners by `NAMESPACE/LABEL=VALUE`, where the pair is the first of their selector. */
export type SelectorIndex = Table<readonly SelectorOwner[]>;

const ownerMemo = memo((object: KubeService | ServiceEntry): SelectorOwner | undefined => {
  const selector = selectorOf(object);
  if (selector === undefined || Object.keys(selector).length === 0) return undefined;
  return { key: `${object.kind}/${objectKey(object)}`, namespace: object.namespace, selector, object };
});

/** The same value for the same object; undefined for objects that select nothing. */
export function selectorOwner(object: KubeService | ServiceEntry): SelectorOwner | undefined {
  return ownerMemo(object);
}

function selectorOf(object: KubeService | ServiceEntry): Labels | undefined {
  if ('workloadSelector' in object.spec) return object.spec.workloadSelector?.labels;
  if (!('selector' in object.spec)) return undefined;
  return object.spec.type === 'ExternalName' ? undefined : object.spec.selector;
}

export function ownerChanges(changes: readonly Change<KubeService | ServiceEntry>[]): readonly Change<SelectorOwner>[] {
  return changes.map(
    ([key, before, after]): Change<SelectorOwner> => [
      key,
      before === undefined ? undefined : selectorOwner(before),
      after === undefined ? undefined : selectorOwner(after),
    ],
  );
}

export function indexSelectors(
  index: SelectorIndex,
  changes: readonly Change<SelectorOwner>[],
): Regrouped<SelectorOwner> {
  const keysOf = (owner: SelectorOwner): string[] => {
    const first = sortedEntries(owner.selector)[0];
    return first === undefined ? [] : [pairKey(owner.namespace, first[0], first[1])];
  };
  return regroup(index, changes, keysOf, (a, b) => compareStrings(a.key, b.key));
}

/** Everyone in the namespace whose selector the labels satisfy. */
export function ownersSelecting(index: SelectorIndex, namespace: string, labels: Labels): readonly SelectorOwner[] {
  const found: SelectorOwner[] = [];
  if (index.size === 0) return found;
  for (const name of Object.keys(labels)) {
    const owners = tableGet(index, pairKey(namespace, name, labels[name] ?? ''));
    if (owners === undefined) continue;
    for (const owner of owners) if (labelsMatch(owner.selector, labels)) found.push(owner);
  }
  return found;
}

function pairKey(namespace: string, name: string, value: string): string {
  return `${namespace}/${name}=${value}`;
}

/** What membership is made of: workloads of one kind, and the owners that want to know theirs. */
export interface MembershipInput<O> {
  readonly objects: Table<O>;
  readonly changes: readonly Change<O>[];
  readonly index: SelectorIndex;
  readonly owners: readonly Change<SelectorOwner>[];
  readonly labelsOf: (object: O) => Labels;
}

/** The workloads of each owner by owner key, sorted by name. */
export function updateMembers<O extends { readonly namespace: string; readonly name: string }>(
  members: Table<readonly O[]>,
  input: MembershipInput<O>,
): Regrouped<O> {
  const { fresh, gone, namespaces } = selectorEdits(input);
  if (fresh.size === 0 && gone.length === 0 && input.changes.length === 0) return { index: members, touched: [] };
  const ownersOf = (object: O): readonly SelectorOwner[] =>
    ownersSelecting(input.index, object.namespace, input.labelsOf(object));
  const settled = (object: O): string[] =>
    ownersOf(object).flatMap((owner) => (fresh.has(owner.key) ? [] : [owner.key]));
  const kept = regroup(members, input.changes, settled, byName);
  if (fresh.size === 0 && gone.length === 0) return kept;
  for (const object of fresh.size === 0 ? [] : tableValues(input.objects)) {
    if (!namespaces.has(object.namespace)) continue;
    for (const owner of ownersOf(object)) fresh.get(owner.key)?.push(object);
  }
  const edits: [string, readonly O[] | undefined][] = gone.map((key) => [key, undefined]);
  for (const [key, list] of fresh) edits.push([key, list.length === 0 ? undefined : list.sort(byName)]);
  return { index: tableWith(kept.index, edits), touched: [...kept.touched, ...edits.map((each) => each[0])] };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return compareStrings(a.name, b.name);
}

/** Owners whose list has to be made from scratch, and those that select no more. */
function selectorEdits<O>(input: MembershipInput<O>): {
  fresh: Map<string, O[]>;
  gone: string[];
  namespaces: Set<string>;
} {
  const fresh = new Map<string, O[]>();
  const gone: string[] = [];
  const namespaces = new Set<string>();
  for (const [, before, after] of input.owners) {
    if (after === undefined) {
      if (before !== undefined) gone.push(before.key);
    } else if (before === undefined || !deepEqual(before.selector, after.selector)) {
      fresh.set(after.key, []);
      namespaces.add(after.namespace);
    }
  }
  return { fresh, gone, namespaces };
}
