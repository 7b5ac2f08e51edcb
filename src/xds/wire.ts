// Protobuf fields, read where they lie and written one by one, without building messages.
// In: bytes, or values. Out: fields with their positions, or bytes. Called by the decoders, the encoder and the client.

export class WireError extends Error {}

/** Walks the fields of one message; positions are offsets into `bytes`. */
export class WireReader {
  readonly bytes: Buffer;
  readonly end: number;
  #at: number;
  /** Number of the current field. */
  field = 0;
  /** Where the current field began, its tag included. */
  start = 0;
  /** Content of a length-delimited field. */
  from = 0;
  to = 0;
  /** Content of a varint field. */
  value = 0;
  wireType = 0;

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.bytes = bytes;
    this.#at = from;
    this.end = to;
  }

  get at(): number {
    return this.#at;
  }

  /** Moves to the next field; false at the end. Throws on bytes that aren't protobuf. */
  next(): boolean {
    if (this.#at >= this.end) return false;
    this.start = this.#at;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0) throw new WireError('field number 0');
    switch (this.wireType) {
      case 0:
        this.value = this.#varint();
        break;
      case 1:
        this.#content(8);
        break;
      case 2:
        this.#content(this.#varint());
        break;
      case 5:
        this.#content(4);
        break;
      default:
        throw new WireError(`wire type ${this.wireType}`);
    }
    return true;
  }

  /**
   * Goes over the fields that follow and are like the current one: length-delimited, of the same number below 16, and shorter
   * than 128 bytes. `start` stays where the first of them began.
   */
  skipAlike(): void {
    const tag = this.bytes[this.start] as number;
    if (this.wireType !== 2 || tag > 127) return;
    let at = this.#at;
    while (at + 2 <= this.end && this.bytes[at] === tag) {
      const length = this.bytes[at + 1] as number;
      if (length > 127 || at + 2 + length > this.end) break;
      at += 2 + length;
    }
    this.#at = at;
  }

  /** Goes on at the field that begins there: those before have been read by somebody else. */
  skipTo(position: number): void {
    this.#at = position;
  }

  /** The current field as text. Throws when it isn't length-delimited. */
  text(): string {
    this.#delimited();
    return this.bytes.toString('utf8', this.from, this.to);
  }

  /** The current field's content, without a copy. */
  content(): Buffer {
    this.#delimited();
    return this.bytes.subarray(this.from, this.to);
  }

  /** A reader of the current field as a message. */
  nested(): WireReader {
    this.#delimited();
    return new WireReader(this.bytes, this.from, this.to);
  }

  double(): number {
    if (this.wireType !== 1) throw new WireError('not a double');
    return this.bytes.readDoubleLE(this.from);
  }

  #delimited(): void {
    if (this.wireType !== 2) throw new WireError(`field ${this.field} isn't length-delimited`);
  }

  #content(length: number): void {
    this.from = this.#at;
    this.to = this.#at + length;
    if (this.to > this.end) throw new WireError('message is cut off');
    this.#at = this.to;
  }

  /** Exact up to 2^53, which is more than any length or tag; larger values (negative numbers) come out rounded. */
  #varint(): number {
    let result = 0;
    let factor = 1;
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.end) throw new WireError('message is cut off');
      const byte = this.bytes[this.#at++] ?? 0;
      result += (byte & 127) * factor;
      if (byte < 128) return result;
      factor *= 128;
    }
    throw new WireError('varint is too long');
  }
}

/** A string field; the empty string is the default and not written. */
export function stringField(field: number, value: string): Buffer {
  return value === '' ? Buffer.alloc(0) : bytesField(field, Buffer.from(value));
}

/** A length-delimited field: bytes or a message. */
export function bytesField(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([fieldPrefix(field, content.length), content]);
}

/** Tag and length of a length-delimited field. */
export function fieldPrefix(field: number, length: number): Buffer {
  return Buffer.from([...varint(field * 8 + 2), ...varint(length)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}
