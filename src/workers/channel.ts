// Messages between this process and one of its workers, over a pipe of their own: a length, then values as V8 writes them.
// In: values without functions; bytes in them cross as bytes. Out: the same values on the other side, in order. Called by both.
// The channel that Node.js makes for its children carries connections, and each waits there for the one before.

import type { Duplex } from 'node:stream';
import { deserialize, serialize } from 'node:v8';

const PREFIX = 4;

export class Channel<In, Out> {
  readonly #pipe: Duplex;
  readonly #receive: (message: In) => void;
  #chunks: Buffer[] = [];
  #held = 0;
  #wanted = PREFIX;

  /** `receive` is called for each message, in order. */
  constructor(pipe: Duplex, receive: (message: In) => void) {
    this.#pipe = pipe;
    this.#receive = receive;
    // The end of a worker is seen where its process is watched.
    pipe.on('error', () => {});
    pipe.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  send(message: Out): void {
    if (this.#pipe.destroyed) return;
    const body = serialize(message);
    const prefix = Buffer.allocUnsafe(PREFIX);
    prefix.writeUInt32LE(body.length);
    this.#pipe.cork();
    this.#pipe.write(prefix);
    this.#pipe.write(body);
    this.#pipe.uncork();
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    // A length and its message are read in two steps: long ones come in hundreds of pieces, put together once.
    while (this.#held >= this.#wanted) {
      const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#held);
      const end = PREFIX + all.readUInt32LE(0);
      if (all.length >= end) {
        this.#keep(all.subarray(end));
        this.#receive(deserialize(all.subarray(PREFIX, end)) as In);
      } else {
        this.#keep(all);
        this.#wanted = end;
      }
    }
  }

  #keep(rest: Buffer): void {
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#held = rest.length;
    this.#wanted = PREFIX;
  }
}
