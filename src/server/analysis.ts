// The analyzers over what a server holds. In: its store and plane. Out: findings. Called by the debug pages.

import { analysisOf, analyze } from '../analyze/index.ts';
import type { Finding, Kind } from '../config/object.ts';
import type { ConfigObject } from '../config/object.ts';
import type { Table } from '../lib/table.ts';
import type { LinkedSnapshot } from '../snapshot/index.ts';
import { objectIn, type StoreState } from '../store/state.ts';

const SUPPRESS = 'galley.istio.io/analyze-suppress';

/** `known` with what the analyzers find, but what objects themselves say is meant. */
export function analyzed(
  snapshot: LinkedSnapshot | undefined,
  state: StoreState,
  known: readonly Finding[],
): readonly Finding[] {
  const found =
    snapshot === undefined
      ? known
      : analyze(
          analysisOf(snapshot, (kind) => state.byKind[kind], []),
          known,
        );
  return found.filter((finding) => !suppressedByAnnotation(finding, state));
}

/** Of a world that there isn't. */
export function analysisFindings(
  snapshot: LinkedSnapshot,
  table: (kind: Kind) => Table<ConfigObject>,
): readonly Finding[] {
  return analyze(analysisOf(snapshot, table, []), []);
}

/** The annotation names codes with commas between them, or `*`. */
export function suppressedByAnnotation({ code, ref }: Finding, state: StoreState): boolean {
  const text = ref === undefined ? undefined : objectIn(state, ref)?.annotations[SUPPRESS];
  if (text === undefined) return false;
  return text.split(',').some((each) => each.trim() === '*' || each.trim() === code);
}
