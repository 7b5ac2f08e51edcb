// Canonical JSON form to wire, in one pass.
// In: a message's full name and its JSON form. Out: bytes that are the same for equal messages: fields by number, map
// entries by key. Called through index.ts by whatever makes resources.
import { compareStrings } from '../lib/order.ts';
import { Encoded } from '../messages/index.ts';
import { CodecError, keySegment, refuse, within } from './error.ts';
import { keptOf } from './lasting.ts';
import { isRecord } from './object.ts';
import { scalarOf, writeText } from './scalars.ts';
import { enumInfo, type FieldInfo, type MessageInfo, messageInfo } from './table.ts';
import { packed, specialWriter } from './well-known-write.ts';
import { type Put, ReverseWriter, type WriteMessage } from './writer.ts';

interface FieldWriter {
  readonly number: number;
  readonly name: string;
  /** bit of its oneof; 0 for none */
  readonly oneof: number;
  readonly write: Put;
}

/** Fields of the messages being written, outermost first, with their values. */
class Pending {
  readonly fields: FieldWriter[] = [];
  readonly values: unknown[] = [];
  count = 0;

  /** Adds a field, keeping those from `base` on sorted by number. */
  add(base: number, field: FieldWriter, value: unknown): void {
    const { fields, values } = this;
    let at = this.count++;
    for (let before = fields[at - 1]; at > base && before !== undefined && before.number > field.number; ) {
      fields[at] = before;
      values[at] = values[at - 1];
      at--;
      before = fields[at - 1];
    }
    fields[at] = field;
    values[at] = value;
  }
}

const pending = new Pending();
const writer = new ReverseWriter();
const writers = new Map<string, WriteMessage>();

function delimited(write: WriteMessage): Put {
  return (out, value) => {
    const before = out.length;
    write(out, value, false);
    out.varint(out.length - before);
  };
}

function enumPut(name: string): Put {
  const { numbers } = enumInfo(name);
  if (name === 'google.protobuf.NullValue') return (out, value) => (value === null ? out.varint(0) : refuse('null'));
  return (out, value) => {
    const number = typeof value === 'string' ? numbers.get(value) : value;
    if (typeof number !== 'number' || (number | 0) !== number) return refuse(`a member of ${name}`);
    out.int32(number);
  };
}

function putOf(field: FieldInfo): Put {
  if (field.scalar !== '') return scalarOf(field.scalar).write;
  if (field.enumName !== '') return enumPut(field.enumName);
  return lazily(field.messageName);
}

/** Messages refer to each other in circles, so a field's writer is made when the field is first set. */
function lazily(name: string): Put {
  let put: Put = (out, value) => {
    put = delimited(messageWriter(name));
    put(out, value);
  };
  return (out, value) => put(out, value);
}

function wireTypeOf(field: FieldInfo): number {
  if (field.scalar !== '') return scalarOf(field.scalar).wireType;
  return field.enumName !== '' ? 0 : 2;
}

function isDefaultOf(field: FieldInfo): (value: unknown) => boolean {
  if (field.scalar !== '') return scalarOf(field.scalar).isDefault;
  if (field.enumName === '') return () => false;
  const zero = enumInfo(field.enumName).names.get(0);
  return (value) => value === 0 || (value !== undefined && value === zero);
}

function singleWriter(field: FieldInfo): Put {
  const tag = ((field.number << 3) | wireTypeOf(field)) >>> 0;
  const put = putOf(field);
  if (field.messageName !== '' || field.presence) {
    return (out, value) => {
      put(out, value);
      out.varint(tag);
    };
  }
  const isDefault = isDefaultOf(field);
  return (out, value) => {
    if (isDefault(value)) return;
    put(out, value);
    out.varint(tag);
  };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : refuse('a list');
}

/** Puts the elements last to first; `tag` 0 for packed ones. */
function putElements(out: ReverseWriter, list: readonly unknown[], put: Put, tag: number): void {
  let index = list.length - 1;
  try {
    for (; index >= 0; index--) {
      put(out, list[index]);
      if (tag !== 0) out.varint(tag);
    }
  } catch (error) {
    throw within(`[${index}]`, error);
  }
}

function repeatedWriter(field: FieldInfo): Put {
  const tag = ((field.number << 3) | wireTypeOf(field)) >>> 0;
  const put = putOf(field);
  return (out, value) => putElements(out, listOf(value), put, tag);
}

function packedWriter(field: FieldInfo): Put {
  const tag = ((field.number << 3) | 2) >>> 0;
  const put = putOf(field);
  return (out, value) => {
    const list = listOf(value);
    if (list.length === 0) return;
    const before = out.length;
    putElements(out, list, put, 0);
    out.varint(out.length - before);
    out.varint(tag);
  };
}

/** A map key's scalar from the text that JSON holds it as. */
function keyPut(letter: string): Put {
  const { write } = scalarOf(letter);
  if (letter === 's') return (out, key) => writeText(out, String(key));
  if (letter === 'b') return (out, key) => write(out, key === 'true' ? true : key === 'false' ? false : key);
  if ('IUZXY'.includes(letter)) return write;
  return (out, key) => write(out, /^-?\d+$/.test(String(key)) ? Number(key) : key);
}

/** The keys that are set, sorted. */
function sortedKeys(map: Readonly<Record<string, unknown>>): string[] {
  const keys = Object.keys(map).filter((key) => map[key] !== undefined);
  return keys.length > 1 ? keys.sort(compareStrings) : keys;
}

function mapWriter(field: FieldInfo): Put {
  const tag = ((field.number << 3) | 2) >>> 0;
  const putKey = keyPut(field.key);
  const keyTag = 8 | scalarOf(field.key).wireType;
  const putValue = putOf(field);
  const valueTag = 16 | wireTypeOf(field);
  return (out, value) => {
    if (!isRecord(value)) return refuse('an object');
    const keys = sortedKeys(value);
    for (let i = keys.length - 1; i >= 0; i--) {
      const key = keys[i] ?? '';
      const before = out.length;
      try {
        putValue(out, value[key]);
        out.varint(valueTag);
        putKey(out, key);
        out.varint(keyTag);
      } catch (error) {
        throw within(keySegment(key), error);
      }
      out.varint(out.length - before);
      out.varint(tag);
    }
  };
}

const SHAPES = { one: singleWriter, repeated: repeatedWriter, packed: packedWriter, map: mapWriter } as const;

function fieldWriter(field: FieldInfo): FieldWriter {
  const oneof = field.oneof < 0 ? 0 : 1 << field.oneof;
  return { number: field.number, name: field.jsonName, oneof, write: SHAPES[field.shape](field) };
}

function fieldsOf(info: MessageInfo): ReadonlyMap<string, FieldWriter> {
  return new Map(info.fields.map((field) => [field.jsonName, fieldWriter(field)]));
}

/** Notes the fields that are set, by number; gives where they begin. */
function collect(info: MessageInfo, known: ReadonlyMap<string, FieldWriter>, message: object, inAny: boolean): number {
  const base = pending.count;
  let oneofs = 0;
  for (const key in message) {
    const value = (message as Readonly<Record<string, unknown>>)[key];
    if (value === undefined || (inAny && key === '@type')) continue;
    const field = known.get(key);
    if (field === undefined) throw within(key, unknownField(info));
    if (field.oneof !== 0) {
      if ((oneofs & field.oneof) !== 0) throw within(key, exclusiveField(info, message, key));
      oneofs |= field.oneof;
    }
    pending.add(base, field, value);
  }
  return base;
}

function unknownField(info: MessageInfo): unknown {
  return new CodecError('', `a field of ${info.name}`);
}

function exclusiveField(info: MessageInfo, message: object, key: string): unknown {
  const group = info.byJsonName.get(key)?.oneof;
  const other = Object.keys(message).find((name) => name !== key && info.byJsonName.get(name)?.oneof === group);
  return new CodecError('', `to be set without ${other ?? 'another field'}: they exclude each other`);
}

function fieldsWriter(info: MessageInfo): WriteMessage {
  const known = fieldsOf(info);
  return (out, message, inAny) => {
    if (message instanceof Encoded) return out.bytes(message.bytes);
    if (!isRecord(message)) return refuse(`${info.name} as an object`);
    const kept = inAny ? undefined : keptOf(message);
    if (kept?.bytes !== undefined) return out.bytes(kept.bytes);
    const start = out.length;
    const base = collect(info, known, message, inAny);
    let current = '';
    try {
      for (let at = pending.count - 1; at >= base; at--) {
        const field = pending.fields[at];
        if (field === undefined) continue;
        current = field.name;
        pending.count = at;
        field.write(out, pending.values[at]);
      }
    } catch (error) {
      throw within(current, error);
    }
    if (kept !== undefined) kept.bytes = out.since(start);
  };
}

/** The writer of a message type; a type that the schema lacks is refused. */
export function messageWriter(name: string): WriteMessage {
  const known = writers.get(name);
  if (known !== undefined) return known;
  const info = messageInfo(name);
  if (info === undefined) return refuse(`a known message type, not ${name}`);
  const made = specialWriter(info, messageWriter) ?? fieldsWriter(info);
  writers.set(name, made);
  return made;
}

/** The bytes of a message given in canonical JSON form. Throws CodecError. */
export function encodeJson(type: string, message: unknown): Uint8Array {
  const write = messageWriter(type);
  writer.reset();
  pending.count = 0;
  write(writer, message, false);
  return writer.finish();
}

/** The bytes of an Any around a message already encoded. */
export function packAny(type: string, bytes: Uint8Array): Uint8Array {
  return packed(type, bytes, writer);
}
