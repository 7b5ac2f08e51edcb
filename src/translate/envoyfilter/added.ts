// Whole clusters and listeners that EnvoyFilters add. In: their patches, which names are taken. Out: drafts; what was there
// before keeps its name. Called by index.ts.

import type { Finding } from '../../config/object.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { lazyDraftOf } from '../draft.ts';
import { textOf } from './fields.ts';
import { PATCHED_TYPES, type Patch } from './patch.ts';
import { PatchRun } from './run.ts';
import type { PatchList } from './selection.ts';

interface Added {
  readonly drafts: readonly Draft[];
  readonly findings: readonly Finding[];
}

const NONE: Added = { drafts: [], findings: [] };

export function addedDrafts(patches: PatchList, exists: (name: string) => boolean): Added {
  if (patches.length === 0) return NONE;
  const drafts = new Map<string, Draft>();
  const findings: Finding[] = [];
  for (const patch of patches) {
    const name = textOf(patch.value, 'name');
    if (name === '') findings.push(...unnamed(patch));
    else if (exists(name) || drafts.has(name)) findings.push(...taken(patch));
    else drafts.set(name, addedDraft(patch));
  }
  return { drafts: [...drafts.values()], findings };
}

const addedDraft = memo((patch: Patch): Draft => {
  const { target, value, encoded, origin } = patch;
  return lazyDraftOf(PATCHED_TYPES[target], textOf(value, 'name'), encoded.bytes, () => [origin]);
});

const unnamed = memo((patch: Patch): readonly Finding[] => refusal(patch, 'nothing', 'it has no name'));

const taken = memo((patch: Patch): readonly Finding[] =>
  refusal(patch, textOf(patch.value, 'name'), 'there is one of this name already'),
);

function refusal(patch: Patch, what: string, reason: string): readonly Finding[] {
  const run = new PatchRun(`${patch.target === 'CLUSTER' ? 'cluster' : 'listener'} ${what}`);
  run.refuse(patch, reason);
  return run.findings;
}
