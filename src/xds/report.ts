// What happens on a stream, told to those who keep account: the session, the metrics, the log, the stream's own tally.
// In: sent responses and the client's answers. Called by the stream.

import type { Log } from '../lib/ports.ts';
import type { Resource } from '../resources/resource.ts';
import type { Message } from './encode.ts';
import type { Exchange, ExchangeEvent, Response } from './exchange.ts';
import type { XdsMetrics } from './metrics.ts';
import type { ProxySession } from './port.ts';
import type { Tally } from './status.ts';

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

/** A response has gone out. `late`: without waiting any longer for answers that it should have waited for. */
export function reportSent(
  subject: Subject,
  nonce: string,
  response: Response,
  message: Message,
  late: boolean,
  accounts: Accounts,
): void {
  const { exchange, tally } = subject;
  const { metrics } = accounts;
  const type = exchange.traits.label;
  const bytes = message.byteLength;
  tally.sentAt = accounts.now;
  tally.pushes++;
  tally.bytes += bytes;
  metrics.pushes.inc({ type });
  metrics.configSize.observe(bytes, { type });
  if (late) metrics.orderTimeouts.inc({ type });
  const { version, resources } = response;
  accounts.session?.sent(exchange.typeUrl, { nonce, version, resources, removed: response.removed.length, bytes });
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
  const type = exchange.traits.label;
  if (event.kind === 'stale') metrics.expiredNonces.inc({ type });
  if (event.kind === 'ack') {
    tally.ackedAt = now;
    metrics.ackTime.observe((now - tally.sentAt) / 1000, { type });
    session?.acked(exchange.typeUrl, event.nonce);
  }
  if (event.kind === 'nack') {
    tally.errorAt = now;
    metrics.rejects.get(type)?.inc();
    metrics.totalRejects.inc({ type });
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
