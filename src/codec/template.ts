// Messages of which only some texts differ: encoded once with slots in place of these, then written by filling them in.
// In: a message whose texts hold slots; later on, a text for each slot. Out: the bytes that encode() gives for the message
// with the texts in place. Called by translators for what every service has, such as its cluster.
import { blockWith, freeEnd, MAX_SHARED, takeFrom } from './blocks.ts';
import { encodeJson } from './encode.ts';
import { CodecError } from './error.ts';
import { WireReader } from './reader.ts';
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

/** Lays out a message. Slots may stand in texts, not in keys of maps. Throws CodecError as encode does. */
export function templateOf(type: string, message: unknown): Template {
  const bytes = encodeJson(type, message);
  const info = messageInfo(type);
  if (info === undefined) throw new CodecError('', `a known message type, not ${type}`);
  const parts: Part[] = [];
  if (!layOut(new Source(bytes), info, 0, bytes.length, parts))
    parts.push({ kind: 'literal', from: 0, to: bytes.length });
  return new Filler(bytes, parts);
}

const writer = new ReverseWriter();
/** Where the messages being written end: positions, or lengths so far. */
const ends: number[] = [];

/** Lengths up to this size take two bytes at most. */
const MAX_SIZE = 16_383;

/** Where messages are written that have memory of their own in the end. */
const large = new Uint8Array(MAX_SIZE);

/** The texts being filled in, one behind the other, as bytes: most stand in several slots. */
const letters = new Uint8Array(MAX_SIZE);
/** Where each of them begins, and where the last one ends. */
const starts: number[] = [0];

/** Writes down texts, of which each is known to have room; false when they are not ASCII. */
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

/** Pieces up to this size are copied byte by byte: asking the platform costs as much as so many. */
const SHORT = 120;

class Filler implements Template {
  private readonly bytes: Uint8Array;
  /** Of each part: what it is, or the slot's number. */
  private readonly kinds: readonly number[];
  private readonly froms: readonly number[];
  private readonly tos: readonly number[];
  /** How often each slot is there, and how much else there is at most. */
  private readonly counts: readonly number[];
  private readonly rest: number;

  constructor(bytes: Uint8Array, parts: readonly Part[]) {
    this.bytes = bytes;
    this.kinds = parts.map((part) => (part.kind === 'slot' ? part.number : KINDS[part.kind]));
    this.froms = parts.map((part) => (part.kind === 'literal' ? part.from : 0));
    this.tos = parts.map((part) => (part.kind === 'literal' ? part.to : 0));
    const counts = Array.from({ length: Math.max(-1, ...this.kinds) + 1 }, () => 0);
    for (const kind of this.kinds) if (kind >= 0) counts[kind] = (counts[kind] ?? 0) + 1;
    this.counts = counts;
    this.rest = bytes.length + 3 * this.kinds.filter((kind) => kind === LENGTH).length;
  }

  fill(...texts: readonly string[]): Uint8Array {
    const size = this.largest(texts);
    if (size > MAX_SIZE || !spelled(texts)) return this.filledApart(texts);
    const { kinds, froms, tos, bytes } = this;
    const shared = size <= MAX_SHARED;
    const buffer = shared ? blockWith(size) : large;
    let at = shared ? freeEnd() : MAX_SIZE;
    let open = 0;
    for (let index = kinds.length - 1; index >= 0; index--) {
      const kind = kinds[index] as number;
      if (kind === LITERAL) {
        const from = froms[index] as number;
        const to = tos[index] as number;
        if (to - from > SHORT) buffer.set(bytes.subarray(from, to), (at -= to - from));
        else for (let next = to - 1; next >= from; next--) buffer[--at] = bytes[next] as number;
      } else if (kind === END) ends[open++] = at;
      else if (kind === LENGTH) {
        const length = (ends[--open] as number) - at;
        if (length > 127) buffer[--at] = length >> 7;
        buffer[--at] = length > 127 ? (length & 127) | 128 : length;
      } else {
        const from = starts[kind] as number;
        for (let next = (starts[kind + 1] as number) - 1; next >= from; next--) buffer[--at] = letters[next] as number;
      }
    }
    return shared ? takeFrom(at) : large.slice(at);
  }

  /** How many bytes there may be, when all is ASCII. */
  private largest(texts: readonly string[]): number {
    const { counts } = this;
    let size = this.rest;
    if (texts.length < counts.length) throw new CodecError('', 'a text for each slot');
    for (let number = 0; number < texts.length; number++) {
      const { length } = texts[number] as string;
      if (length === 0) throw new CodecError('', 'a text for each slot');
      size += (counts[number] ?? 1) * length;
    }
    return size;
  }

  /** Larger ones, and texts beyond ASCII. */
  private filledApart(texts: readonly string[]): Uint8Array {
    const { bytes, kinds, froms, tos } = this;
    let open = 0;
    writer.reset();
    for (let at = kinds.length - 1; at >= 0; at--) {
      const kind = kinds[at] as number;
      if (kind === LITERAL) writer.bytes(bytes.subarray(froms[at], tos[at]));
      else if (kind === END) ends[open++] = writer.length;
      else if (kind === LENGTH) writer.small(writer.length - (ends[--open] as number));
      else writer.characters(texts[kind] ?? '');
    }
    return writer.finish();
  }
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

/** The message that an entry of a map is: its value is the field of number 2. */
function entryOf(field: FieldInfo): MessageInfo {
  const value: FieldInfo = { ...field, number: 2, shape: 'one' };
  return { name: '', form: 'fields', fields: [value], byJsonName: new Map(), byName: new Map() };
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
