// State-of-the-world requests as events of an exchange: every request lists all names that are wanted.
// In: a request and the exchange that it belongs to. Out: events. Called by the stream; pure.

import type { Exchange, ExchangeEvent } from './exchange.ts';
import type { NamePool, NameSet } from './names.ts';
import { covers, type Wants, wantsOfList } from './subscription.ts';

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
    const taken = exchange.waiting && request.version === exchange.lastVersion && request.error === undefined;
    const events = change(exchange, request, pool);
    return taken ? [{ kind: 'ack', nonce: exchange.lastNonce }, ...events] : events;
  }
  const answer: ExchangeEvent =
    request.error === undefined
      ? { kind: 'ack', nonce: request.nonce }
      : { kind: 'nack', nonce: request.nonce, message: request.error };
  if (request.nonce === exchange.lastNonce) return [answer, ...change(exchange, request, pool)];
  // The names of an outdated request don't count: the client lists them again when it answers the newer response.
  const stale: ExchangeEvent = { kind: 'stale', nonce: request.nonce };
  return exchange.awaits(request.nonce) ? [answer, stale] : [stale];
}

function initial(exchange: Exchange, request: SotwRequest, pool: NamePool): ExchangeEvent {
  exchange.listed = request.names;
  const wants = wantsOfList(exchange.wants, request.names, exchange.traits.legacyWildcard, pool);
  return { kind: 'initial', wants, known: { kind: 'version', version: request.version } };
}

function change(exchange: Exchange, request: SotwRequest, pool: NamePool): ExchangeEvent[] {
  if (request.names === exchange.listed) return [];
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
