// What is written to one HTTP/2 stream, handed over a little at a time where the connection is encrypted.
// In: messages as buffers. Out: writes to the stream; who wrote is told when the connection has taken a message. One per call.
// All that a stream has at hand and its client's window admits goes through TLS in one piece, a megabyte and more of a first
// sync. Node.js encrypts it into memory that the connection keeps for as long as it lives: 1.2 GB of a server of a thousand
// proxies. A plain connection keeps nothing, and is given all at once.

import type { ServerHttp2Stream } from 'node:http2';

/** Bytes on their way to an encrypted connection, of one stream. */
export const ENCRYPTED_BURST = 64 * 1024;

/** The connection has taken something, or it is gone. */
export type Taken = () => void;

interface Waiting {
  readonly buffer: Uint8Array;
  readonly taken: Taken | undefined;
}

export class WriteQueue {
  readonly #stream: ServerHttp2Stream;
  readonly #burst: number;
  /** From `#first` on they wait. */
  #waiting: Waiting[] = [];
  #first = 0;
  /** Bytes of the first that were handed over. */
  #cut = 0;
  /** Bytes that were handed over and not taken yet. */
  #underWay = 0;
  #corked = false;
  #whenEmpty: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    this.#burst = stream.session?.encrypted === true ? ENCRYPTED_BURST : Number.POSITIVE_INFINITY;
  }

  /** A message in one or more buffers; `taken` is called once, when the connection has taken the last byte of it. */
  write(buffers: readonly Uint8Array[], taken: Taken): void {
    const last = buffers.length - 1;
    const [only] = buffers;
    if (last === 0 && only !== undefined && this.#hasRoomFor(only.length)) return this.#hand(only, taken);
    for (const [at, buffer] of buffers.entries())
      this.#waiting.push({ buffer, taken: at === last ? taken : undefined });
    this.#handAll();
  }

  /** Calls back once all is handed over, at once if it is. */
  whenEmpty(then: () => void): void {
    if (this.#first === this.#waiting.length) then();
    else this.#whenEmpty = then;
  }

  #hasRoomFor(size: number): boolean {
    return this.#first === this.#waiting.length && this.#underWay + size <= this.#burst;
  }

  /** As much as may be on its way. */
  #handAll(): void {
    while (this.#underWay < this.#burst) {
      const next = this.#waiting[this.#first];
      if (next === undefined) break;
      this.#cork();
      const end = Math.min(next.buffer.length, this.#cut + this.#burst - this.#underWay);
      const piece = this.#cut === 0 && end === next.buffer.length ? next.buffer : next.buffer.subarray(this.#cut, end);
      const whole = end === next.buffer.length;
      this.#cut = whole ? 0 : end;
      if (whole) this.#first++;
      this.#hand(piece, whole ? next.taken : undefined);
    }
    if (this.#first < this.#waiting.length) return;
    this.#waiting = [];
    this.#first = 0;
    this.#whenEmpty?.();
    this.#whenEmpty = undefined;
  }

  #hand(piece: Uint8Array, taken: Taken | undefined): void {
    if (this.#burst === Number.POSITIVE_INFINITY) {
      this.#stream.write(piece, taken);
      return;
    }
    this.#underWay += piece.length;
    this.#stream.write(piece, () => {
      this.#underWay -= piece.length;
      taken?.();
      if (this.#underWay === 0 && !this.#stream.destroyed) this.#handAll();
    });
  }

  /** What is written in one turn of the loop then goes out in one piece. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#stream.uncork();
    });
  }
}
