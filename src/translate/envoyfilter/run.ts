// One resource being patched: which patches took part, what went wrong. In: a draft. Out: the draft after it, the same
// one when no patch touched it. Called by cluster.ts, listener.ts, route.ts for each resource.

import { CodecError, encodeJson, mergeJson, openAny, typeNameOf } from '../../codec/index.ts';
import { FINDING_CODES } from '../../config/codes.ts';
import type { Finding } from '../../config/object.ts';
import type { Draft } from '../../ir/draft.ts';
import type { Messages } from '../../messages/index.ts';
import { lazyDraftOf } from '../draft.ts';
import { type Fields, textOf } from './fields.ts';
import type { Patch } from './patch.ts';

/** What became of a resource; no draft: a patch took it away. */
export interface Patched {
  readonly draft: Draft | undefined;
  readonly findings: readonly Finding[];
}

export class PatchRun {
  readonly applied = new Set<Patch>();
  readonly findings: Finding[] = [];
  readonly #resource: string;

  constructor(resource: string) {
    this.#resource = resource;
  }

  /** Notes that a patch changed something. */
  apply(patch: Patch): void {
    this.applied.add(patch);
  }

  /** Notes why a patch that matched was left out here. */
  refuse(patch: Patch, reason: string): void {
    const { kind, namespace, name, origin } = patch.object;
    this.findings.push({
      severity: FINDING_CODES.MEL0061.severity,
      code: 'MEL0061',
      ref: { kind, namespace, name },
      origin,
      path: `spec.configPatches[${patch.index}]`,
      message: `can't be applied to ${this.#resource}: ${reason}`,
    });
  }

  /** The message after a MERGE; unchanged, and a finding, when the patch doesn't fit. */
  merged(type: string, base: unknown, patch: Patch, value: unknown = patch.value): unknown {
    // An Any inside is a type and bytes to protobuf's merge: the patch's takes its place.
    const { value: after, problems } = mergeJson(type, base, value, { lists: patch.lists, anys: 'replace' });
    const [problem] = problems;
    if (problem === undefined) {
      this.apply(patch);
      return after;
    }
    this.refuse(patch, `${problem.path} has to be ${problem.expected}`);
    return base;
  }

  /** The settings of an extension after a MERGE: unpacked, merged, packed again. Undefined, and a finding, if they can't be. */
  mergedSettings(base: unknown, settings: unknown, patch: Patch): unknown {
    const before = openAny(base);
    const after = openAny(settings);
    const type = typeNameOf(textOf(before, '@type'));
    if (before === undefined || after === undefined || type === '') {
      this.refuse(patch, 'it has no settings to merge with');
      return undefined;
    }
    if (typeNameOf(textOf(after, '@type')) !== type) {
      this.refuse(patch, `its settings are ${type}, not ${typeNameOf(textOf(after, '@type'))}`);
      return undefined;
    }
    const { '@type': url, ...fields } = before;
    const { '@type': _, ...changes } = after;
    return { '@type': url, ...(this.merged(type, fields, patch, changes) as Fields) };
  }
}

/** The outcome for a draft: `after` is its message when it is still there. */
export function patchedDraft(run: PatchRun, type: keyof Messages, draft: Draft, after: Fields | undefined): Patched {
  const { applied, findings } = run;
  if (applied.size === 0) return { draft, findings };
  if (after === undefined) return { draft: undefined, findings };
  try {
    // Others refer to the resource by its name, and it is looked up by it.
    const bytes = encodeJson(type, after['name'] === draft.name ? after : { ...after, name: draft.name });
    return { draft: withPatches(type, bytes, draft, applied), findings };
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    // Patches that spoil each other: the resource is served without any of them.
    for (const patch of applied) run.refuse(patch, `the result is no ${type}: ${error.message}`);
    return { draft, findings };
  }
}

function withPatches(type: keyof Messages, bytes: Uint8Array, draft: Draft, applied: ReadonlySet<Patch>): Draft {
  const patches = [...applied];
  return lazyDraftOf(type, draft.name, bytes, () => [...draft.origins, ...patches.map((patch) => patch.origin)]);
}
