// The status of an object, from what is known of it: whether it is in force, and how many proxies have taken it.
// Pure. In: counts of all replicas, findings. Out: the condition that users read. Called by status-writer.ts.

import type { Finding } from '../config/object.ts';
import type { Reach } from '../plane/reach.ts';

const REASONS = ['Programmed', 'Unused', 'Progressing', 'Rejected', 'Invalid'] as const;

export interface Condition {
  readonly type: 'Reconciled';
  readonly status: 'True' | 'False';
  readonly reason: (typeof REASONS)[number];
  readonly message: string;
}

export function isReason(text: string): text is Condition['reason'] {
  return (REASONS as readonly string[]).includes(text);
}

export interface Facts {
  readonly reach: Reach | undefined;
  /** Why the newest version is not in force. */
  readonly refused: Finding | undefined;
  /** What a proxy said when it refused something of the object. */
  readonly rejection: string | undefined;
}

/** Longer texts are cut: a status is no log. */
const MAX_MESSAGE = 1024;

export function conditionOf({ reach, refused, rejection }: Facts): Condition {
  if (refused !== undefined) {
    const where = refused.path === undefined ? '' : `${refused.path}: `;
    return condition('False', 'Invalid', `${where}${refused.message}; the last valid version stays in force`);
  }
  const { total = 0, programmed = 0, refused: refusing = 0 } = reach ?? {};
  const proxies = `${programmed}/${total} proxies up to date`;
  if (refusing > 0) return condition('False', 'Rejected', `${proxies}; ${rejection ?? `${refusing} reject it`}`);
  if (total === 0) return condition('True', 'Unused', '0/0 proxies up to date; no connected proxy uses it');
  if (programmed < total) return condition('False', 'Progressing', proxies);
  return condition('True', 'Programmed', proxies);
}

function condition(status: Condition['status'], reason: Condition['reason'], message: string): Condition {
  const text = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 1)}…` : message;
  return { type: 'Reconciled', status, reason, message: text };
}

/** The counts of several replicas together. */
export function sumOf(reports: Iterable<ReadonlyMap<string, Reach>>): ReadonlyMap<string, Reach> {
  const sum = new Map<string, Reach>();
  for (const report of reports) {
    for (const [key, { total, programmed, refused }] of report) {
      const known = sum.get(key);
      if (known === undefined) sum.set(key, { total, programmed, refused });
      else {
        known.total += total;
        known.programmed += programmed;
        known.refused += refused;
      }
    }
  }
  return sum;
}
