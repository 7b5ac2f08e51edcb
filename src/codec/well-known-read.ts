// The well-known types, which have JSON forms of their own: how each is read.
import { refuse } from './error.ts';
import { setKey, type Target } from './object.ts';
import { MAX_DEPTH, type Take, WireReader } from './reader.ts';
import { base64, scalarOf } from './scalars.ts';
import { type MessageInfo, messageInfo, typeNameOf } from './table.ts';
import { formatDuration, formatTimestamp, type SecondsNanos } from './time.ts';

/** Hands each field to `visit`, which says whether it took it. */
function eachField(reader: WireReader, end: number, visit: (tag: number) => boolean): void {
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag < 8) refuse('a field number above 0');
    if (!visit(tag)) reader.skip(tag);
  }
  if (reader.position !== end) refuse('a field that ends with its message');
}

function secondsNanos(reader: WireReader, end: number): SecondsNanos {
  let [seconds, nanos] = [0, 0];
  eachField(reader, end, (tag) => {
    if (tag === 0x08) {
      reader.varint64();
      seconds = (reader.high | 0) * 4_294_967_296 + reader.low;
    } else if (tag === 0x10) nanos = reader.varint() | 0;
    else return false;
    return true;
  });
  return { seconds, nanos };
}

const takeDuration: Take = (reader, end) => {
  const value = secondsNanos(reader, end);
  const bad = Math.abs(value.seconds) > 315_576_000_000 || Math.abs(value.nanos) > 999_999_999;
  return bad || value.seconds * value.nanos < 0 ? refuse('a duration within its limits') : formatDuration(value);
};

const takeTimestamp: Take = (reader, end) => {
  const value = secondsNanos(reader, end);
  const bad = value.seconds < -62_135_596_800 || value.seconds > 253_402_300_799;
  return bad || value.nanos < 0 || value.nanos > 999_999_999
    ? refuse('a timestamp within its limits')
    : formatTimestamp(value);
};

const takeFieldMask: Take = (reader, end) => {
  const paths: string[] = [];
  eachField(reader, end, (tag) => {
    if (tag !== 0x0a) return false;
    paths.push(reader.text().replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
    return true;
  });
  return paths.join(',');
};

function member(reader: WireReader, target: Target, depth: number): void {
  let key = '';
  let value: unknown = null;
  eachField(reader, reader.end(), (tag) => {
    if (tag === 0x0a) key = reader.text();
    else if (tag === 0x12) value = takeValue(reader, reader.end(), undefined, depth);
    else return false;
    return true;
  });
  setKey(target, key, value);
}

const takeStruct: Take = (reader, end, previous, depth) => {
  if (depth > MAX_DEPTH) return refuse(`no more than ${MAX_DEPTH} nested messages`);
  const target = (previous ?? {}) as Target;
  eachField(reader, end, (tag) => {
    if (tag !== 0x0a) return false;
    member(reader, target, depth + 1);
    return true;
  });
  return target;
};

const takeList: Take = (reader, end, previous, depth) => {
  if (depth > MAX_DEPTH) return refuse(`no more than ${MAX_DEPTH} nested messages`);
  const list = Array.isArray(previous) ? previous : [];
  eachField(reader, end, (tag) => {
    if (tag !== 0x0a) return false;
    list.push(takeValue(reader, reader.end(), undefined, depth + 1));
    return true;
  });
  return list;
};

const takeValue: Take = (reader, end, _previous, depth) => {
  let value: unknown = null;
  eachField(reader, end, (tag) => {
    if (tag === 0x1a) value = reader.text();
    else if (tag === 0x11) value = scalarOf('d').read(reader);
    else if (tag === 0x20) value = scalarOf('b').read(reader);
    else if (tag === 0x2a) value = takeStruct(reader, reader.end(), undefined, depth + 1);
    else if (tag === 0x32) value = takeList(reader, reader.end(), undefined, depth + 1);
    else if (tag === 0x08) {
      reader.varint64();
      value = null;
    } else return false;
    return true;
  });
  return value;
};

function wrapperTaker(info: MessageInfo): Take {
  const letter = info.fields[0]?.scalar ?? '';
  const scalar = scalarOf(letter);
  const zero = letter === 'b' ? false : letter === 's' || letter === 'B' ? '' : 'IU'.includes(letter) ? '0' : 0;
  return (reader, end) => {
    let value: unknown = zero;
    eachField(reader, end, (tag) => {
      if (tag !== (8 | scalar.wireType)) return false;
      value = scalar.read(reader);
      return true;
    });
    return value;
  };
}

function unpack(url: string, bytes: Uint8Array, takerOf: (name: string) => Take, depth: number): unknown {
  const info = messageInfo(typeNameOf(url));
  if (info === undefined || !url.includes('/')) return { '@type': url, value: base64(bytes) };
  const value = takerOf(info.name)(new WireReader(bytes), bytes.length, undefined, depth + 1);
  return info.form === 'fields' ? { '@type': url, ...(value as Target) } : { '@type': url, value };
}

function anyTaker(takerOf: (name: string) => Take): Take {
  return (reader, end, _previous, depth) => {
    if (depth > MAX_DEPTH) return refuse(`no more than ${MAX_DEPTH} nested messages`);
    let url = '';
    let bytes: Uint8Array = new Uint8Array();
    eachField(reader, end, (tag) => {
      if (tag === 0x0a) url = reader.text();
      else if (tag === 0x12) bytes = reader.span();
      else return false;
      return true;
    });
    return unpack(url, bytes, takerOf, depth);
  };
}

/** The reader of a well-known type; undefined for a message that is its fields. */
export function specialReader(info: MessageInfo, takerOf: (name: string) => Take): Take | undefined {
  switch (info.form) {
    case 'fields':
      return undefined;
    case 'any':
      return anyTaker(takerOf);
    case 'duration':
      return takeDuration;
    case 'timestamp':
      return takeTimestamp;
    case 'fieldMask':
      return takeFieldMask;
    case 'struct':
      return takeStruct;
    case 'value':
      return takeValue;
    case 'listValue':
      return takeList;
    case 'wrapper':
      return wrapperTaker(info);
  }
}
