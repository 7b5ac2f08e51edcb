import protobuf from 'protobufjs/minimal.js';
import { isAscii } from './ascii.ts';
import { BLOCK, copyOf, MAX_SHARED } from './blocks.ts';

/** Writes a value without tag; with its length where the wire type needs one. */
export type Put = (writer: ReverseWriter, value: unknown) => void;

/** Text of more units than this is left to the platform, of which every call costs as much as this many units. */
const LONG_TEXT = 40;

/** Bytes that are copied one by one: fewer than a call of the platform costs. */
const SHORT = 24;

/** A buffer that writes text itself. */
interface TextBuffer extends Uint8Array<ArrayBuffer> {
  /** Writes as many whole characters as fit in `length` bytes; gives the bytes written. */
  readonly utf8Write?: (text: string, offset: number, length: number) => number;
  /** Writes what base64 stands for; gives the bytes written. */
  readonly base64Write?: (text: string, offset: number, length: number) => number;
}

/** A message is begun in a new block where less than this is left of the old one, ... */
const LEAST_ROOM = 512;
/** ... or less than this, and the one before had to move. */
const SCANT = 4096;

/** From this size on a message that fills most of the buffer takes it along. */
const LARGE = 262_144;
/** Memory for large messages is kept for the next of them up to this. */
const MAX_KEPT = 4_194_304;

/** The same memory in the three forms in which it is written to. */
interface Memory {
  readonly native: TextBuffer;
  readonly buffer: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
}

function memoryOf(size: number): Memory {
  const native = protobuf.util.newBuffer(size) as TextBuffer;
  const buffer = new Uint8Array(native.buffer, native.byteOffset, size);
  return { native, buffer, view: new DataView(native.buffer, native.byteOffset, size) };
}

/**
 * Writes the wire format from its end to its beginning: when a length has to be written, what it counts is already there,
 * so nothing is measured twice and nothing is allocated per field. Callers write in reverse: value, length, tag; last
 * field first. One writer serves all messages in turn. A small message is written where it then stays, at the end of what
 * is free of a block; one that doesn't fit in moves to other memory.
 */
export class ReverseWriter {
  private block = memoryOf(BLOCK);
  /** Bytes of the block that no message has. */
  private free = BLOCK;
  private roomy: Memory | undefined;
  private native = this.block.native;
  private buffer = this.block.buffer;
  private view = this.block.view;
  /** Where the message being written ends, and where it begins so far. */
  private end = BLOCK;
  private position = BLOCK;

  /** Bytes written so far. */
  get length(): number {
    return this.end - this.position;
  }

  reset(): void {
    if (this.free < LEAST_ROOM) {
      this.block = memoryOf(BLOCK);
      this.free = BLOCK;
    }
    if (this.buffer !== this.block.buffer) this.use(this.block);
    this.end = this.position = this.free;
  }

  /** What was written: part of a block, a copy, or of a large message the memory itself. */
  finish(): Uint8Array {
    const { buffer, position, end, length } = this;
    if (buffer === this.block.buffer && length <= MAX_SHARED) {
      this.free = this.end = position;
      return buffer.subarray(position, end);
    }
    if (length < LARGE || length < buffer.length * 0.75) return copyOf(buffer, position, end);
    this.roomy = undefined;
    return buffer.subarray(position);
  }

  /** A copy of what was written since `length` was so long. */
  since(length: number): Uint8Array {
    return copyOf(this.buffer, this.position, this.end - length);
  }

  private use({ native, buffer, view }: Memory): void {
    this.native = native;
    this.buffer = buffer;
    this.view = view;
  }

  /** Makes room for so many bytes: growing by degrees would copy what is there each time. */
  reserve(count: number): void {
    if (this.position < count) this.grow(count);
  }

  private grow(count: number): void {
    const { buffer, position, end, length: used } = this;
    const size = Math.max(BLOCK * 2, used * 2, used + count);
    // The next message would hardly fit in either.
    if (this.free < SCANT) this.free = 0;
    const kept = this.roomy !== undefined && this.roomy.buffer !== buffer ? this.roomy : undefined;
    const roomy = kept !== undefined && kept.buffer.length >= size ? kept : memoryOf(size);
    this.roomy = roomy.buffer.length > MAX_KEPT ? undefined : roomy;
    this.use(roomy);
    this.end = roomy.buffer.length;
    this.position = this.end - used;
    roomy.buffer.set(buffer.subarray(position, end), this.position);
  }

  /** A tag or a length: as `varint`, apart from it because these are small integers, with which the platform is quicker. */
  small(value: number): void {
    if (value > 127 || this.position === 0) return this.varint(value);
    this.buffer[--this.position] = value;
  }

  /** An unsigned 32-bit varint: tags, lengths, uint32, bool. */
  varint(value: number): void {
    if (value < 128) {
      if (this.position === 0) this.grow(1);
      this.buffer[--this.position] = value;
      return;
    }
    this.reserve(5);
    const size = value < 16_384 ? 2 : value < 2_097_152 ? 3 : value < 268_435_456 ? 4 : 5;
    let at = this.position - size;
    this.position = at;
    let rest = value;
    while (rest > 127) {
      this.buffer[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.buffer[at] = rest;
  }

  /** A 64-bit varint in two halves, both unsigned. */
  varint64(low: number, high: number): void {
    if (high === 0) return this.varint(low);
    this.reserve(10);
    let [lo, hi] = [low, high];
    const bytes: number[] = [];
    while (hi !== 0 || lo > 127) {
      bytes.push((lo & 127) | 128);
      lo = ((lo >>> 7) | (hi << 25)) >>> 0;
      hi >>>= 7;
    }
    bytes.push(lo);
    this.position -= bytes.length;
    this.buffer.set(bytes, this.position);
  }

  /** int32 and enums: negative ones are sign-extended to 64 bits. */
  int32(value: number): void {
    if (value >= 0) this.varint(value);
    else this.varint64(value >>> 0, 0xffffffff);
  }

  fixed32(value: number): void {
    this.reserve(4);
    this.position -= 4;
    this.view.setUint32(this.position, value, true);
  }

  fixed64(low: number, high: number): void {
    this.fixed32(high);
    this.fixed32(low);
  }

  float(value: number): void {
    this.reserve(4);
    this.position -= 4;
    this.view.setFloat32(this.position, value, true);
  }

  double(value: number): void {
    this.reserve(8);
    this.position -= 8;
    this.view.setFloat64(this.position, value, true);
  }

  bytes(value: Uint8Array): void {
    const { length } = value;
    this.reserve(length);
    const at = this.position - length;
    this.position = at;
    if (length > SHORT) return this.buffer.set(value, at);
    for (let index = 0; index < length; index++) this.buffer[at + index] = value[index] as number;
  }

  /** The bytes that base64 stands for, of which the caller knows how many; false, and nothing is written, where the platform can't. */
  base64(digits: string, size: number): boolean {
    this.reserve(size);
    if (this.native.base64Write?.(digits, this.position - size, size) !== size) return false;
    this.position -= size;
    return true;
  }

  /** UTF-8 with its length; a lone surrogate becomes U+FFFD. */
  text(value: string): void {
    const before = this.length;
    this.characters(value);
    this.small(this.length - before);
  }

  /** UTF-8 without length; a lone surrogate becomes U+FFFD. */
  characters(value: string): void {
    const count = value.length;
    this.reserve(count * 3);
    if (count > LONG_TEXT) return this.longText(value);
    const buffer = this.buffer;
    const start = this.position - count;
    for (let i = 0; i < count; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return this.wideText(value);
      buffer[start + i] = unit;
    }
    this.position = start;
  }

  /** Long text, for which there is room. It is taken for ASCII: otherwise it begins elsewhere, and is written again. */
  private longText(value: string): void {
    const { native, buffer, view, position } = this;
    const count = value.length;
    const start = position - count;
    const written = native.utf8Write?.(value, start, count);
    if (written !== count || !isAscii(buffer, view, start, position)) return this.wideText(value);
    this.position = start;
  }

  /** Text beyond ASCII, for which there is room. */
  private wideText(value: string): void {
    const buffer = this.buffer;
    let at = this.position;
    for (let i = value.length - 1; i >= 0; i--) {
      const unit = value.charCodeAt(i);
      if (unit < 0x80) buffer[--at] = unit;
      else {
        const code = unit < 0xd800 || unit > 0xdfff ? unit : codePointEndingAt(value, i);
        if (code > 0xffff) i--;
        at = utf8Before(buffer, at, code);
      }
    }
    this.position = at;
  }
}

/** The code point of which the surrogate at `i` is the last unit; U+FFFD when it stands alone. */
function codePointEndingAt(value: string, i: number): number {
  const low = value.charCodeAt(i);
  const high = i > 0 ? value.charCodeAt(i - 1) : 0;
  const paired = low >= 0xdc00 && high >= 0xd800 && high <= 0xdbff;
  return paired ? 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
}

function utf8Before(buffer: Uint8Array, end: number, code: number): number {
  let at = end;
  buffer[--at] = (code & 63) | 128;
  if (code < 0x800) {
    buffer[--at] = (code >> 6) | 192;
    return at;
  }
  buffer[--at] = ((code >> 6) & 63) | 128;
  if (code < 0x10000) {
    buffer[--at] = (code >> 12) | 224;
    return at;
  }
  buffer[--at] = ((code >> 12) & 63) | 128;
  buffer[--at] = (code >> 18) | 240;
  return at;
}
