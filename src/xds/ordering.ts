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

type Lookup = (typeUrl: string) => Progress | undefined;

/** True when what `type` depends on has arrived; types that the client doesn't subscribe to aren't found and don't count. */
export function mayChange(type: Progress, find: Lookup): boolean {
  const all = (types: readonly string[] | undefined, done: typeof isSent): boolean =>
    (types ?? []).every((other) => {
      const progress = find(other);
      return progress === undefined || done(progress, type.changedAt);
    });
  return all(SENT_FIRST.get(type.typeUrl), isSent) && all(ANSWERED_FIRST.get(type.typeUrl), isSettled);
}

/** True when nothing that the client still has to take can refer to what `type` would remove. */
export function mayRemove(type: Progress, find: Lookup): boolean {
  return (REMOVED_LAST.get(type.typeUrl) ?? []).every((other) => {
    const progress = find(other);
    return progress === undefined || isSettled(progress, type.changedAt);
  });
}
