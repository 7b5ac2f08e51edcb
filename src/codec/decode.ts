// Wire to canonical JSON form.
// In: a message's full name and bytes from anywhere, well-formed or not. Out: what encode.ts takes: default scalars left
// out, enums by name, an Any unpacked when its type is known. Called through index.ts by the xDS server, the agent and
// the tools that show resources.
import { CodecError, keySegment, refuse, within } from './error.ts';
import { setKey, type Target } from './object.ts';
import { MAX_DEPTH, type Take, WireReader } from './reader.ts';
import { scalarOf } from './scalars.ts';
import { enumInfo, type FieldInfo, type MessageInfo, messageInfo } from './table.ts';
import { specialReader } from './well-known-read.ts';

interface FieldReader {
  readonly jsonName: string;
  readonly read: (reader: WireReader, target: Target, wireType: number, depth: number) => boolean;
}

const takers = new Map<string, Take>();

/** The scalar or enum of a field, one value at a time. */
function scalarReader(field: FieldInfo): (reader: WireReader) => unknown {
  if (field.scalar !== '') return scalarOf(field.scalar).read;
  if (field.enumName === 'google.protobuf.NullValue') {
    return (reader) => {
      reader.varint();
      return null;
    };
  }
  const { names } = enumInfo(field.enumName);
  return (reader) => {
    const number = reader.varint() | 0;
    return names.get(number) ?? number;
  };
}

function wireTypeOf(field: FieldInfo): number {
  if (field.scalar !== '') return scalarOf(field.scalar).wireType;
  return field.enumName !== '' ? 0 : 2;
}

function isDefaultOf(field: FieldInfo): (value: unknown) => boolean {
  if (field.scalar !== '') return scalarOf(field.scalar).isDefault;
  const zero = enumInfo(field.enumName).names.get(0) ?? 0;
  return (value) => value === zero;
}

function takeMessage(name: string): Take {
  let take: Take = (reader, end, previous, depth) => {
    take = messageTaker(name);
    return take(reader, end, previous, depth);
  };
  return (reader, end, previous, depth) => take(reader, end, previous, depth);
}

function delimited(reader: WireReader, take: Take, previous: unknown, depth: number): unknown {
  const end = reader.end();
  const value = take(reader, end, previous, depth);
  if (reader.position !== end) return refuse('a field that ends with its message');
  return value;
}

function singleReader(field: FieldInfo, siblings: readonly string[]): FieldReader['read'] {
  const wireType = wireTypeOf(field);
  const isDefault = field.messageName !== '' || field.presence ? () => false : isDefaultOf(field);
  const take = field.messageName === '' ? undefined : takeMessage(field.messageName);
  const scalar = field.messageName === '' ? scalarReader(field) : undefined;
  return (reader, target, found, depth) => {
    if (found !== wireType) return false;
    const name = field.jsonName;
    const value = take === undefined ? scalar?.(reader) : delimited(reader, take, target[name], depth);
    if (!isDefault(value)) target[name] = value;
    else if (target[name] !== undefined) delete target[name];
    for (const sibling of siblings) if (target[sibling] !== undefined) delete target[sibling];
    return true;
  };
}

/** The list at a field, made when first needed. */
function listAt(target: Target, name: string): unknown[] {
  const known = target[name];
  if (Array.isArray(known)) return known;
  const list: unknown[] = [];
  target[name] = list;
  return list;
}

function repeatedReader(field: FieldInfo): FieldReader['read'] {
  const wireType = wireTypeOf(field);
  if (field.messageName !== '') {
    const take = takeMessage(field.messageName);
    return (reader, target, found, depth) => {
      if (found !== 2) return false;
      const list = listAt(target, field.jsonName);
      list.push(delimitedElement(reader, take, list.length, depth));
      return true;
    };
  }
  const scalar = scalarReader(field);
  return (reader, target, found) => {
    if (found === wireType) listAt(target, field.jsonName).push(scalar(reader));
    else if (found !== 2) return false;
    else {
      const end = reader.end();
      const list = listAt(target, field.jsonName);
      while (reader.position < end) list.push(scalar(reader));
      if (reader.position !== end) return refuse('packed values that end with their field');
      if (list.length === 0) delete target[field.jsonName];
    }
    return true;
  };
}

function delimitedElement(reader: WireReader, take: Take, index: number, depth: number): unknown {
  try {
    return delimited(reader, take, undefined, depth);
  } catch (error) {
    throw within(`[${index}]`, error);
  }
}

/** What a map's value is when its entry carries none. */
function absentValue(field: FieldInfo): unknown {
  if (field.messageName !== '')
    return messageTaker(field.messageName)(new WireReader(new Uint8Array()), 0, undefined, 0);
  if (field.enumName !== '') return enumInfo(field.enumName).names.get(0) ?? 0;
  return field.scalar === 's' || field.scalar === 'B' ? '' : field.scalar === 'b' ? false : zeroOf(field.scalar);
}

function zeroOf(letter: string): number | string {
  return 'IUZXY'.includes(letter) ? '0' : 0;
}

/** An entry is a message of two fields: key 1, value 2. */
function mapReader(field: FieldInfo): FieldReader['read'] {
  const key = scalarOf(field.key);
  const valueType = wireTypeOf(field);
  const take = field.messageName === '' ? undefined : takeMessage(field.messageName);
  const scalar = field.messageName === '' ? scalarReader(field) : undefined;
  const absentKey = field.key === 's' ? '' : field.key === 'b' ? 'false' : '0';
  const readEntry = (reader: WireReader, end: number, depth: number): [string, unknown] => {
    let [name, value]: [string, unknown] = [absentKey, undefined];
    while (reader.position < end) {
      const tag = reader.varint();
      if (tag === (8 | key.wireType)) name = String(key.read(reader));
      else if (tag !== (16 | valueType)) reader.skip(tag);
      else if (take === undefined) value = scalar?.(reader);
      else {
        try {
          value = delimited(reader, take, value, depth);
        } catch (error) {
          throw within(keySegment(name), error);
        }
      }
    }
    if (reader.position !== end) return refuse('a map entry that ends with its field');
    return [name, value === undefined ? absentValue(field) : value];
  };
  return (reader, target, found, depth) => {
    if (found !== 2) return false;
    const [name, value] = readEntry(reader, reader.end(), depth);
    const map = (target[field.jsonName] ??= {}) as Target;
    setKey(map, name, value);
    return true;
  };
}

function fieldReader(field: FieldInfo, info: MessageInfo): FieldReader {
  const rivals = info.fields.filter((other) => field.oneof >= 0 && other.oneof === field.oneof && other !== field);
  const read = {
    one: () =>
      singleReader(
        field,
        rivals.map((rival) => rival.jsonName),
      ),
    repeated: () => repeatedReader(field),
    packed: () => repeatedReader(field),
    map: () => mapReader(field),
  }[field.shape]();
  return { jsonName: field.jsonName, read };
}

function fieldsTaker(info: MessageInfo): Take {
  const byNumber = new Map(info.fields.map((field) => [field.number, fieldReader(field, info)]));
  return (reader, end, previous, depth) => {
    if (depth > MAX_DEPTH) return refuse(`no more than ${MAX_DEPTH} nested messages`);
    const target = (previous ?? {}) as Target;
    while (reader.position < end) {
      const tag = reader.varint();
      if (tag < 8) return refuse('a field number above 0');
      const field = byNumber.get(tag >>> 3);
      try {
        if (field === undefined || !field.read(reader, target, tag & 7, depth + 1)) reader.skip(tag);
      } catch (error) {
        throw within(field?.jsonName ?? '', error);
      }
    }
    return target;
  };
}

function messageTaker(name: string): Take {
  const known = takers.get(name);
  if (known !== undefined) return known;
  const info = messageInfo(name);
  if (info === undefined) return refuse(`a known message type, not ${name}`);
  const made = specialReader(info, messageTaker) ?? fieldsTaker(info);
  takers.set(name, made);
  return made;
}

/** The canonical JSON form of a message's bytes. Throws CodecError. */
export function decodeJson(type: string, bytes: Uint8Array): unknown {
  const reader = new WireReader(bytes);
  const value = messageTaker(type)(reader, bytes.length, undefined, 0);
  if (reader.position !== bytes.length) throw new CodecError('', 'bytes that end with the message');
  return value;
}
