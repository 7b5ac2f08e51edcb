// Wire to canonical JSON form, one level deep: messages inside stay on the wire form until somebody opens them.
// In: a message's full name and bytes that our own encoder made. Out: its fields, of which sub-messages are Encoded.
// Called by translate where user-written patches touch a few parts of large resources.
import { Encoded } from '../messages/index.ts';
import { joined } from './blocks.ts';
import { decodeJson } from './decode.ts';
import { CodecError } from './error.ts';
import type { Json, Target } from './object.ts';
import { WireReader } from './reader.ts';
import { type FieldInfo, messageInfo, typeNameOf } from './table.ts';

/** The fields of a message; a sub-message or Any, alone or in a list, is Encoded. Throws CodecError. */
export function decodeShallow(type: string, bytes: Uint8Array): Json {
  const info = messageInfo(type);
  if (info === undefined) throw new CodecError('', `a known message type, not ${type}`);
  if (info.form !== 'fields') throw new CodecError('', `a message with fields, not ${type}`);
  const kept: Target = {};
  const rest: Uint8Array[] = [];
  const byNumber = new Map(info.fields.map((field) => [field.number, field]));
  const reader = new WireReader(bytes);
  while (reader.position < bytes.length) {
    const start = reader.position;
    const tag = reader.varint();
    const field = byNumber.get(tag >>> 3);
    if (field !== undefined && (tag & 7) === 2 && staysEncoded(field)) keep(kept, field, reader.span());
    else {
      reader.skip(tag);
      rest.push(bytes.subarray(start, reader.position));
    }
  }
  return rest.length === 0 ? kept : { ...(decodeJson(type, joined(rest)) as Json), ...kept };
}

/** An Any, one level deep as well: its own fields beside `@type`. Types that the schema lacks stay bytes. */
export function openAny(value: unknown): Json | undefined {
  if (!(value instanceof Encoded)) return value as Json | undefined;
  const reader = new WireReader(value.bytes);
  let url = '';
  let packed: Uint8Array = new Uint8Array();
  while (reader.position < value.bytes.length) {
    const tag = reader.varint();
    if (tag === 0x0a) url = reader.text();
    else if (tag === 0x12) packed = reader.span();
    else reader.skip(tag);
  }
  if (messageInfo(typeNameOf(url))?.form !== 'fields') {
    return decodeJson('google.protobuf.Any', value.bytes) as Json;
  }
  return { '@type': url, ...decodeShallow(typeNameOf(url), packed) };
}

function staysEncoded(field: FieldInfo): boolean {
  if (field.shape === 'map' || field.messageName === '') return false;
  const form = messageInfo(field.messageName)?.form;
  return form === 'fields' || form === 'any';
}

function keep(target: Target, { jsonName, shape }: FieldInfo, bytes: Uint8Array): void {
  const known = target[jsonName];
  if (shape !== 'one') {
    if (Array.isArray(known)) known.push(new Encoded(bytes));
    else target[jsonName] = [new Encoded(bytes)];
  } else {
    // Parts of one message that follow each other on the wire are one message.
    target[jsonName] = new Encoded(known instanceof Encoded ? joined([known.bytes, bytes]) : bytes);
  }
}
