// Finds connections whose client is gone without a word. As gRPC has it, only who was silent is pinged: each answer to a push
// says as much as the answer to a ping would.
// In: HTTP/2 connections as they come. Out: pings, and the end of connections of which nothing is heard. Called by the server.
// One timer for all, which looks at a fifth of them at a time: a timer and a ping for each cost more than small pushes do.

import type { ServerHttp2Session } from 'node:http2';
import type { Timers } from '../lib/ports.ts';

export interface KeepaliveOptions {
  readonly timers: Timers;
  /** Silence after which a connection is pinged, ms. */
  readonly every: number;
  /** How long it may then be silent still, ms. */
  readonly patience: number;
}

interface Watched {
  readonly session: ServerHttp2Session;
  /** Bytes that had come when it was last looked at. */
  received: number;
  /** Looks since anything came. */
  silent: number;
}

/** Looks at one connection within `every`. */
const LOOKS = 6;
/** Parts into which connections are divided. */
const PARTS = 5;

export class Keepalive {
  readonly #timers: Timers;
  readonly #interval: number;
  /** Looks in silence after which a connection is given up. */
  readonly #last: number;
  readonly #parts: readonly Set<Watched>[] = Array.from({ length: PARTS }, () => new Set<Watched>());
  #next = 0;
  #cancel: (() => void) | undefined;

  constructor({ timers, every, patience }: KeepaliveOptions) {
    this.#timers = timers;
    this.#interval = every / LOOKS / PARTS;
    this.#last = LOOKS + Math.ceil((patience * LOOKS) / every);
  }

  /** Until it is closed, by whomever. */
  watch(session: ServerHttp2Session): void {
    // The part that was looked at last: its first look comes after a whole round.
    const part = this.#parts[(this.#next + PARTS - 1) % PARTS];
    if (part === undefined || session.destroyed) return;
    const watched: Watched = { session, received: 0, silent: 0 };
    part.add(watched);
    session.once('close', () => {
      part.delete(watched);
      if (this.#parts.every(({ size }) => size === 0)) this.stop();
    });
    this.#cancel ??= this.#timers.setTimeout(() => this.#look(), this.#interval);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #look(): void {
    this.#cancel = this.#timers.setTimeout(() => this.#look(), this.#interval);
    for (const watched of this.#parts[this.#next] ?? []) this.#lookAt(watched);
    this.#next = (this.#next + 1) % PARTS;
  }

  #lookAt(watched: Watched): void {
    const { session } = watched;
    if (session.destroyed) return;
    const received = session.socket.bytesRead;
    watched.silent = received === watched.received ? watched.silent + 1 : 0;
    watched.received = received;
    if (watched.silent === LOOKS) ping(session);
    else if (watched.silent >= this.#last) session.destroy();
  }
}

/** Its answer is heard as everything else is. */
function ping(session: ServerHttp2Session): void {
  if (!session.ping(() => undefined)) session.destroy();
}
