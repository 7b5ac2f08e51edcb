// Canonical JSON form to wire, in one pass.
// In: a message's full name and its JSON form. Out: bytes that are the same for equal messages: fields by number, map
// entries by key. Called through index.ts by whatever makes resources.
import { Encoded, Prepared } from '../messages/index.ts';
import { CodecError, keySegment, refuse, within } from './error.ts';
import type { Field } from './field.ts';
import { type KeyPaths, planAt } from './key-paths.ts';
import { keep, keptOf } from './lasting.ts';
import { isRecord, type Json, sortedKeys } from './object.ts';
import { type MessageType, typeOf } from './message-type.ts';
import { bytesOf } from './scalars.ts';
import { hasType, typeNameOf } from './table.ts';
import {
  writeDuration,
  writeFieldMask,
  writeList,
  writeStruct,
  writeTimestamp,
  writeValue,
} from './well-known-write.ts';
import { ReverseWriter } from './writer.ts';

const writer = new ReverseWriter();

/** The values of the messages being written, outermost first. */
const values: unknown[] = [];
let valueCount = 0;

/** Writes the contents of a message, without length. */
function writeMessage(out: ReverseWriter, type: MessageType, value: unknown): void {
  switch (type.form) {
    case 'fields':
      return writeFields(out, type, value);
    case 'any':
      return writeAny(out, value);
    case 'wrapper':
      return writeWrapper(out, type, value);
    case 'duration':
      return writeDuration(out, value);
    case 'struct':
      return writeStruct(out, value);
    case 'timestamp':
      return writeTimestamp(out, value);
    case 'fieldMask':
      return writeFieldMask(out, value);
    case 'value':
      return writeValue(out, value);
    case 'listValue':
      return writeList(out, value);
  }
}

function writeWrapper(out: ReverseWriter, { scalar }: MessageType, value: unknown): void {
  if (scalar === undefined || scalar.isDefault(value)) return;
  scalar.write(out, value);
  out.small(8 | scalar.wireType);
}

function writeFields(out: ReverseWriter, type: MessageType, message: unknown): void {
  if (!isRecord(message)) return refuse(`${type.info.name} as an object`);
  if (!(message instanceof Prepared)) return writeRecord(out, type.paths, message);
  const kept = keptOf(message);
  if (kept !== undefined) return out.bytes(kept);
  const start = out.length;
  writeRecord(out, type.paths, message as Json);
  keep(message, out.since(start));
}

function writeRecord(out: ReverseWriter, paths: KeyPaths, message: Json): void {
  const base = valueCount;
  let path = paths.start;
  let count = base;
  for (const key in message) {
    const value = message[key];
    if (value === undefined) continue;
    const next = path.first;
    path = next !== undefined && next.key === key ? next : paths.step(path, key, message);
    values[count++] = value;
  }
  valueCount = count;
  const { fields, positions } = path.plan ?? planAt(path);
  let at = 0;
  try {
    for (; at < fields.length; at++) writeField(out, fields[at] as Field, values[base + (positions[at] as number)]);
  } catch (error) {
    throw within(fields[at]?.name ?? '', error);
  }
  valueCount = base;
}

/** Writes a field with its tag, unless it is at a default that is left out. */
function writeField(out: ReverseWriter, field: Field, value: unknown): void {
  switch (field.shape) {
    case 'one':
      if (!field.presence && isDefault(field, value)) return;
      writeElement(out, field, value);
      return out.small(field.tag);
    case 'repeated':
      return writeElements(out, field, listOf(value), field.tag);
    case 'map':
      return writeMap(out, field, value);
    case 'packed':
      return writePacked(out, field, listOf(value));
  }
}

function isDefault(field: Field, value: unknown): boolean {
  switch (field.kind) {
    case 'text':
      return value === '';
    case 'bool':
      return value === false;
    case 'enum':
      return value === 0 || value === field.enumZero;
    case 'message':
      return false;
    case 'scalar':
      return field.isDefault(value);
  }
}

/** Writes one value of a field without tag; with its length where it has one. */
function writeElement(out: ReverseWriter, field: Field, value: unknown): void {
  switch (field.kind) {
    case 'message': {
      const before = out.length;
      writeMessage(out, (field.type ??= typeOf(field.messageName)), value);
      return out.small(out.length - before);
    }
    case 'text':
      return typeof value === 'string' ? out.text(value) : refuse('a string');
    case 'bool':
      return typeof value === 'boolean' ? out.varint(value ? 1 : 0) : refuse('true or false');
    case 'enum':
      return writeEnum(out, field, value);
    case 'scalar':
      return field.put(out, value);
  }
}

function writeEnum(out: ReverseWriter, field: Field, value: unknown): void {
  const number = typeof value === 'string' ? field.enumNumbers.get(value) : value;
  if (typeof number !== 'number' || (number | 0) !== number) return refuse(`a member of ${field.enumName}`);
  out.int32(number);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : refuse('a list');
}

/** Lists of more elements are measured first, as far as their bytes are known. */
const MANY = 64;
/** Bytes of a tag and a length, and of the fields beside a long list. */
const FRAMING = 8;
const BESIDE = 4096;

function roomFor(list: readonly unknown[]): number {
  let room = BESIDE;
  for (const each of list) room += each instanceof Encoded ? each.bytes.length + FRAMING : FRAMING;
  return room;
}

/** Writes the elements last to first; `tag` 0 for packed ones. */
function writeElements(out: ReverseWriter, field: Field, list: readonly unknown[], tag: number): void {
  let index = list.length - 1;
  if (index >= MANY) out.reserve(roomFor(list));
  try {
    for (; index >= 0; index--) {
      writeElement(out, field, list[index]);
      if (tag !== 0) out.small(tag);
    }
  } catch (error) {
    throw within(`[${index}]`, error);
  }
}

function writePacked(out: ReverseWriter, field: Field, list: readonly unknown[]): void {
  if (list.length === 0) return;
  const before = out.length;
  writeElements(out, field, list, 0);
  out.small(out.length - before);
  out.small(field.tag);
}

function writeMap(out: ReverseWriter, field: Field, map: unknown): void {
  if (!isRecord(map)) return refuse('an object');
  const keys = sortedKeys(map);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i] ?? '';
    const before = out.length;
    try {
      writeElement(out, field, map[key]);
      out.small(field.valueTag);
      field.putKey(out, key);
      out.small(field.keyTag);
    } catch (error) {
      throw within(keySegment(key), error);
    }
    out.small(out.length - before);
    out.small(field.tag);
  }
}

function writeAny(out: ReverseWriter, value: unknown): void {
  if (!isRecord(value)) return refuse('an object with @type');
  if (!(value instanceof Prepared)) return writeAnyRecord(out, value);
  const kept = keptOf(value);
  if (kept !== undefined) return out.bytes(kept);
  const start = out.length;
  writeAnyRecord(out, value as Json);
  keep(value, out.since(start));
}

function writeAnyRecord(out: ReverseWriter, any: Json): void {
  const url = any['@type'];
  const known = typeof url === 'string' ? packings.get(url) : undefined;
  const packing = known ?? packingOf(url);
  const before = out.length;
  writeContents(out, any, packing);
  if (out.length > before) {
    out.small(out.length - before);
    out.small(0x12);
  }
  out.bytes(packing.urlField);
}

/** What is known of a type URL. */
interface Packing {
  /** undefined for a type that the schema lacks */
  readonly type: MessageType | undefined;
  readonly name: string;
  /** the field of an Any that holds the URL */
  readonly urlField: Uint8Array;
}

/** More URLs than the schema has types are of users' making. */
const MAX_PACKINGS = 2000;
const packings = new Map<string, Packing>();
const urlWriter = new ReverseWriter();

function packingOf(url: unknown): Packing {
  if (typeof url !== 'string' || !url.includes('/')) throw new CodecError('@type', 'a type URL');
  const name = typeNameOf(url);
  urlWriter.reset();
  urlWriter.text(url);
  urlWriter.small(0x0a);
  const made = { type: hasType(name) ? typeOf(name) : undefined, name, urlField: urlWriter.finish() };
  if (packings.size >= MAX_PACKINGS) packings.clear();
  packings.set(url, made);
  return made;
}

/** What an Any packs. */
function writeContents(out: ReverseWriter, any: Json, { type, name }: Packing): void {
  if (type === undefined) return writeUnknown(out, any, name);
  if (type.form === 'fields') return writeRecord(out, type.packedPaths, any);
  try {
    writeMessage(out, type, any['value']);
  } catch (error) {
    throw within('value', error);
  }
}

/** An Any of a type that the schema lacks can only be what a decoder made of one: its bytes. */
function writeUnknown(out: ReverseWriter, any: Json, type: string): void {
  const { '@type': _, value, ...others } = any;
  if (typeof value !== 'string' || Object.keys(others).length > 0) {
    throw new CodecError('@type', `a known message type, not ${type}`);
  }
  out.bytes(bytesOf(value));
}

/** The bytes of a message given in canonical JSON form. Throws CodecError. */
export function encodeJson(type: string, message: unknown): Uint8Array {
  const found = typeOf(type);
  writer.reset();
  valueCount = 0;
  writeMessage(writer, found, message);
  return writer.finish();
}

/** One entry of a map with texts as keys, of a field with a number below 16, around a message that is already encoded. */
export function encodeEntry(number: number, key: string, message: Uint8Array): Uint8Array {
  writer.reset();
  writer.bytes(message);
  writer.small(message.length);
  writer.small(0x12);
  writer.text(key);
  writer.small(0x0a);
  writer.small(writer.length);
  writer.small((number << 3) | 2);
  return writer.finish();
}

/** The bytes of an Any around a message already encoded. */
export function packAny(type: string, bytes: Uint8Array): Uint8Array {
  const url = `type.googleapis.com/${type}`;
  writer.reset();
  if (bytes.length > 0) {
    writer.bytes(bytes);
    writer.small(bytes.length);
    writer.small(0x12);
  }
  writer.bytes((packings.get(url) ?? packingOf(url)).urlField);
  return writer.finish();
}
