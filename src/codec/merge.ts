// Merging of messages in canonical JSON form, as protobuf merges them.
// In: a base and a patch of one type, both canonical (a base may hold parts already encoded). Out: a new message; neither
// input is changed, and what the patch does not touch keeps its identity. Called by translate for EnvoyFilter's MERGE.
import { Encoded, type Messages } from '../messages/index.ts';
import { decodeJson } from './decode.ts';
import { joinPath } from './error.ts';
import type { CodecProblem } from './normalise.ts';
import { isRecord, type Json } from './object.ts';
import { scalarOf } from './scalars.ts';
import { enumInfo, type FieldInfo, type MessageInfo, messageInfo, typeNameOf } from './table.ts';

export interface MergeOptions {
  /** what a list in the patch does to the base's: `append` is protobuf's way */
  readonly lists?: 'append' | 'replace' | undefined;
  /**
   * what an Any in the patch does to the base's: `merge` when both pack one type; `replace` is protobuf's way, for which
   * an Any is a type and bytes
   */
  readonly anys?: 'merge' | 'replace' | undefined;
}

export interface Merged<Message> {
  readonly value: Message;
  /** where the patch packs another type than the base: the patch's is taken */
  readonly problems: readonly CodecProblem[];
}

interface Walk {
  readonly lists: 'append' | 'replace';
  readonly anys: 'merge' | 'replace';
  readonly problems: CodecProblem[];
}

function opened(type: string, value: unknown): unknown {
  return value instanceof Encoded ? decodeJson(type, value.bytes) : value;
}

/** Own enumerable copy that a key named `__proto__` cannot spoil. */
function withKeys(base: Json, patch: Json): Json {
  return Object.fromEntries([...Object.entries(base), ...Object.entries(patch)]);
}

/** A scalar at its default says nothing, unless the field tells default from absent. */
function saysNothing(field: FieldInfo, value: unknown): boolean {
  if (field.presence || field.messageName !== '') return false;
  if (field.scalar !== '') return scalarOf(field.scalar).isDefault(value);
  return value === 0 || value === enumInfo(field.enumName).names.get(0);
}

function mergedLists(base: unknown, patch: unknown, walk: Walk): unknown {
  if (!Array.isArray(base) || !Array.isArray(patch) || walk.lists === 'replace') return patch;
  return [...base, ...patch];
}

/** Entries are replaced by key; protobuf does not look into them. */
function mergedMaps(base: unknown, patch: unknown): unknown {
  return base === undefined ? patch : withKeys(base as Json, patch as Json);
}

function mergedAny(base: unknown, patch: unknown, path: string, walk: Walk): unknown {
  if (walk.anys === 'replace') return patch;
  const [before, after] = [opened('google.protobuf.Any', base) as Json, opened('google.protobuf.Any', patch) as Json];
  const url = after['@type'];
  if (typeof url !== 'string') return before;
  const type = typeNameOf(url);
  const info = messageInfo(type);
  if (typeNameOf(String(before['@type'])) !== type) {
    const expected = `to be of type ${typeNameOf(String(before['@type']))}, as what it patches`;
    walk.problems.push({ kind: 'invalid', path: joinPath(path, '@type'), expected });
    return after;
  }
  if (info === undefined) return after;
  if (info.form !== 'fields')
    return { ...after, value: mergedMessages(info, before['value'], after['value'], path, walk) };
  const { '@type': kept, ...fields } = before;
  const { '@type': _, ...patched } = after;
  return { '@type': kept, ...(mergedFields(info, fields, patched, path, walk) as Json) };
}

/** A dynamic value takes on the patch's; two objects merge by key and two lists follow each other. */
function mergedValues(base: unknown, patch: unknown, walk: Walk): unknown {
  if (Array.isArray(base) && Array.isArray(patch)) return mergedLists(base, patch, walk);
  return isRecord(base) && isRecord(patch) ? withKeys(base, patch) : patch;
}

function mergedMessages(info: MessageInfo, base: unknown, patch: unknown, path: string, walk: Walk): unknown {
  if (base === undefined) return patch;
  if (patch === undefined) return base;
  switch (info.form) {
    case 'any':
      return mergedAny(base, patch, path, walk);
    case 'struct':
      return withKeys(opened(info.name, base) as Json, opened(info.name, patch) as Json);
    case 'value':
    case 'listValue':
      return mergedValues(base, patch, walk);
    case 'fields':
      return mergedFields(info, opened(info.name, base) as Json, opened(info.name, patch) as Json, path, walk);
    case 'duration':
    case 'timestamp':
    case 'fieldMask':
    case 'wrapper':
      return patch;
  }
}

function mergedField(field: FieldInfo, base: unknown, patch: unknown, path: string, walk: Walk): unknown {
  if (field.shape === 'map') return mergedMaps(base, patch);
  if (field.shape !== 'one') return mergedLists(base, patch, walk);
  const info = messageInfo(field.messageName);
  return info === undefined ? patch : mergedMessages(info, base, patch, path, walk);
}

function mergedFields(info: MessageInfo, base: Json, patch: Json, path: string, walk: Walk): Json {
  const out: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    const field = info.byJsonName.get(key);
    if (field === undefined || value === undefined) continue;
    if (field.shape === 'one' && saysNothing(field, value)) continue;
    if (field.oneof >= 0) {
      for (const rival of info.fields) if (rival.oneof === field.oneof && rival !== field) delete out[rival.jsonName];
    }
    out[key] = mergedField(field, out[key], value, joinPath(path, key), walk);
  }
  return out;
}

/** merge for a type known only at run time. */
export function mergeJson(type: string, base: unknown, patch: unknown, options: MergeOptions = {}): Merged<unknown> {
  const walk: Walk = { lists: options.lists ?? 'append', anys: options.anys ?? 'merge', problems: [] };
  const info = messageInfo(type);
  if (info === undefined) {
    walk.problems.push({ kind: 'invalid', path: '', expected: `a known message type, not ${type}` });
    return { value: base, problems: walk.problems };
  }
  return { value: mergedMessages(info, base, patch, '', walk), problems: walk.problems };
}

/**
 * Scalars, wrappers and durations of the patch take the place of the base's, lists are appended, map entries replaced by
 * key, messages and Anys of one type merged field by field; a member of a oneof puts out the others.
 */
export function merge<Type extends keyof Messages>(
  type: Type,
  base: Messages[Type],
  patch: Messages[Type],
  options: MergeOptions = {},
): Merged<Messages[Type]> {
  return mergeJson(type, base, patch, options) as Merged<Messages[Type]>;
}
