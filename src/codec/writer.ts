import protobuf from 'protobufjs/minimal.js';
import { isAscii } from './ascii.ts';
import { copyOf } from './blocks.ts';

/** Writes a value without tag; with its length where the wire type needs one. */
export type Put = (writer: ReverseWriter, value: unknown) => void;

/** Text of more units than this is left to the platform, of which every call costs as much as this many units. */
const LONG_TEXT = 40;

/** A buffer that writes text itself. */
interface TextBuffer extends Uint8Array<ArrayBuffer> {
  /** Writes as many whole characters as fit in `length` bytes; gives the bytes written. */
  readonly utf8Write?: (text: string, offset: number, length: number) => number;
  /** Writes what base64 stands for; gives the bytes written. */
  readonly base64Write?: (text: string, offset: number, length: number) => number;
}

/** Up to so many bytes are copied one by one. */
const FEW_BYTES = 64;

const FIRST_SIZE = 16_384;

/** From this size on a message that fills most of the buffer takes it along. */
const LARGE = 262_144;

/**
 * Writes the wire format from its end to its beginning: when a length has to be written, what it counts is already there,
 * so nothing is measured twice and nothing is allocated per field. Callers write in reverse: value, length, tag; last
 * field first. One writer serves all messages in turn.
 */
export class ReverseWriter {
  private native: TextBuffer = protobuf.util.newBuffer(FIRST_SIZE) as TextBuffer;
  private buffer = new Uint8Array(this.native.buffer, this.native.byteOffset, this.native.length);
  private view = new DataView(this.native.buffer, this.native.byteOffset, this.native.length);
  private position = this.buffer.length;

  /** Bytes written so far. */
  get length(): number {
    return this.buffer.length - this.position;
  }

  reset(): void {
    if (this.buffer.length > 4_194_304) this.allocate(FIRST_SIZE);
    this.position = this.buffer.length;
  }

  /** What was written: a copy, or of a large message the buffer itself. */
  finish(): Uint8Array {
    const { buffer, position, length } = this;
    if (length < LARGE || length < buffer.length * 0.75) return copyOf(buffer, position, buffer.length);
    this.allocate(FIRST_SIZE);
    return buffer.subarray(position);
  }

  /** A copy of what was written since `length` was so long. */
  since(length: number): Uint8Array {
    return copyOf(this.buffer, this.position, this.buffer.length - length);
  }

  private allocate(size: number): void {
    this.native = protobuf.util.newBuffer(size) as TextBuffer;
    this.buffer = new Uint8Array(this.native.buffer, this.native.byteOffset, size);
    this.view = new DataView(this.native.buffer, this.native.byteOffset, size);
  }

  /** Makes room for so many bytes: growing by degrees would copy what is there each time. */
  reserve(count: number): void {
    if (this.position < count) this.grow(count);
  }

  private grow(count: number): void {
    const { buffer, position, length: used } = this;
    this.allocate(Math.max(buffer.length * 2, used + count));
    this.position = this.buffer.length - used;
    this.buffer.set(buffer.subarray(position), this.position);
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

  /** Bytes, or part of them; a few are copied one by one, which is less work than a view of them. */
  bytes(value: Uint8Array, start = 0, end = value.length): void {
    const count = end - start;
    this.reserve(count);
    this.position -= count;
    const { buffer, position } = this;
    if (count > FEW_BYTES) return buffer.set(count === value.length ? value : value.subarray(start, end), position);
    for (let i = 0; i < count; i++) buffer[position + i] = value[start + i] as number;
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
