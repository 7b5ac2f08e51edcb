// Memory in which messages are put together, used again and again.
// In: sizes, and buffers whose messages have been read. Out: buffers. Called by the frame reader and by those who take its messages.
// A thousand clients that come back at once bring some 250 kB each. What is received lies in memory outside of V8's heap, which
// V8 counts: every 64 MB it looks through the whole heap for some to free, and that was half of what a reconnect cost. So
// chunks are copied out as they arrive, to where the next message will lie too, and what they lay in dies young: a small
// collection now and then frees it.

import type { Timers } from '../lib/ports.ts';

export interface MessageMemory {
  /** At least `size` bytes, with anything in them. */
  take(size: number): Buffer;
  /** Bytes of a message that nobody will look at again; without effect on those that lie elsewhere. */
  give(bytes: Buffer): void;
  /** So many bytes were copied out of chunks. */
  copied(bytes: number): void;
}

/** For a few connections: every message lies in memory of its own. */
export const OWN_MEMORY: MessageMemory = {
  take: (size) => Buffer.allocUnsafeSlow(size),
  give: () => {},
  copied: () => {},
};

export interface MemoryOptions {
  readonly timers: Timers;
  /** Frees what died young, see server/collect.ts. */
  readonly collect: () => void;
}

/** Buffers that are kept have a multiple of this, bytes, ... */
const STEP = 16 * 1024;
/** ... up to this. */
const LARGEST = 1024 * 1024;
/** Free buffers are kept up to this, bytes, ... */
const MAX_FREE = 32 * 1024 * 1024;
/** ... and let go when none was needed for so long, ms. */
const IDLE = 10_000;
/** Bytes of dead chunks between two collections: an eighth of what makes V8 look through its whole heap. */
const COLLECT_EVERY = 8 * 1024 * 1024;

export class SharedMemory implements MessageMemory {
  readonly #options: MemoryOptions;
  readonly #free: Buffer[][] = Array.from({ length: LARGEST / STEP }, () => []);
  /** Who gives twice, or what isn't from here, must not put bytes in two hands. */
  readonly #lent = new WeakSet<ArrayBufferLike>();
  #freeBytes = 0;
  #copied = 0;
  #used = false;
  #cancelTrim: (() => void) | undefined;

  constructor(options: MemoryOptions) {
    this.#options = options;
  }

  /** Bytes that are kept for messages to come. */
  get free(): number {
    return this.#freeBytes;
  }

  take(size: number): Buffer {
    this.#used = true;
    if (size > LARGEST) return Buffer.allocUnsafeSlow(size);
    const steps = Math.ceil(size / STEP);
    const free = this.#free[steps - 1]?.pop();
    if (free !== undefined) this.#freeBytes -= free.length;
    const bytes = free ?? Buffer.allocUnsafeSlow(steps * STEP);
    this.#lent.add(bytes.buffer);
    return bytes;
  }

  give(bytes: Buffer): void {
    const { buffer } = bytes;
    if (!this.#lent.delete(buffer)) return;
    if (this.#freeBytes + buffer.byteLength > MAX_FREE) return;
    this.#free[buffer.byteLength / STEP - 1]?.push(Buffer.from(buffer));
    this.#freeBytes += buffer.byteLength;
    this.#cancelTrim ??= this.#options.timers.setTimeout(() => this.#trim(), IDLE);
  }

  copied(bytes: number): void {
    this.#copied += bytes;
    if (this.#copied < COLLECT_EVERY) return;
    this.#copied = 0;
    this.#options.collect();
  }

  /** Lets go of everything, and of the timer. */
  close(): void {
    this.#cancelTrim?.();
    this.#drop();
  }

  #drop(): void {
    this.#cancelTrim = undefined;
    for (const list of this.#free) list.length = 0;
    this.#freeBytes = 0;
  }

  #trim(): void {
    if (!this.#used) return this.#drop();
    this.#used = false;
    this.#cancelTrim = this.#options.timers.setTimeout(() => this.#trim(), IDLE);
  }
}
