// The well-known types that hold no other messages, which have JSON forms of their own: how each is written.
import { Encoded } from '../messages/index.ts';
import { keySegment, refuse, within } from './error.ts';
import { isRecord, sortedKeys } from './object.ts';
import { scalarOf } from './scalars.ts';
import { parseDuration, parseTimestamp, type SecondsNanos } from './time.ts';
import { ReverseWriter } from './writer.ts';

const writeInt64 = scalarOf('I').write;

function writeSecondsNanos(writer: ReverseWriter, { seconds, nanos }: SecondsNanos): void {
  if (nanos !== 0) {
    writer.int32(nanos);
    writer.small(0x10);
  }
  if (seconds !== 0) {
    writeInt64(writer, seconds);
    writer.small(0x08);
  }
}

/** A mesh has few different durations, and each of them in most of its resources. */
const MAX_DURATIONS = 1000;
const durations = new Map<string, Uint8Array>();
const durationWriter = new ReverseWriter();

function durationBytes(text: string): Uint8Array {
  durationWriter.reset();
  writeSecondsNanos(durationWriter, parseDuration(text) ?? refuse('a duration such as "1.5s"'));
  const bytes = durationWriter.finish();
  if (durations.size >= MAX_DURATIONS) durations.clear();
  durations.set(text, bytes);
  return bytes;
}

export function writeDuration(writer: ReverseWriter, value: unknown): void {
  if (typeof value !== 'string') return refuse('a duration such as "1.5s"');
  writer.bytes(durations.get(value) ?? durationBytes(value));
}

export function writeTimestamp(writer: ReverseWriter, value: unknown): void {
  const parsed = typeof value === 'string' ? parseTimestamp(value) : undefined;
  writeSecondsNanos(writer, parsed ?? refuse('a timestamp such as "2024-01-02T03:04:05Z"'));
}

/** `userAgent.id` to `user_agent.id`. */
export function maskPath(path: string): string {
  return path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function writeFieldMask(writer: ReverseWriter, value: unknown): void {
  if (typeof value !== 'string') return refuse('field paths joined by commas');
  const paths = value === '' ? [] : value.split(',');
  for (const path of paths.reverse()) {
    writer.text(maskPath(path));
    writer.small(0x0a);
  }
}

function writeMember(writer: ReverseWriter, key: string, value: unknown): void {
  const before = writer.length;
  try {
    writeDelimitedValue(writer, value);
  } catch (error) {
    throw within(keySegment(key), error);
  }
  writer.small(0x12);
  writer.text(key);
  writer.small(0x0a);
  writer.small(writer.length - before);
  writer.small(0x0a);
}

export function writeStruct(writer: ReverseWriter, value: unknown): void {
  if (value instanceof Encoded) return writer.bytes(value.bytes);
  if (!isRecord(value)) return refuse('an object');
  const keys = sortedKeys(value);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i] ?? '';
    writeMember(writer, key, value[key]);
  }
}

export function writeList(writer: ReverseWriter, value: unknown): void {
  if (!Array.isArray(value)) return refuse('a list');
  for (let i = value.length - 1; i >= 0; i--) {
    try {
      writeDelimitedValue(writer, value[i]);
    } catch (error) {
      throw within(`[${i}]`, error);
    }
    writer.small(0x0a);
  }
}

function writeDelimitedValue(writer: ReverseWriter, value: unknown): void {
  const before = writer.length;
  writeValue(writer, value);
  writer.small(writer.length - before);
}

export function writeValue(writer: ReverseWriter, value: unknown): void {
  if (typeof value === 'string') {
    writer.text(value);
    return writer.small(0x1a);
  }
  if (typeof value === 'number') {
    writer.double(value);
    return writer.small(0x11);
  }
  if (typeof value === 'boolean' || value === null) {
    writer.varint(value ? 1 : 0);
    return writer.small(value === null ? 0x08 : 0x20);
  }
  if (typeof value !== 'object') return refuse('a JSON value');
  const before = writer.length;
  (Array.isArray(value) ? writeList : writeStruct)(writer, value);
  writer.small(writer.length - before);
  return writer.small(Array.isArray(value) ? 0x32 : 0x2a);
}
