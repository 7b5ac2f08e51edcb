// The well-known types, which have JSON forms of their own: how each is written.
import { compareStrings } from '../lib/order.ts';
import { Encoded } from '../messages/index.ts';
import { CodecError, keySegment, refuse, within } from './error.ts';
import { keptOf } from './lasting.ts';
import { isRecord, type Json } from './object.ts';
import { bytesOf, scalarOf, writeText } from './scalars.ts';
import { type MessageInfo, messageInfo, typeNameOf } from './table.ts';
import { parseDuration, parseTimestamp, type SecondsNanos } from './time.ts';
import type { ReverseWriter, WriteMessage } from './writer.ts';

function writeSecondsNanos(writer: ReverseWriter, { seconds, nanos }: SecondsNanos): void {
  if (nanos !== 0) {
    writer.int32(nanos);
    writer.varint(0x10);
  }
  if (seconds !== 0) {
    scalarOf('I').write(writer, seconds);
    writer.varint(0x08);
  }
}

const writeDuration: WriteMessage = (writer, value) => {
  const parsed = typeof value === 'string' ? parseDuration(value) : undefined;
  writeSecondsNanos(writer, parsed ?? refuse('a duration such as "1.5s"'));
};

const writeTimestamp: WriteMessage = (writer, value) => {
  const parsed = typeof value === 'string' ? parseTimestamp(value) : undefined;
  writeSecondsNanos(writer, parsed ?? refuse('a timestamp such as "2024-01-02T03:04:05Z"'));
};

/** `userAgent.id` to `user_agent.id`. */
export function maskPath(path: string): string {
  return path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const writeFieldMask: WriteMessage = (writer, value) => {
  if (typeof value !== 'string') return refuse('field paths joined by commas');
  const paths = value === '' ? [] : value.split(',');
  for (const path of paths.reverse()) {
    writeText(writer, maskPath(path));
    writer.varint(0x0a);
  }
};

function writeMember(writer: ReverseWriter, key: string, value: unknown): void {
  const before = writer.length;
  try {
    writeDelimitedValue(writer, value);
  } catch (error) {
    throw within(keySegment(key), error);
  }
  writer.varint(0x12);
  writeText(writer, key);
  writer.varint(0x0a);
  writer.varint(writer.length - before);
  writer.varint(0x0a);
}

const writeStruct: WriteMessage = (writer, value) => {
  if (value instanceof Encoded) return writer.bytes(value.bytes);
  if (!isRecord(value)) return refuse('an object');
  const keys = Object.keys(value).sort(compareStrings);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i] ?? '';
    if (value[key] !== undefined) writeMember(writer, key, value[key]);
  }
};

const writeList: WriteMessage = (writer, value) => {
  if (!Array.isArray(value)) return refuse('a list');
  for (let i = value.length - 1; i >= 0; i--) {
    try {
      writeDelimitedValue(writer, value[i]);
    } catch (error) {
      throw within(`[${i}]`, error);
    }
    writer.varint(0x0a);
  }
};

function writeDelimitedValue(writer: ReverseWriter, value: unknown): void {
  const before = writer.length;
  writeValue(writer, value, false);
  writer.varint(writer.length - before);
}

const writeValue: WriteMessage = (writer, value) => {
  const before = writer.length;
  if (typeof value === 'string') {
    writeText(writer, value);
    return writer.varint(0x1a);
  }
  if (typeof value === 'number') {
    writer.double(value);
    return writer.varint(0x11);
  }
  if (typeof value === 'boolean' || value === null) {
    writer.varint(value ? 1 : 0);
    return writer.varint(value === null ? 0x08 : 0x20);
  }
  if (typeof value !== 'object') return refuse('a JSON value');
  (Array.isArray(value) ? writeList : writeStruct)(writer, value, false);
  writer.varint(writer.length - before);
  return writer.varint(Array.isArray(value) ? 0x32 : 0x2a);
};

function wrapperWriter(info: MessageInfo): WriteMessage {
  const scalar = scalarOf(info.fields[0]?.scalar ?? '');
  const tag = 8 | scalar.wireType;
  return (writer, value) => {
    if (scalar.isDefault(value)) return;
    scalar.write(writer, value);
    writer.varint(tag);
  };
}

/** An Any of a type that the schema lacks can only be what a decoder made of one: its bytes. */
function writeUnknown(writer: ReverseWriter, any: Json, type: string): void {
  const { '@type': _, value, ...others } = any;
  if (typeof value !== 'string' || Object.keys(others).length > 0) {
    throw new CodecError('@type', `a known message type, not ${type}`);
  }
  writer.bytes(bytesOf(value));
}

function writePacked(writer: ReverseWriter, any: Json, type: string, writerOf: (name: string) => WriteMessage): void {
  const info = messageInfo(type);
  if (info === undefined) return writeUnknown(writer, any, type);
  if (info.form === 'fields') return writerOf(type)(writer, any, true);
  try {
    writerOf(type)(writer, any['value'], false);
  } catch (error) {
    throw within('value', error);
  }
}

function anyWriter(writerOf: (name: string) => WriteMessage): WriteMessage {
  return (writer, value) => {
    if (value instanceof Encoded) return writer.bytes(value.bytes);
    if (!isRecord(value)) return refuse('an object with @type');
    const kept = keptOf(value);
    if (kept?.bytes !== undefined) return writer.bytes(kept.bytes);
    const url = value['@type'];
    if (typeof url !== 'string' || !url.includes('/')) throw new CodecError('@type', 'a type URL');
    const before = writer.length;
    writePacked(writer, value, typeNameOf(url), writerOf);
    if (writer.length > before) {
      writer.varint(writer.length - before);
      writer.varint(0x12);
    }
    writeText(writer, url);
    writer.varint(0x0a);
    if (kept !== undefined) kept.bytes = writer.since(before);
  };
}

/** The Any that packs a message already encoded. */
export function packed(type: string, bytes: Uint8Array, writer: ReverseWriter): Uint8Array {
  writer.reset();
  if (bytes.length > 0) {
    writer.bytes(bytes);
    writer.varint(bytes.length);
    writer.varint(0x12);
  }
  writeText(writer, `type.googleapis.com/${type}`);
  writer.varint(0x0a);
  return writer.finish();
}

/** The writer of a well-known type; undefined for a message that is its fields. */
export function specialWriter(info: MessageInfo, writerOf: (name: string) => WriteMessage): WriteMessage | undefined {
  switch (info.form) {
    case 'fields':
      return undefined;
    case 'any':
      return anyWriter(writerOf);
    case 'duration':
      return writeDuration;
    case 'timestamp':
      return writeTimestamp;
    case 'fieldMask':
      return writeFieldMask;
    case 'struct':
      return writeStruct;
    case 'value':
      return writeValue;
    case 'listValue':
      return writeList;
    case 'wrapper':
      return wrapperWriter(info);
  }
}
