// What happens on a stream, told to those who keep account: the session, the metrics, the log, the stream's own tally.
// In: sent responses and the client's answers. Called by the stream.

import type { Log } from '../lib/ports.ts';
import type { Resource } from '../resources/resource.ts';
import type { Message } from './encode.ts';
import type { ExchangeEvent } from './events.ts';
import type { Exchange, Response } from './exchange.ts';
import type { XdsMetrics } from './metrics.ts';
import type { Peer, ProxySession } from './port.ts';
import type { Tally } from './status.ts';
import { WireError } from './wire.ts';

export interface Subject {
  readonly exchange: Exchange;
  readonly tally: Tally;
}

export interface Accounts {
  readonly session: ProxySession | undefined;
  readonly metrics: XdsMetrics;
  readonly log: Log;
  readonly now: number;
}

/** Suspects named in a log line. */
const MAX_LOGGED = 10;

export interface SentResponse {
  readonly nonce: string;
  readonly response: Response;
  readonly message: Message;
  /** It didn't wait any longer for answers that it should have waited for. */
  readonly late: boolean;
  /** When the change behind it was seen; undefined when it answers a request. */
  readonly changedAt: number | undefined;
}

/** A response has gone out. */
export function reportSent(subject: Subject, sent: SentResponse, accounts: Accounts): void {
  const { exchange, tally } = subject;
  const { nonce, response, message, late, changedAt } = sent;
  const { metrics } = accounts;
  const { labels } = exchange.traits;
  const bytes = message.byteLength;
  tally.sentAt = accounts.now;
  tally.pushes++;
  tally.bytes += bytes;
  metrics.responses.inc(labels);
  metrics.bytesSent.inc(labels, bytes);
  metrics.configSize.observe(bytes, labels);
  if (changedAt !== undefined) {
    metrics.pushes.inc(labels);
    metrics.pushTime.observe((accounts.now - changedAt) / 1000, labels);
  }
  if (late) metrics.orderTimeouts.inc(labels);
  const { version, resources } = response;
  const { typeUrl } = exchange;
  const view = accounts.session?.view(typeUrl);
  accounts.session?.sent(typeUrl, { nonce, version, resources, removed: response.removed.length, bytes, view });
}

/** A client has answered, or has answered something outdated. */
export function reportAnswer(
  subject: Subject,
  event: ExchangeEvent,
  suspects: readonly Resource[],
  accounts: Accounts,
): void {
  const { exchange, tally } = subject;
  const { metrics, session, now } = accounts;
  const { label: type, labels } = exchange.traits;
  if (event.kind === 'stale') metrics.expiredNonces.inc(labels);
  if (event.kind === 'ack') {
    tally.ackedAt = now;
    metrics.ackTime.observe((now - tally.sentAt) / 1000, labels);
    session?.acked(exchange.typeUrl, event.nonce);
  }
  if (event.kind === 'nack') {
    tally.errorAt = now;
    metrics.rejects.get(type)?.inc();
    metrics.totalRejects.inc(labels);
    const names = suspects.slice(0, MAX_LOGGED).map((resource) => resource.name);
    const fields = {
      connection: session?.connectionId,
      type,
      nonce: event.nonce,
      suspects: names,
      error: event.message,
    };
    accounts.log.warn(fields, 'a proxy rejected its configuration');
    session?.nacked(exchange.typeUrl, { nonce: event.nonce, message: event.message, suspects });
  }
}

const INVALID_ARGUMENT = 3;
const INTERNAL = 13;

/** The status with which an error ends a stream: an unreadable request is the client's fault, anything else ours. */
export function failureOf(
  error: unknown,
  connection: string | undefined,
  peer: Peer,
  { metrics, log }: Pick<Accounts, 'metrics' | 'log'>,
): { readonly code: number; readonly message: string } {
  if (error instanceof WireError) {
    metrics.malformed.inc();
    log.warn({ connection, peer: peer.address, error: error.message }, 'a request cannot be read');
    return { code: INVALID_ARGUMENT, message: `request cannot be read: ${error.message}` };
  }
  metrics.internalErrors.inc();
  log.error({ connection, error }, 'a stream failed');
  return { code: INTERNAL, message: 'internal error' };
}

/** Whatever goes wrong there, the stream is over. */
export function closeSession(session: ProxySession, { metrics, log }: Pick<Accounts, 'metrics' | 'log'>): void {
  try {
    session.close();
  } catch (error) {
    metrics.internalErrors.inc();
    log.error({ connection: session.connectionId, error }, 'a session could not be closed');
  }
}
