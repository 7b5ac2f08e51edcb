// Filters of a list, whichever list: listener filters, network filters, HTTP filters. First what is added, inserted,
// replaced and removed, in the order of the patches, then what is merged.
// In: elements, still encoded; the patches that match their surroundings. Out: elements. Called by listener.ts and chain.ts.

import { type Fields, opened, textOf } from './fields.ts';
import type { Patch } from './patch.ts';
import { type PatchRun } from './run.ts';
import type { PatchList } from './selection.ts';

export interface ElementKind {
  readonly type: string;
  /** The name of the element that a patch is about; undefined: none, so about all of them. */
  readonly wanted: (patch: Patch) => string | undefined;
}

export function patchedElements(
  run: PatchRun,
  kind: ElementKind,
  elements: readonly unknown[],
  patches: PatchList,
): readonly unknown[] {
  if (patches.length === 0) return elements;
  const placed = patches.reduce((list, patch) => rearranged(run, kind, list, patch), elements);
  const merges = patches.filter((patch) => patch.operation === 'MERGE');
  return merges.length === 0 ? placed : placed.map((element) => mergedElement(run, kind, element, merges));
}

export function nameOf(kind: Pick<ElementKind, 'type'>, element: unknown): string {
  return textOf(opened(kind.type, element), 'name');
}

function rearranged(run: PatchRun, kind: ElementKind, list: readonly unknown[], patch: Patch): readonly unknown[] {
  const { operation, encoded } = patch;
  if (operation === 'MERGE') return list;
  const wanted = kind.wanted(patch);
  const isWanted = (element: unknown): boolean => nameOf(kind, element) === wanted;
  const put = (at: number, gone = 0): readonly unknown[] => {
    run.apply(patch);
    return list.toSpliced(at, gone, encoded);
  };
  switch (operation) {
    case 'ADD':
      return put(list.length);
    case 'INSERT_FIRST':
      return put(0);
    case 'REMOVE': {
      // Without a name it would take all of them.
      const left = wanted === undefined ? list : list.filter((element) => !isWanted(element));
      if (left.length === list.length) return list;
      run.apply(patch);
      return left;
    }
    case 'INSERT_BEFORE':
    case 'INSERT_AFTER':
    case 'REPLACE':
      break;
  }
  if (wanted === undefined) {
    if (operation === 'REPLACE') return list;
    return put(operation === 'INSERT_BEFORE' ? 0 : list.length);
  }
  const at = list.findIndex(isWanted);
  if (at < 0) return list;
  if (operation === 'REPLACE') return put(at, 1);
  return put(operation === 'INSERT_BEFORE' ? at : at + 1);
}

function mergedElement(run: PatchRun, kind: ElementKind, element: unknown, merges: PatchList): unknown {
  let fields: Fields | undefined;
  for (const patch of merges) {
    const wanted = kind.wanted(patch);
    const current = fields ?? opened(kind.type, element);
    if (wanted !== undefined && wanted !== current['name']) continue;
    fields = mergedFilter(run, kind.type, current, patch);
  }
  return fields ?? element;
}

/** Name and switches are taken over; settings are merged as the message that they pack. */
function mergedFilter(run: PatchRun, type: string, fields: Fields, patch: Patch): Fields {
  const { typedConfig, configDiscovery: _, ...rest } = patch.value;
  const alone = Object.keys(rest).length === 0;
  if (typedConfig === undefined) return alone ? fields : (run.merged(type, fields, patch, rest) as Fields);
  if (fields['typedConfig'] === undefined) {
    run.refuse(patch, `filter ${textOf(fields, 'name')} has no settings of its own`);
    return fields;
  }
  const settings = run.mergedSettings(fields['typedConfig'], typedConfig, patch);
  if (settings === undefined) return fields;
  const merged = { ...fields, typedConfig: settings };
  return alone ? merged : (run.merged(type, merged, patch, rest) as Fields);
}
