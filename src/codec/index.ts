// Messages of the xDS API between their canonical proto3-JSON form and the wire.
// In: a message's full name and its JSON form, or bytes. Out: the other of the two; errors are CodecErrors with the exact
// path. Same message, same bytes, on every machine. Called by resources, xds, agent and whoever patches user-written
// configuration into resources (normalise, merge).
import { type AnyMessage, Encoded, type Messages } from '../messages/index.ts';
import { decodeJson } from './decode.ts';
import { encodeJson, packAny } from './encode.ts';
import { messageInfo } from './table.ts';
import { ConstantTemplate, type Template, templateOf } from './template.ts';

export { joined } from './blocks.ts';
export { decodeJson } from './decode.ts';
export { encodeEntry, encodeJson } from './encode.ts';
export { CodecError } from './error.ts';
export { lasting } from './lasting.ts';
export { type Merged, type MergeOptions, merge, mergeJson } from './merge.ts';
export { type CodecProblem, type Normalised, normalise } from './normalise.ts';
export { decodeShallow, openAny } from './shallow.ts';
export { hasType, typeNameOf } from './table.ts';
export { asField, fieldOf } from './parts.ts';
export { slot, type Template } from './template.ts';
export { Encoded };

const PREFIX = 'type.googleapis.com/';

const typeUrls = new Map<string, string>();

/** The type URL of a message: the same string every time, so that it is hashed once and takes its place once. */
export function typeUrlOf(type: keyof Messages): string {
  const known = typeUrls.get(type);
  if (known !== undefined) return known;
  const url = PREFIX + type;
  typeUrls.set(type, url);
  return url;
}

/** The bytes of a message. Throws CodecError when it is not of its type. */
export function encode<Type extends keyof Messages>(type: Type, message: Messages[Type]): Uint8Array {
  return encodeJson(type, message);
}

/** A message whose texts hold slots, to be filled in later. Throws CodecError when it is not of its type. */
export function template<Type extends keyof Messages>(type: Type, message: Messages[Type]): Template {
  return templateOf(type, message);
}

/** The same of a message that depends on nothing, made when it is first filled in. */
export function constantTemplate<Type extends keyof Messages>(type: Type, message: () => Messages[Type]): Template {
  return new ConstantTemplate(() => templateOf(type, message()));
}

/** The message in bytes. Throws CodecError when they are malformed. */
export function decode<Type extends keyof Messages>(type: Type, bytes: Uint8Array): Messages[Type] {
  return decodeJson(type, bytes) as Messages[Type];
}

/** Packs a message into an Any, checked by the compiler. */
export function anyOf<Type extends keyof Messages>(type: Type, message: Messages[Type]): AnyMessage {
  const url = typeUrlOf(type);
  if (messageInfo(type)?.form !== 'fields') return { '@type': url, value: message };
  return { '@type': url, ...(message as object) };
}

/** Packs a message that is already encoded into an Any. */
export function anyOfEncoded(type: keyof Messages, encoded: Encoded): Encoded {
  return new Encoded(packAny(type, encoded.bytes));
}
