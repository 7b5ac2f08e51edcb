// Messages of which only some texts differ: encoded once with slots in place of these, then written by filling them in.
// In: a message whose texts hold slots; later on, a text for each slot. Out: the bytes that encode() gives for the message
// with the texts in place. Called by translators for what every service has, such as its cluster.
import { copyOf } from './blocks.ts';
import { encodeJson } from './encode.ts';
import { CodecError } from './error.ts';
import { WireReader } from './reader.ts';
import { type Sharer, Share } from './share.ts';
import { type FieldInfo, type MessageInfo, messageInfo, typeNameOf } from './table.ts';
import { ReverseWriter } from './writer.ts';

export interface Template {
  /** The message with these texts. An empty text, which the wire may leave out with its field, is refused by a CodecError. */
  fill(...texts: readonly string[]): Uint8Array;
}

/** Two units that begin a slot, its number as one, and its end: no text of anybody's has them in a row. */
const MARK = '\u0001\u0002';
const FIRST_NUMBER = 0x30;
const SLOT_LENGTH = 4;

/** Stands for the text of that number (below 10), alone or among other text. */
export function slot(number: number): string {
  return `${MARK}${String.fromCharCode(FIRST_NUMBER + number)}\u0003`;
}

/** What is written, from the first byte to the last. */
type Part =
  | { readonly kind: 'literal'; readonly from: number; readonly to: number }
  | { readonly kind: 'slot'; readonly number: number }
  /** The length of all up to the end that belongs to it. */
  | { readonly kind: 'length' }
  | { readonly kind: 'end' };

/**
 * Lays out a message. Slots may stand in texts, and in the key of a map of one entry: several would be in the order of their
 * keys. Throws CodecError as encode does.
 */
export function templateOf(type: string, message: unknown): Template {
  const bytes = encodeJson(type, message);
  const info = messageInfo(type);
  if (info === undefined) throw new CodecError('', `a known message type, not ${type}`);
  const parts: Part[] = [];
  if (!layOut(new Source(bytes), info, 0, bytes.length, parts))
    parts.push({ kind: 'literal', from: 0, to: bytes.length });
  return new Filler(bytes, parts);
}

/** A template of what depends on nothing: it is laid out when it is first filled in. */
export class ConstantTemplate implements Template {
  #made: Template | (() => Template);

  constructor(make: () => Template) {
    this.#made = make;
  }

  fill(...texts: readonly string[]): Uint8Array {
    if (typeof this.#made === 'function') this.#made = this.#made();
    return this.#made.fill(...texts);
  }
}

const writer = new ReverseWriter();
/** Lengths at the ends of the messages being written. */
const ends: number[] = [];

/** By number of texts: below which length all of them have to be to have an image, so that their lengths together are one number. */
const LENGTHS = [256, 256, 256, 256, 256, 256, 256, 128, 64] as const;

/** The texts being filled in, one behind the other, as bytes: most stand in several slots. */
const letters = new Uint8Array(256 * LENGTHS.length);
/** Where each of them begins, and where the last one ends. */
const starts: number[] = [0];

/** Writes the texts down; false when they are not ASCII. */
function spelled(texts: readonly string[]): boolean {
  let at = 0;
  for (let number = 0; number < texts.length; number++) {
    const text = texts[number] as string;
    const { length } = text;
    for (let index = 0; index < length; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 127) return false;
      letters[at++] = unit;
    }
    starts[number + 1] = at;
  }
  return true;
}

/** A message as it was written once: with other texts of the same lengths it is the same but for their letters. */
interface Image {
  readonly bytes: Uint8Array;
  /** Where slots are, and at the same positions which: from the last to the first. */
  readonly positions: readonly number[];
  readonly slots: readonly number[];
}

/** For each template; beyond that they are begun anew. Of a thousand services a few hundred differ in their lengths. */
const MAX_IMAGES = 128;

/** Bytes of all images of a template: those of small messages are bounded by their number, of large ones there are few. */
const MAX_IMAGED = 524_288;

class Filler implements Template, Sharer {
  private readonly bytes: Uint8Array;
  /** Of each part: what it is, or the slot's number. */
  private readonly kinds: readonly number[];
  private readonly froms: readonly number[];
  private readonly tos: readonly number[];
  private readonly slots: number;
  /** By the lengths of all texts. */
  private readonly images = new Map<number, Image>();
  private readonly share = new Share(this);

  constructor(bytes: Uint8Array, parts: readonly Part[]) {
    this.bytes = bytes;
    this.kinds = parts.map((part) => (part.kind === 'slot' ? part.number : KINDS[part.kind]));
    this.froms = parts.map((part) => (part.kind === 'literal' ? part.from : 0));
    this.tos = parts.map((part) => (part.kind === 'literal' ? part.to : 0));
    this.slots = Math.max(-1, ...this.kinds) + 1;
  }

  fill(...texts: readonly string[]): Uint8Array {
    const lengths = this.lengthsOf(texts);
    if (lengths < 0 || !spelled(texts)) return this.written(texts, undefined);
    const image = this.images.get(lengths);
    return image === undefined ? this.pictured(lengths, texts) : developed(image);
  }

  /** The lengths of all texts as one number; -1 where they are too long or too many. */
  private lengthsOf(texts: readonly string[]): number {
    if (texts.length < this.slots) throw new CodecError('', 'a text for each slot');
    const limit = LENGTHS[texts.length] ?? 0;
    let all = limit === 0 ? -1 : 0;
    for (let number = 0; number < texts.length; number++) {
      const { length } = texts[number] as string;
      if (length === 0) throw new CodecError('', 'a text for each slot');
      all = all < 0 || length >= limit ? -1 : all * limit + length;
    }
    return all;
  }

  private pictured(lengths: number, texts: readonly string[]): Uint8Array {
    const positions: number[] = [];
    const written = this.written(texts, positions);
    if (written.length > MAX_IMAGED) return written;
    const full = this.images.size >= MAX_IMAGES || this.share.bytes + written.length > MAX_IMAGED;
    if (full) this.images.clear();
    this.share.become((full ? 0 : this.share.bytes) + written.length);
    const slots = this.kinds.filter((kind) => kind >= 0).reverse();
    const image = { bytes: written.slice(), positions: positions.map((at) => written.length - at), slots };
    this.images.set(lengths, image);
    return written;
  }

  forget(): void {
    this.images.clear();
  }

  /** `positions`: those of the slots are added, counted from the end. */
  private written(texts: readonly string[], positions: number[] | undefined): Uint8Array {
    const { bytes, kinds, froms, tos } = this;
    let open = 0;
    writer.reset();
    for (let at = kinds.length - 1; at >= 0; at--) {
      const kind = kinds[at] as number;
      if (kind === LITERAL) writer.bytes(bytes, froms[at], tos[at]);
      else if (kind === END) ends[open++] = writer.length;
      else if (kind === LENGTH) writer.small(writer.length - (ends[--open] as number));
      else {
        writer.characters(texts[kind] ?? '');
        positions?.push(writer.length);
      }
    }
    return writer.finish();
  }
}

/** The image with the letters that were spelled last. */
function developed({ bytes, positions, slots }: Image): Uint8Array {
  const copy = copyOf(bytes, 0, bytes.length);
  for (let index = 0; index < positions.length; index++) {
    const number = slots[index] as number;
    const end = starts[number + 1] as number;
    let at = positions[index] as number;
    for (let from = starts[number] as number; from < end; from++) copy[at++] = letters[from] as number;
  }
  return copy;
}

const LENGTH = -1;
const END = -2;
const LITERAL = -3;
const KINDS = { length: LENGTH, end: END, literal: LITERAL } as const;

/** Bytes with what finding slots in them needs. */
class Source {
  readonly bytes: Uint8Array;
  readonly reader: WireReader;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.reader = new WireReader(bytes);
  }

  /** Where something that looks like a slot begins, at or after `from`; -1 for nowhere. */
  find(from: number, to: number): number {
    const { bytes } = this;
    for (let at = from; at + SLOT_LENGTH <= to; at++) if (bytes[at] === 1 && bytes[at + 1] === 2) return at;
    return -1;
  }
}

/** Adds the parts of a message's contents; false, and nothing is added, when there is no slot in it. */
function layOut(source: Source, info: MessageInfo, from: number, to: number, parts: Part[]): boolean {
  if (source.find(from, to) < 0) return false;
  const { reader } = source;
  const first = parts.length;
  let literal = from;
  let packed: MessageInfo | undefined;
  reader.position = from;
  while (reader.position < to) {
    const tag = reader.varint();
    if ((tag & 7) !== 2) {
      reader.skip(tag);
      continue;
    }
    const tagged = reader.position;
    const end = reader.end();
    const start = reader.position;
    const field = info.fields.find(({ number }) => number === tag >>> 3);
    if (info.form === 'any' && field?.number === 1) packed = packedIn(source, start, end);
    const mark = parts.length;
    parts.push({ kind: 'literal', from: literal, to: tagged }, { kind: 'length' });
    const found = field !== undefined && layOutField(source, field, packed, start, end, parts);
    if (found) {
      parts.push({ kind: 'end' });
      literal = end;
    } else parts.length = mark;
    reader.position = end;
  }
  if (parts.length === first) return false;
  if (literal < to) parts.push({ kind: 'literal', from: literal, to });
  return true;
}

function packedIn({ bytes }: Source, from: number, to: number): MessageInfo | undefined {
  return messageInfo(typeNameOf(String.fromCharCode(...bytes.subarray(from, to))));
}

function layOutField(
  source: Source,
  field: FieldInfo,
  packed: MessageInfo | undefined,
  from: number,
  to: number,
  parts: Part[],
): boolean {
  if (field.shape === 'map') return layOut(source, entryOf(field), from, to, parts);
  if (field.scalar === 's') return layOutText(source, from, to, parts);
  const inside = field.scalar === 'B' ? packed : messageInfo(field.messageName);
  return inside !== undefined && layOut(source, inside, from, to, parts);
}

/** The message that an entry of a map is: its key is the field of number 1, its value that of number 2. */
function entryOf(field: FieldInfo): MessageInfo {
  const key: FieldInfo = { ...field, number: 1, shape: 'one', scalar: field.key, messageName: '' };
  const value: FieldInfo = { ...field, number: 2, shape: 'one' };
  return { name: '', form: 'fields', fields: [key, value], byJsonName: new Map(), byName: new Map() };
}

function layOutText(source: Source, from: number, to: number, parts: Part[]): boolean {
  let at = source.find(from, to);
  if (at < 0) return false;
  let literal = from;
  for (; at >= 0; at = source.find(literal, to)) {
    if (at > literal) parts.push({ kind: 'literal', from: literal, to: at });
    parts.push({ kind: 'slot', number: (source.bytes[at + 2] as number) - FIRST_NUMBER });
    literal = at + SLOT_LENGTH;
  }
  if (literal < to) parts.push({ kind: 'literal', from: literal, to });
  return true;
}
