// Statuses as they stand in the cluster, from whoever led before: what says the same is not written again, and the time of a
// transition stays what it was. In: the API, the objects in force. Out: what was written, by object. Called once, by
// status-writer.ts, when it begins to lead.

import type { KindInfo } from '../config/kinds.ts';
import { type Kind, refKey } from '../config/object.ts';
import { tableValues } from '../lib/table.ts';
import type { KubeApi } from '../sources/kube-api.ts';
import { isRecord, itemsOf, textOf } from '../sources/kube-discovery.ts';
import type { StoreState } from '../store/state.ts';
import { type Condition, isReason } from './conditions.ts';

export interface WrittenStatus {
  readonly condition: Condition;
  /** Undefined where none was written. */
  readonly generation: number | undefined;
  /** Of the last transition, as written. */
  readonly time: string;
}

const PAGE_SIZE = 250;

/** Rejects where a list can't be read: then nothing is known, and all is written anew. */
export async function writtenStatuses(
  api: KubeApi,
  kinds: readonly KindInfo[],
  { byKind }: StoreState,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, WrittenStatus>> {
  const written = new Map<string, WrittenStatus>();
  for (const { kind, plural } of kinds) {
    const [some] = tableValues(byKind[kind]);
    if (some === undefined) continue;
    let token: string | undefined;
    do {
      const query = { limit: PAGE_SIZE, continue: token };
      const page = await api.get(`/apis/${some.apiVersion}/${plural}`, query, signal);
      for (const item of itemsOf(page, 'items')) take(kind, item, written);
      token = textOf(isRecord(page) ? page['metadata'] : undefined, 'continue');
    } while (token !== '');
  }
  return written;
}

function take(kind: Kind, item: unknown, written: Map<string, WrittenStatus>): void {
  const { metadata, status } = isRecord(item) ? item : {};
  if (!isRecord(status)) return;
  const { observedGeneration: generation } = status;
  for (const each of itemsOf(status, 'conditions')) {
    const reason = textOf(each, 'reason');
    const state = textOf(each, 'status');
    if (textOf(each, 'type') !== 'Reconciled' || !isReason(reason) || !(state === 'True' || state === 'False'))
      continue;
    written.set(refKey({ kind, namespace: textOf(metadata, 'namespace'), name: textOf(metadata, 'name') }), {
      condition: { type: 'Reconciled', status: state, reason, message: textOf(each, 'message') },
      generation: typeof generation === 'number' ? generation : undefined,
      time: textOf(each, 'lastTransitionTime'),
    });
  }
}
