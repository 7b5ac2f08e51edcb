// An independent codec: protobufjs's reflection over the same protos, with the JSON forms of the well-known types
// written out by hand. Slow and plain, so that the fast codec can be held against it.
import protobuf from 'protobufjs';
import { loadProtos } from '../../scripts/generate/protos.ts';

const root = loadProtos();
const LONG = protobuf.util.Long as unknown as { fromString(text: string, unsigned: boolean): unknown };

type Json = Readonly<Record<string, unknown>>;

function jsonNameOf(name: string): string {
  return name.replace(/_+([a-z0-9]?)/g, (_, next: string) => next.toUpperCase());
}

function nanosOf(fraction: string): number {
  return Number(fraction.padEnd(9, '0'));
}

/** protobufjs writes every field that is there, so zeros must not be. */
function secondsNanos(seconds: number, nanos: number): Json {
  return { ...(seconds === 0 ? {} : { seconds }), ...(nanos === 0 ? {} : { nanos }) };
}

function durationOf(text: string): Json {
  const [, sign, seconds = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?s$/.exec(text) ?? [];
  const factor = sign === '-' ? -1 : 1;
  return secondsNanos(factor * Number(seconds), factor * nanosOf(fraction));
}

function timestampOf(text: string): Json {
  const [, whole = '', fraction = ''] = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(text) ?? [];
  return secondsNanos(Date.parse(`${whole}Z`) / 1000, nanosOf(fraction));
}

function valueOf(json: unknown): Json {
  if (json === null) return { nullValue: 0 };
  if (typeof json === 'string') return { stringValue: json };
  if (typeof json === 'number') return { numberValue: json };
  if (typeof json === 'boolean') return { boolValue: json };
  if (Array.isArray(json)) return { listValue: { values: json.map(valueOf) } };
  return { structValue: structOf(json as Json) };
}

function structOf(json: Json): Json {
  return { fields: Object.fromEntries(Object.entries(json).map(([key, value]) => [key, valueOf(value)])) };
}

function anyOf(json: Json): Json {
  const { '@type': url, ...fields } = json;
  const name = String(url).slice(String(url).lastIndexOf('/') + 1);
  const special = name.startsWith('google.protobuf.') && name !== 'google.protobuf.Empty';
  return { type_url: url, value: oracleEncode(name, special ? fields['value'] : fields) };
}

const SPECIAL: Readonly<Record<string, (json: never) => Json>> = {
  '.google.protobuf.Any': anyOf,
  '.google.protobuf.Duration': durationOf,
  '.google.protobuf.Timestamp': timestampOf,
  '.google.protobuf.FieldMask': (text: string) => ({
    paths: text === '' ? [] : text.split(',').map((path) => path.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)),
  }),
  '.google.protobuf.Struct': structOf,
  '.google.protobuf.Value': valueOf,
  '.google.protobuf.ListValue': (list: unknown[]) => ({ values: list.map(valueOf) }),
};

function scalarOf(type: string, json: unknown): unknown {
  if (type === 'bytes' && typeof json === 'string') return Buffer.from(json, 'base64');
  if (/^s?u?(int|fixed)64$|^sfixed64$/.test(type)) {
    return LONG.fromString(String(json), type.startsWith('u') || type === 'fixed64');
  }
  return type === 'double' || type === 'float' ? Number(json) : json;
}

function elementOf(field: protobuf.Field, json: unknown): unknown {
  if (field.resolvedType instanceof protobuf.Enum) {
    return typeof json === 'string' ? field.resolvedType.values[json] : (json ?? 0);
  }
  return field.resolvedType instanceof protobuf.Type ? toObject(field.resolvedType, json) : scalarOf(field.type, json);
}

function fieldOf(field: protobuf.Field, json: unknown): unknown {
  if (field instanceof protobuf.MapField) {
    return Object.fromEntries(Object.entries(json as Json).map(([key, value]) => [key, elementOf(field, value)]));
  }
  return field.repeated ? (json as unknown[]).map((item) => elementOf(field, item)) : elementOf(field, json);
}

function toObject(type: protobuf.Type, json: unknown): Json {
  const special = SPECIAL[type.fullName];
  if (special !== undefined) return special(json as never);
  if (/^\.google\.protobuf\.\w+Value$/.test(type.fullName)) {
    const field = type.fieldsArray[0];
    return field === undefined ? {} : { [field.name]: elementOf(field, json) };
  }
  const out: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const value = (json as Json)[jsonNameOf(field.name)];
    if (value !== undefined) out[field.name] = fieldOf(field, value);
  }
  return out;
}

/** The bytes that protobufjs makes of a message in canonical JSON form. */
export function oracleEncode(name: string, json: unknown): Uint8Array {
  const type = root.lookupType(name);
  return type.encode(toObject(type, json)).finish();
}

/** Anys unpacked: what they hold may be written in another order and mean the same. */
function unpacked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpacked);
  if (typeof value !== 'object' || value === null) return value;
  const record = value as Json;
  const url = record['type_url'];
  if (typeof url === 'string' && url.startsWith('type.googleapis.com/')) {
    const packed = record['value'];
    const bytes = Buffer.from(typeof packed === 'string' ? packed : '', 'base64');
    return { url, value: oracleDecode(url.slice(url.lastIndexOf('/') + 1), bytes) };
  }
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, unpacked(item)]));
}

/** What protobufjs reads in bytes, comparable with deep equality. */
export function oracleDecode(name: string, bytes: Uint8Array): unknown {
  const type = root.lookupType(name);
  return unpacked(type.toObject(type.decode(bytes), { longs: String, bytes: String, enums: String }));
}
