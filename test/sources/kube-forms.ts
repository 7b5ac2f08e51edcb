// A list of one kind in both forms that an API server gives it, as recorded or as read just now.
import { KINDS } from '../../src/config/kinds.ts';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import { parseChecked, type Parsed, parseKnown } from '../../src/config/parse/index.ts';
import { type KindReader, kindReaderOf } from '../../src/sources/kube-wire-kinds.ts';

export interface BothForms {
  readonly kind: Kind;
  readonly json: { readonly metadata: object; readonly items: readonly Readonly<Record<string, unknown>>[] };
  readonly typed: Uint8Array;
}

const OPTIONS = { unknownFields: 'warning', origin: 'test' } as const;

export function infoOf(kind: Kind): (typeof KINDS)[number] {
  const info = KINDS.find((each) => each.kind === kind);
  if (info === undefined) throw new Error(`no kind ${kind}`);
  return info;
}

/** What an object is to the mesh, from either form. */
export function objectOf(kind: Kind, raw: unknown, typed: boolean): ConfigObject {
  const parsed: Parsed = typed
    ? parseChecked(raw as Parameters<typeof parseChecked>[0], 'v1', infoOf(kind), OPTIONS)
    : parseKnown(raw as Parameters<typeof parseKnown>[0], 'v1', infoOf(kind), OPTIONS);
  if (parsed.kind !== 'object') throw new Error(JSON.stringify(parsed));
  return parsed.object;
}

export function fromJson({ kind, json }: BothForms): readonly ConfigObject[] {
  return json.items.map((item) => objectOf(kind, item, false));
}

export function fromTyped({ kind, typed }: BothForms): readonly ConfigObject[] {
  return listOf(kind, typed).items.map((item) => objectOf(kind, item, true));
}

export function listOf(kind: Kind, typed: Uint8Array) {
  return readerOf(kind).list(typed);
}

export function readerOf(kind: Kind): KindReader {
  const reader = kindReaderOf(kind);
  if (reader === undefined) throw new Error(`${kind} has no other form than JSON`);
  return reader;
}
