// Make before break over a change that touches several types: clusters and their endpoints are sent and answered
// before the listeners and routes that point at them, and are taken away only after those have moved on.
// In: the progress of each type on one stream. Out: whether a type may be sent now. Called by the streams; no I/O.
// Answers to newly subscribed names never come here, so a first sync is not held up by order.

import { CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST } from './types.ts';

/** How far one type is; the numbers count the wakes of the stream. */
export interface Progress {
  readonly typeUrl: string;
  /** Wake at which the view last became another one. */
  readonly changedAt: number;
  /** Wake of the oldest change that isn't sent yet; undefined when all is. */
  readonly dirtySince: number | undefined;
  /** For each unanswered response, the oldest change that it carries. */
  readonly unanswered: readonly number[];
}

const SENT_FIRST: ReadonlyMap<string, readonly string[]> = new Map([[ENDPOINT, [CLUSTER]]]);

const ANSWERED_FIRST: ReadonlyMap<string, readonly string[]> = new Map([
  [LISTENER, [CLUSTER, ENDPOINT]],
  [ROUTE, [CLUSTER, ENDPOINT, LISTENER]],
  [SCOPED_ROUTE, [CLUSTER, ENDPOINT, LISTENER]],
  [VIRTUAL_HOST, [CLUSTER, ENDPOINT, LISTENER, ROUTE]],
  [EXTENSION, [CLUSTER, ENDPOINT]],
]);

const REFERRERS = [LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST, EXTENSION];

/** Types whose removals wait for the types that may still refer to what goes. */
const REMOVED_LAST: ReadonlyMap<string, readonly string[]> = new Map([
  [CLUSTER, REFERRERS],
  [ENDPOINT, REFERRERS],
]);

function isSent(progress: Progress, wake: number): boolean {
  return progress.dirtySince === undefined || progress.dirtySince > wake;
}

/** Everything of that type up to `wake` is sent and acknowledged or rejected. Later changes don't matter. */
function isSettled(progress: Progress, wake: number): boolean {
  return isSent(progress, wake) && progress.unanswered.every((since) => since > wake);
}

/** A type that a stream has to do with. */
export interface Part {
  /** `active`: the client subscribes to it; otherwise nobody waits for it. */
  readonly exchange: Progress & { readonly active: boolean };
}

/** True when what `type` depends on has arrived. */
export function mayChange(type: Progress, all: readonly Part[]): boolean {
  const { typeUrl, changedAt } = type;
  return (
    areDone(SENT_FIRST.get(typeUrl), all, changedAt, isSent) &&
    areDone(ANSWERED_FIRST.get(typeUrl), all, changedAt, isSettled)
  );
}

/** True when nothing that the client still has to take can refer to what `type` would remove. */
export function mayRemove({ typeUrl, changedAt }: Progress, all: readonly Part[]): boolean {
  return areDone(REMOVED_LAST.get(typeUrl), all, changedAt, isSettled);
}

function areDone(
  types: readonly string[] | undefined,
  all: readonly Part[],
  wake: number,
  done: (progress: Progress, wake: number) => boolean,
): boolean {
  if (types === undefined) return true;
  for (const { exchange } of all)
    if (exchange.active && types.includes(exchange.typeUrl) && !done(exchange, wake)) return false;
  return true;
}
