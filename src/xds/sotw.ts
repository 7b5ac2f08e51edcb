// State-of-the-world requests as events of an exchange: every request lists all names that are wanted.
// In: a request and the exchange that it belongs to. Out: events. Called by the stream; pure.

import type { ExchangeEvent } from './events.ts';
import type { Exchange } from './exchange.ts';
import { type NamePool, type NameSet, NO_NAMES } from './names.ts';
import { commonSelection, covers, type Wants, wantsOfList, wantsOfQuestion } from './subscription.ts';

export interface SotwRequest {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly names: NameSet;
  /** Set when the client rejects the response of that nonce. */
  readonly error: string | undefined;
}

const NONE: ReadonlySet<string> = new Set();

export function sotwEvents(exchange: Exchange, request: SotwRequest, pool: NamePool): ExchangeEvent[] {
  if (!exchange.started) return [initial(exchange, request, pool)];
  if (request.nonce === '') {
    // Sent before our first answer arrived, by a client that knows no nonces, or by one that starts over.
    const early = exchange.lastNonce === '' || exchange.waiting;
    if (!early) return [initial(exchange, request, pool)];
    const { version } = request;
    const taken =
      exchange.waiting &&
      version === exchange.lastVersion &&
      version !== exchange.reported &&
      request.error === undefined;
    const events = change(exchange, request, pool);
    return taken ? [{ kind: 'ack', nonce: exchange.lastNonce }, ...events] : events;
  }
  const answer: ExchangeEvent =
    request.error === undefined
      ? { kind: 'ack', nonce: request.nonce }
      : { kind: 'nack', nonce: request.nonce, message: request.error };
  if (request.nonce === exchange.lastNonce) return [answer, ...change(exchange, request, pool)];
  // An outdated request gets no answer: the client lists its names again when it answers the newer response. But what
  // it doesn't list is gone from the client, even if the next request lists it again.
  const stale: ExchangeEvent = { kind: 'stale', nonce: request.nonce };
  const losses = loss(exchange, request, pool);
  return exchange.awaits(request.nonce) ? [answer, stale, ...losses] : [stale, ...losses];
}

function loss(exchange: Exchange, request: SotwRequest, pool: NamePool): ExchangeEvent[] {
  if (request.names === exchange.listed) return [];
  const wanted = wantsOfList(exchange.wants, request.names, exchange.traits.legacyWildcard, pool);
  const selection = commonSelection(exchange.wants.selection, wanted.selection, pool);
  if (selection === exchange.wants.selection && wanted.explicit === exchange.wants.explicit) return [];
  exchange.listed = undefined;
  return [{ kind: 'unsubscribe', wants: { ...wanted, selection }, names: NONE }];
}

function initial(exchange: Exchange, request: SotwRequest, pool: NamePool): ExchangeEvent {
  exchange.listed = request.names;
  exchange.reported = request.version;
  const { question, legacyWildcard } = exchange.traits;
  const wants =
    question === true
      ? wantsOfQuestion(request.names)
      : wantsOfList(exchange.wants, request.names, legacyWildcard, pool);
  return { kind: 'initial', wants, known: { kind: 'version', version: request.version } };
}

function change(exchange: Exchange, request: SotwRequest, pool: NamePool): ExchangeEvent[] {
  if (request.names === exchange.listed) return [];
  // Some clients acknowledge an answer without repeating the question.
  if (exchange.traits.question === true && request.names !== NO_NAMES) return [initial(exchange, request, pool)];
  exchange.listed = request.names;
  const wants = wantsOfList(exchange.wants, request.names, exchange.traits.legacyWildcard, pool);
  if (wants.selection === exchange.wants.selection) return [{ kind: 'unsubscribe', wants, names: NONE }];
  return grows(exchange.wants, wants)
    ? [{ kind: 'subscribe', wants, names: NONE, everything: false }]
    : [{ kind: 'unsubscribe', wants, names: NONE }];
}

function grows(before: Wants, now: Wants): boolean {
  if (now.selection.wildcard && !before.selection.wildcard) return true;
  for (const name of now.selection.set.names) if (!covers(before.selection, name)) return true;
  return false;
}
