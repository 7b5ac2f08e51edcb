// What is written to one HTTP/2 stream, handed over a little at a time where the connection is encrypted.
// In: messages as buffers. Out: writes to the stream; who wrote is told when the connection has taken a message. One per call.
// All that a stream has at hand and its client's window admits goes through TLS in one piece, a megabyte and more of a first
// sync. Node.js encrypts it into memory that the connection keeps for as long as it lives: 1.2 GB of a server of a thousand
// proxies. A plain connection keeps nothing, and is given all at once.

import type { ServerHttp2Stream } from 'node:http2';

/** Bytes on their way to an encrypted connection, of one stream. */
export const ENCRYPTED_BURST = 64 * 1024;

type Taken = () => void;

interface Waiting {
  readonly buffer: Uint8Array;
  readonly taken: Taken | undefined;
}

export class WriteQueue {
  readonly #stream: ServerHttp2Stream;
  readonly #encrypted: boolean;
  readonly #waiting: Waiting[] = [];
  /** Bytes of the first that were handed over. */
  #cut = 0;
  /** Bytes that were handed over and not taken yet. */
  #underWay = 0;
  #corked = false;
  #whenEmpty: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    this.#encrypted = stream.session?.encrypted === true;
  }

  /** A message in one or more buffers; `taken` is called once, when the connection has taken the last byte of it. */
  write(buffers: readonly Uint8Array[], taken: Taken): void {
    const last = buffers.length - 1;
    if (last > 0) this.#cork();
    for (const [at, buffer] of buffers.entries()) {
      const told = at === last ? taken : undefined;
      if (this.#encrypted) this.#waiting.push({ buffer, taken: told });
      else this.#stream.write(buffer, told);
    }
    this.#handOver();
  }

  /** Calls back once all is handed over, at once if it is. */
  whenEmpty(then: () => void): void {
    this.#whenEmpty = then;
    this.#handOver();
  }

  /** As much as may be on its way. */
  #handOver(): void {
    while (this.#underWay < ENCRYPTED_BURST) {
      const next = this.#waiting[0];
      if (next === undefined) break;
      this.#hand(next);
    }
    if (this.#waiting.length > 0) return;
    this.#whenEmpty?.();
    this.#whenEmpty = undefined;
  }

  /** The next piece of the first that waits. */
  #hand({ buffer, taken }: Waiting): void {
    const piece = buffer.subarray(this.#cut, this.#cut + ENCRYPTED_BURST - this.#underWay);
    this.#cut += piece.length;
    const whole = this.#cut === buffer.length;
    if (whole) {
      this.#cut = 0;
      this.#waiting.shift();
    }
    this.#underWay += piece.length;
    this.#stream.write(piece, () => {
      this.#underWay -= piece.length;
      if (whole) taken?.();
      if (this.#underWay === 0) this.#handMore();
    });
  }

  #handMore(): void {
    if (this.#waiting.length === 0 || this.#stream.destroyed) return;
    this.#cork();
    this.#handOver();
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
