// Keeping identity: the earlier value where the later one is equal.

import { deepEqual } from '../lib/equal.ts';

/** The previous record when every member of the next one is the same value. */
export function keepMembers<T extends object>(previous: T | undefined, next: T): T {
  if (previous === undefined) return next;
  for (const key of Object.keys(next) as (keyof T)[]) if (previous[key] !== next[key]) return next;
  return previous;
}

/** The previous value when the next one has the same content; for small values only. */
export function keepEqual<T>(previous: T | undefined, next: T): T {
  return previous !== undefined && (previous === next || deepEqual(previous, next)) ? previous : next;
}
