// Whether one type may be sent now on a stream, and when to look again if not: the order of types, held against the clock.
// In: the type's conversation, what it needs, the progress of the others. Out: what may go. Called by the stream.

import type { Conversation } from './conversation.ts';
import type { Need } from './exchange.ts';
import { mayChange, mayRemove } from './ordering.ts';
import { CLUSTER, ENDPOINT } from './types.ts';
import { SMALL_PUSH } from './unanswered.ts';

/** How a response is sent that has its turn. */
export interface SendHow {
  readonly onlyAsked: boolean;
  readonly removals: boolean;
  readonly late: boolean;
  /** When the change behind it was seen; undefined when it answers a request. */
  readonly changedAt: number | undefined;
  readonly push: boolean;
}

export interface Turn {
  /** All that is needed may go; otherwise only what was asked for. */
  readonly full: boolean;
  /** Removals may be told, or there are none. */
  readonly removals: boolean;
  /** It doesn't wait any longer for answers that it should have waited for. */
  readonly late: boolean;
  /** Nothing of this type is under way that must be answered first. */
  readonly free: boolean;
}

/** The moment, ms, and how long one type waits for others and for its own answer. */
export interface Moment {
  readonly now: number;
  readonly orderTimeout: number;
}

export function turnOf(
  { exchange, tally, blockedSince }: Conversation,
  { answer, changes, removals }: Need,
  all: readonly Conversation[],
  { now, orderTimeout }: Moment,
): Turn {
  // An Envoy acknowledges clusters when they are warm, which may be never: a late answer must not hold all back.
  const overdue = exchange.waiting && now - tally.sentAt >= orderTimeout;
  const free = !exchange.waiting || overdue;
  const late = blockedSince !== undefined && now - blockedSince >= orderTimeout;
  const open = late || mayChange(exchange, all);
  const mayTake = removals && open && (late || mayRemove(exchange, all));
  const full = free && open && (answer || changes || mayTake);
  return { full, removals: mayTake || !removals, late: late || overdue, free };
}

/**
 * A push that doesn't wait until those to others are answered: a small one; and clusters while their endpoints are asked for,
 * which would have to be sent again after them.
 */
export function goesAhead({ exchange }: Conversation, all: readonly Conversation[]): boolean {
  if (exchange.lighterThan(SMALL_PUSH)) return true;
  return (
    exchange.typeUrl === CLUSTER && all.some(({ exchange: { typeUrl }, need }) => typeUrl === ENDPOINT && need.answer)
  );
}

/** Remembers since when it waits, and when to look again although nothing has happened. */
export function noteWait(
  conversation: Conversation,
  need: Need,
  { full, removals, free }: Turn,
  { now, orderTimeout }: Moment,
): void {
  const { blockedSince, tally } = conversation;
  const waits = free && ((need.changes && !full) || (need.removals && !removals));
  conversation.blockedSince = waits ? (full ? now : (blockedSince ?? now)) : undefined;
  if (conversation.blockedSince !== undefined) conversation.retryAt = conversation.blockedSince + orderTimeout;
  else if (!full && (need.changes || need.removals)) conversation.retryAt = tally.sentAt + orderTimeout;
  else conversation.retryAt = undefined;
}

/** Nothing is needed: it waits for nothing. */
export function rest(conversation: Conversation): void {
  conversation.blockedSince = undefined;
  conversation.retryAt = undefined;
}
