// Incremental requests as events of an exchange: requests add and drop names, answers are correlated by nonce only.
// In: a request and the exchange that it belongs to. Out: events. Called by the stream; pure.

import type { ExchangeEvent } from './events.ts';
import type { Exchange } from './exchange.ts';
import { type NamePool, type NameSet, NO_NAMES } from './names.ts';
import type { Stated } from './stated.ts';
import { WILDCARD, wantsOfChange } from './subscription.ts';

export interface DeltaRequest {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly subscribe: NameSet;
  readonly unsubscribe: NameSet;
  /** What the client holds. Counts in the first request of a type only. */
  readonly stated: Stated;
  readonly error: string | undefined;
}

export function deltaEvents(exchange: Exchange, request: DeltaRequest, pool: NamePool): ExchangeEvent[] {
  const { subscribe, unsubscribe } = request;
  const kind = { first: !exchange.started, legacy: exchange.traits.legacyWildcard };
  const wants = wantsOfChange(exchange.wants, subscribe, unsubscribe, kind, pool);
  if (kind.first) return [{ kind: 'initial', wants, known: { kind: 'versions', stated: request.stated } }];
  const events: ExchangeEvent[] = [];
  if (request.nonce !== '') events.push(answerTo(exchange, request));
  // A change of names counts whatever the nonce: the client doesn't repeat it.
  if (subscribe !== NO_NAMES) {
    const everything = exchange.wants.star && subscribe.names.has(WILDCARD);
    events.push({ kind: 'subscribe', wants, names: subscribe.names, everything });
  }
  if (unsubscribe !== NO_NAMES) {
    // A client that drops a name and keeps `*` doesn't know whether `*` covers that name: it must be told.
    const { selection } = exchange.wants;
    const dropped = [...unsubscribe.names].filter((name) => selection.set.names.has(name));
    events.push({ kind: 'unsubscribe', wants, names: new Set(wants.selection.wildcard ? dropped : []) });
  }
  return events;
}

function answerTo(exchange: Exchange, request: DeltaRequest): ExchangeEvent {
  const { nonce, error } = request;
  if (!exchange.awaits(nonce)) return { kind: 'stale', nonce };
  return error === undefined ? { kind: 'ack', nonce } : { kind: 'nack', nonce, message: error };
}
