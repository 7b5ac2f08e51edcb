// What is known of each stream, for syncz, connections, proxy-status and config dumps.
// In: an exchange. Out: plain records. Called by the streams when asked.

import type { Resource } from '../resources/resource.ts';
import type { View } from '../resources/view.ts';
import type { Mode } from './encode.ts';
import type { Exchange } from './exchange.ts';
import { wholeWorld } from './plan.ts';
import type { NodeInfo, Peer, ProxySession } from './port.ts';

/** A moment in a type's exchange; `at` in ms since the epoch. */
export interface Moment {
  readonly nonce: string;
  readonly version: string;
  readonly at: number;
}

export interface TypeStatus {
  readonly typeUrl: string;
  readonly wildcard: boolean;
  /** Names subscribed to one by one. */
  readonly names: number;
  readonly sent: Moment | undefined;
  readonly acked: Moment | undefined;
  /** Last rejection, unless something was accepted since. */
  readonly error: { readonly nonce: string; readonly message: string; readonly at: number } | undefined;
  readonly unanswered: number;
  readonly pushes: number;
  readonly bytes: number;
  /** `taken`: the client holds what it is meant to have now. `refused`: but for what it has rejected. */
  readonly progress: 'taken' | 'under-way' | 'refused';
  /** Nothing was sent because the client said that it has the current resources already. */
  readonly upToDate: boolean;
  /** What the client holds, or will once it has answered what is under way. */
  resources(): readonly Resource[];
}

export interface StreamStatus {
  readonly connectionId: string;
  readonly mode: Mode;
  readonly node: NodeInfo;
  readonly peer: Peer;
  readonly connectedAt: number;
  /** The client doesn't read: since when, in ms since the epoch. */
  readonly blockedSince: number | undefined;
  readonly types: readonly TypeStatus[];
}

/** Times and sums that the exchange, which has no clock, can't know. */
export interface Tally {
  sentAt: number;
  ackedAt: number;
  errorAt: number;
  pushes: number;
  bytes: number;
}

/** What a stream says of how far its client is, and nothing more: of thousands it is asked every few seconds. */
export interface StreamProgress {
  readonly connectionId: string;
  readonly types: readonly Pick<TypeStatus, 'typeUrl' | 'progress'>[];
}

/** Of a type, as its stream keeps it. */
interface Subject {
  readonly exchange: Exchange;
  readonly tally: Tally;
}

export function typeStatuses(session: ProxySession, types: readonly Subject[]): readonly TypeStatus[] {
  return types.map(({ exchange, tally }) => typeStatus(exchange, tally, session.view(exchange.typeUrl)));
}

export function streamProgress(session: ProxySession, types: readonly Subject[]): StreamProgress {
  const progress = types.map(({ exchange }) => {
    const { typeUrl } = exchange;
    return { typeUrl, progress: progressOf(exchange, session.view(typeUrl)) };
  });
  return { connectionId: session.connectionId, types: progress };
}

/** `view`: what the client is meant to have now. */
function typeStatus(exchange: Exchange, tally: Tally, view: View | undefined): TypeStatus {
  const { acked, error, wants } = exchange;
  return {
    typeUrl: exchange.typeUrl,
    wildcard: wants.selection.wildcard,
    names: wants.selection.set.names.size,
    sent:
      exchange.lastNonce === ''
        ? undefined
        : { nonce: exchange.lastNonce, version: exchange.lastVersion, at: tally.sentAt },
    acked: acked === undefined ? undefined : { at: tally.ackedAt, ...acked },
    error: error === undefined ? undefined : { at: tally.errorAt, ...error },
    unanswered: exchange.unanswered.length,
    progress: progressOf(exchange, view),
    pushes: tally.pushes,
    bytes: tally.bytes,
    upToDate: exchange.lastNonce === '' && exchange.held.view !== undefined,
    resources: () => wholeWorld(exchange.held).flatMap((chunk) => chunk.resources),
  };
}

function progressOf({ error, waiting, held, active }: Exchange, view: View | undefined): TypeStatus['progress'] {
  if (error !== undefined) return 'refused';
  if (waiting) return 'under-way';
  return !active || held.view === view ? 'taken' : 'under-way';
}
