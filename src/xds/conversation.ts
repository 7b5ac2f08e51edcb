// One type on one stream: its exchange, and when it has waited, sent, and been answered. Called by the stream.

import type { Mode } from './encode.ts';
import { Exchange, NO_NEED, type Need } from './exchange.ts';
import type { NamePool } from './names.ts';
import type { Tally } from './status.ts';
import type { Flight } from './unanswered.ts';

export interface Conversation {
  readonly exchange: Exchange;
  readonly tally: Tally;
  /** What was to be done when it was last looked at. */
  need: Need;
  /** When it first had to wait for other types. */
  blockedSince: number | undefined;
  /** When to look again although nothing has happened. */
  retryAt: number | undefined;
  /** Its last push, while that is on its way. */
  flight: Flight | undefined;
}

export function conversationAbout(typeUrl: string, mode: Mode, pool: NamePool): Conversation {
  return {
    exchange: new Exchange(typeUrl, mode, pool),
    need: NO_NEED,
    blockedSince: undefined,
    retryAt: undefined,
    flight: undefined,
    tally: { sentAt: 0, ackedAt: 0, errorAt: 0, pushes: 0, bytes: 0 },
  };
}
