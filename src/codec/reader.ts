import protobuf from 'protobufjs/minimal.js';
import { isAscii } from './ascii.ts';
import { CodecError } from './error.ts';

/** Reads one value up to `end`; `previous` is what the same field held before, for messages that come in parts. */
export type Take = (reader: WireReader, end: number, previous: unknown, depth: number) => unknown;

/** Messages nested deeper are refused. */
export const MAX_DEPTH = 100;

/** Bytes that read text themselves, at a fraction of what a loop over them costs. */
interface TextSource {
  readonly latin1Slice: (start: number, end: number) => string;
}

interface TextSources {
  readonly from: (buffer: ArrayBufferLike, offset: number, length: number) => TextSource;
}

/** The platform's, where it has them. */
const sources = protobuf.util.Buffer as unknown as TextSources | null;

/** Reads the wire format strictly: a length or a varint that runs past the end is an error. */
export class WireReader {
  readonly bytes: Uint8Array;
  position: number;
  private readonly view: DataView;
  private source: TextSource | undefined;
  /** the halves of the last varint64 or fixed64 */
  low = 0;
  high = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.position = 0;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private take(count: number): number {
    const start = this.position;
    if (start + count > this.bytes.length) throw new CodecError('', 'more bytes: the message is cut off');
    this.position = start + count;
    return start;
  }

  /** A varint's low 32 bits, unsigned. */
  varint(): number {
    const first = this.bytes[this.position];
    if (first !== undefined && first < 128) {
      this.position++;
      return first;
    }
    this.varint64();
    return this.low;
  }

  varint64(): void {
    let [low, high] = [0, 0];
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.bytes[this.take(1)] ?? 0;
      const part = byte & 127;
      if (shift < 28) low |= part << shift;
      else if (shift === 28) {
        low |= part << 28;
        high = part >> 4;
      } else if (shift < 63 || part <= 1) high |= part << (shift - 32);
      if (byte < 128) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw new CodecError('', 'a varint of at most ten bytes');
  }

  fixed32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  fixed64(): void {
    const start = this.take(8);
    this.low = this.view.getUint32(start, true);
    this.high = this.view.getUint32(start + 4, true);
  }

  float(): number {
    return this.view.getFloat32(this.take(4), true);
  }

  double(): number {
    return this.view.getFloat64(this.take(8), true);
  }

  /** The end of a length-delimited value that starts here once its length is read. */
  end(): number {
    const length = this.varint();
    if (this.position + length > this.bytes.length) throw new CodecError('', 'more bytes: the message is cut off');
    return this.position + length;
  }

  span(): Uint8Array {
    const end = this.end();
    const span = this.bytes.subarray(this.position, end);
    this.position = end;
    return span;
  }

  text(): string {
    const end = this.end();
    const from = this.position;
    this.position = end;
    if (sources === null || !isAscii(this.bytes, this.view, from, end)) {
      return protobuf.util.utf8.read(this.bytes, from, end);
    }
    this.source ??= sources.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    return this.source.latin1Slice(from, end);
  }

  /** Passes over a field that nobody asked for. */
  skip(tag: number): void {
    const open: number[] = [];
    this.skipValue(tag, open);
    while (open.length > 0) this.skipValue(this.varint(), open);
  }

  /** Groups are on nobody's wire any more, but a well-formed one is no error; `open` holds the numbers of open groups. */
  private skipValue(tag: number, open: number[]): void {
    switch (tag & 7) {
      case 0:
        return this.varint64();
      case 1:
        return void this.take(8);
      case 2:
        this.position = this.end();
        return;
      case 3:
        if (open.length > 100) throw new CodecError('', 'fewer nested groups');
        open.push(tag >>> 3);
        return;
      case 4:
        if (open.pop() !== tag >>> 3) throw new CodecError('', 'a group that ends as it began');
        return;
      case 5:
        return void this.take(4);
      default:
        throw new CodecError('', 'a wire type from 0 to 5');
    }
  }
}
