// Length-prefixed messages of gRPC over HTTP/2.
// In: chunks of a stream as they arrive, or a message. Out: messages, or buffers to write. Called by the calls; no I/O.

import { type MessageMemory, OWN_MEMORY } from './message-memory.ts';

/** A message to write, in pieces that may be shared with other streams. */
export interface Payload {
  readonly pieces: readonly Uint8Array[];
  /** Of all pieces together. */
  readonly byteLength: number;
}

/** A message that lies in one piece. */
export const payload = (bytes: Uint8Array): Payload => ({ pieces: [bytes], byteLength: bytes.byteLength });

/** Why the stream must end: what a gRPC status says. */
export interface FrameError {
  readonly kind: 'error';
  /** gRPC status code. */
  readonly code: number;
  readonly message: string;
}

const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const PREFIX = 5;

/** Memory for a message that comes in pieces, bytes, to begin with: one that only says that it is long shall not take much. */
const FIRST = 256 * 1024;

/** Puts messages together from chunks. A message that lies in one chunk is not copied. */
export class FrameReader {
  readonly #limit: number;
  readonly #encoding: string;
  readonly #memory: MessageMemory;
  readonly #prefix = Buffer.alloc(PREFIX);
  #prefixed = 0;
  /** The message under way: its length, where it is gathered, and how much of it is there. */
  #length = 0;
  #message: Buffer | undefined;
  #gathered = 0;

  /** `limit`: longest message, bytes; `encoding`: what the request's `grpc-encoding` says. */
  constructor(limit: number, encoding: string, memory: MessageMemory = OWN_MEMORY) {
    this.#limit = limit;
    this.#encoding = encoding;
    this.#memory = memory;
  }

  /** True between two messages: a stream may end here. */
  get whole(): boolean {
    return this.#message === undefined && this.#prefixed === 0;
  }

  /**
   * Calls `take` for each message that is whole now; gives the error after which nothing more can be read. A message may
   * be given back to the memory once it is read.
   */
  read(chunk: Buffer, take: (message: Buffer) => void): FrameError | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#message !== undefined) {
        at += this.#gather(this.#message, chunk, at, take);
        continue;
      }
      at += this.#readPrefix(chunk, at);
      if (this.#prefixed < PREFIX) break;
      this.#prefixed = 0;
      const length = this.#prefix.readUInt32BE(1);
      const error = this.#refusal(this.#prefix[0] ?? 0, length);
      if (error !== undefined) return error;
      if (chunk.length - at >= length) {
        take(chunk.subarray(at, at + length));
        at += length;
      } else {
        this.#length = length;
        this.#gathered = 0;
        this.#message = this.#memory.take(Math.min(length, Math.max(FIRST, chunk.length)));
      }
    }
    return undefined;
  }

  /** Copies what there is of the prefix; gives how much. */
  #readPrefix(chunk: Buffer, at: number): number {
    const size = chunk.copy(this.#prefix, this.#prefixed, at);
    this.#prefixed += size;
    return size;
  }

  /** Copies what there is of the message; gives how much. */
  #gather(into: Buffer, chunk: Buffer, at: number, take: (message: Buffer) => void): number {
    const size = Math.min(this.#length - this.#gathered, chunk.length - at);
    const message = this.#roomFor(into, this.#gathered + size);
    chunk.copy(message, this.#gathered, at, at + size);
    this.#gathered += size;
    this.#memory.copied(size);
    if (this.#gathered === this.#length) {
      this.#message = undefined;
      take(message.subarray(0, this.#length));
    } else this.#message = message;
    return size;
  }

  #roomFor(message: Buffer, size: number): Buffer {
    if (size <= message.length) return message;
    const larger = this.#memory.take(Math.min(this.#length, Math.max(size, message.length * 2)));
    message.copy(larger, 0, 0, this.#gathered);
    this.#memory.give(message);
    return larger;
  }

  #refusal(flag: number, length: number): FrameError | undefined {
    if (flag === 1) {
      if (this.#encoding === 'identity') {
        return { kind: 'error', code: INTERNAL, message: 'a message says that it is compressed, the call does not' };
      }
      const message = `messages compressed with ${this.#encoding} are not accepted`;
      return { kind: 'error', code: UNIMPLEMENTED, message };
    }
    if (flag !== 0) return { kind: 'error', code: INTERNAL, message: `message flag ${flag} is not known` };
    if (length <= this.#limit) return undefined;
    const message = `Received message larger than max (${length} vs. ${this.#limit})`;
    return { kind: 'error', code: RESOURCE_EXHAUSTED, message };
  }
}

/** Pieces below this size are copied together; larger ones are written where they lie. */
const SMALL = 16 * 1024;

/** Memory for small messages is taken piece by piece from blocks of this size, bytes. */
const BLOCK = 64 * 1024;
let block = Buffer.alloc(0);
let used = 0;

function smallFrame(message: Payload): Buffer {
  const size = PREFIX + message.byteLength;
  if (block.length - used < size) {
    block = Buffer.allocUnsafeSlow(BLOCK);
    used = 0;
  }
  const frame = block.subarray(used, used + size);
  used += size;
  frame[0] = 0;
  frame.writeUInt32BE(message.byteLength, 1);
  let at = PREFIX;
  for (const piece of message.pieces) {
    frame.set(piece, at);
    at += piece.length;
  }
  return frame;
}

/** A message as buffers to write: no compression, length, message. What many streams are sent stays one buffer. */
export function framed(message: Payload): readonly Uint8Array[] {
  if (message.byteLength < SMALL) return [smallFrame(message)];
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(message.byteLength, 1);
  const buffers: Uint8Array[] = [];
  let small: Uint8Array[] = [prefix];
  for (const piece of message.pieces) {
    if (piece.length < SMALL) {
      small.push(piece);
      continue;
    }
    if (small.length > 0) buffers.push(Buffer.concat(small));
    small = [];
    buffers.push(piece);
  }
  if (small.length > 0) buffers.push(Buffer.concat(small));
  return buffers;
}

/** `grpc-message`: UTF-8, percent-encoded but for printable ASCII. */
export function encodedMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** The text of a `grpc-message`; what isn't percent-encoded rightly stays as it is. */
export function decodedMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` in ms; undefined when it isn't one. */
export function timeoutOf(header: string): number | undefined {
  const [, digits = '', unit = ''] = TIMEOUT.exec(header) ?? [];
  const factor = UNIT_MS[unit];
  return factor === undefined ? undefined : Number(digits) * factor;
}
