// User-written proto-JSON to the canonical form.
// In: what an EnvoyFilter's patch or a mesh config's raw extension holds: field names in either case, numbers as text,
// enums by number, nulls. Out: the form that encode takes, and what could not be understood, with its path; the rest is
// still there. Called by translate.
import { CodecError, joinPath, keySegment } from './error.ts';
import { isRecord, type Json, setKey } from './object.ts';
import { base64, bytesOf, scalarOf } from './scalars.ts';
import { enumInfo, type FieldInfo, type MessageInfo, messageInfo, typeNameOf } from './table.ts';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp } from './time.ts';
import { ReverseWriter } from './writer.ts';

export interface CodecProblem {
  /** `unknown-field`: left out, harmless to those who write for newer proxies; `invalid`: not what its type admits. */
  readonly kind: 'unknown-field' | 'invalid';
  /** as written by the user */
  readonly path: string;
  readonly expected: string;
}

export interface Normalised {
  /** canonical, without what the problems name */
  readonly value: unknown;
  readonly problems: readonly CodecProblem[];
}

/** Marks a value that was refused, so that its field is left out. */
const REFUSED = Symbol('refused');
const MAX_DEPTH = 100;

class Walk {
  readonly problems: CodecProblem[] = [];

  refuse(path: string, expected: string, kind: CodecProblem['kind'] = 'invalid'): typeof REFUSED {
    this.problems.push({ kind, path, expected });
    return REFUSED;
  }
}

function integerLike(value: unknown): unknown {
  if (typeof value !== 'string' || !/^-?\d+(\.0+)?([eE][+-]?\d+)?$/.test(value)) return value;
  return Number(value);
}

function numberLike(value: unknown): unknown {
  return typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value)) ? Number(value) : value;
}

const probe = new ReverseWriter();

/** The canonical JSON value of a scalar; whether it is one is for the writer to say. */
function scalar(letter: string, value: unknown, path: string, walk: Walk): unknown {
  const wide = 'IUZXY'.includes(letter);
  const read = 'df'.includes(letter) ? numberLike(value) : 'iuzxy'.includes(letter) ? integerLike(value) : value;
  try {
    probe.reset();
    scalarOf(letter).write(probe, read);
    if (letter === 'B') return base64(bytesOf(read));
    return wide ? BigInt(read as string | number).toString() : read;
  } catch (error) {
    if (error instanceof CodecError) return walk.refuse(path, error.expected);
    throw error;
  }
}

function enumMember(name: string, value: unknown, path: string, walk: Walk): unknown {
  const info = enumInfo(name);
  if (typeof value === 'string' && info.numbers.has(value)) return value;
  const number = integerLike(value);
  if (typeof number === 'number' && Number.isInteger(number)) return info.names.get(number) ?? number;
  return walk.refuse(path, `one of ${[...info.numbers.keys()].join(', ')}`);
}

function jsonValue(value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (depth > MAX_DEPTH) return walk.refuse(path, 'less nesting');
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : walk.refuse(path, 'a finite number');
  if (Array.isArray(value)) {
    const items = value.map((item, index) => jsonValue(item, `${path}[${index}]`, walk, depth + 1));
    return items.filter((item) => item !== REFUSED);
  }
  if (!isRecord(value)) return walk.refuse(path, 'a JSON value');
  const out: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const made = item === undefined ? REFUSED : jsonValue(item, joinPath(path, keySegment(key)), walk, depth + 1);
    if (made !== REFUSED) setKey(out, key, made);
  }
  return out;
}

function timeText(form: 'duration' | 'timestamp', value: unknown, path: string, walk: Walk): unknown {
  if (typeof value === 'string') {
    const parsed = form === 'duration' ? parseDuration(value) : parseTimestamp(value);
    if (parsed !== undefined) return form === 'duration' ? formatDuration(parsed) : formatTimestamp(parsed);
  }
  return walk.refuse(
    path,
    form === 'duration' ? 'a duration such as "1.5s"' : 'a timestamp such as "2024-01-02T03:04:05Z"',
  );
}

function any(value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (!isRecord(value)) return walk.refuse(path, 'an object with @type');
  if (Object.keys(value).length === 0) return REFUSED;
  const url = value['@type'];
  if (typeof url !== 'string' || !url.includes('/')) return walk.refuse(joinPath(path, '@type'), 'a type URL');
  const info = messageInfo(typeNameOf(url));
  if (info === undefined) return walk.refuse(joinPath(path, '@type'), `a known message type, not ${typeNameOf(url)}`);
  if (info.form === 'fields') {
    const { '@type': _, ...rest } = value;
    const fields = message(info, rest, path, walk, depth + 1);
    return fields === REFUSED ? REFUSED : { '@type': url, ...(fields as Json) };
  }
  const inner = message(info, value['value'], joinPath(path, 'value'), walk, depth + 1);
  return inner === REFUSED ? REFUSED : { '@type': url, value: inner };
}

function message(info: MessageInfo, value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (depth > MAX_DEPTH) return walk.refuse(path, 'less nesting');
  switch (info.form) {
    case 'any':
      return any(value, path, walk, depth);
    case 'duration':
    case 'timestamp':
      return timeText(info.form, value, path, walk);
    case 'fieldMask':
      return typeof value === 'string' ? value : walk.refuse(path, 'field paths joined by commas');
    case 'struct':
      return isRecord(value) ? jsonValue(value, path, walk, depth) : walk.refuse(path, 'an object');
    case 'listValue':
      return Array.isArray(value) ? jsonValue(value, path, walk, depth) : walk.refuse(path, 'a list');
    case 'value':
      return jsonValue(value, path, walk, depth);
    case 'wrapper':
      return scalar(info.fields[0]?.scalar ?? '', value, path, walk);
    case 'fields':
      return isRecord(value) ? fields(info, value, path, walk, depth) : walk.refuse(path, `${info.name} as an object`);
  }
}

function element(field: FieldInfo, value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (field.scalar !== '') return scalar(field.scalar, value, path, walk);
  if (field.enumName === 'google.protobuf.NullValue') return null;
  if (field.enumName !== '') return enumMember(field.enumName, value, path, walk);
  const info = messageInfo(field.messageName);
  return info === undefined ? REFUSED : message(info, value, path, walk, depth + 1);
}

function list(field: FieldInfo, value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (!Array.isArray(value)) return walk.refuse(path, 'a list');
  const items = value.map((item, index) => element(field, item, `${path}[${index}]`, walk, depth));
  return items.filter((item) => item !== REFUSED);
}

function map(field: FieldInfo, value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (!isRecord(value)) return walk.refuse(path, 'an object');
  const out: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const at = joinPath(path, keySegment(key));
    const keyValue = field.key === 's' ? key : field.key === 'b' ? key === 'true' || key === 'false' || key : key;
    const known = field.key === 's' || field.key === 'b' ? keyValue : scalar(field.key, keyValue, at, walk);
    const made = known === REFUSED ? REFUSED : element(field, item, at, walk, depth);
    if (made !== REFUSED) setKey(out, key, made);
  }
  return out;
}

/** Whether a field takes `null` as a value; for all others it means that the field is not set. */
function takesNull(field: FieldInfo): boolean {
  return field.messageName === 'google.protobuf.Value' || field.enumName === 'google.protobuf.NullValue';
}

function fieldValue(field: FieldInfo, value: unknown, path: string, walk: Walk, depth: number): unknown {
  if (field.shape === 'one') return element(field, value, path, walk, depth);
  return (field.shape === 'map' ? map : list)(field, value, path, walk, depth);
}

function fields(info: MessageInfo, value: Json, path: string, walk: Walk, depth: number): unknown {
  const out: Record<string, unknown> = {};
  const oneofs = new Map<number, string>();
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const at = joinPath(path, key);
    const field = info.byJsonName.get(key) ?? info.byName.get(key);
    if (field === undefined) {
      walk.refuse(at, `a field of ${info.name}`, 'unknown-field');
      continue;
    }
    if (item === null && !takesNull(field)) continue;
    const rival = field.oneof < 0 ? undefined : oneofs.get(field.oneof);
    if (rival !== undefined) walk.refuse(at, `to be set without ${rival}: they exclude each other`);
    else if (Object.hasOwn(out, field.jsonName)) walk.refuse(at, 'to be set once: it is there under its other name');
    else {
      const made = fieldValue(field, item, at, walk, depth);
      if (made === REFUSED) continue;
      out[field.jsonName] = made;
      if (field.oneof >= 0) oneofs.set(field.oneof, key);
    }
  }
  return out;
}

/** The canonical form of user-written JSON for a message type. Never throws. */
export function normalise(type: string, json: unknown): Normalised {
  const walk = new Walk();
  const info = messageInfo(type);
  if (info === undefined) {
    walk.refuse('', `a known message type, not ${type}`);
    return { value: undefined, problems: walk.problems };
  }
  const value = message(info, json, '', walk, 0);
  return { value: value === REFUSED ? undefined : value, problems: walk.problems };
}
