// The one way from a message to a draft: encoded at once, so that a memoised renderer keeps the bytes with the draft.

import { encode, joined, typeUrlOf } from '../codec/index.ts';
import type { ObjectRef } from '../config/object.ts';
import type { Draft, Origin } from '../ir/draft.ts';
import { compareNumbers, compareStrings } from '../lib/order.ts';
import type { Messages } from '../messages/index.ts';

/** Message types that are sent as resources of their own. */
export type ResourceType = keyof Messages;

/** Encodes a message; `origins` are sorted and each kept once. */
export function draftOf<T extends ResourceType>(
  type: T,
  name: string,
  message: Messages[T],
  origins: Iterable<Origin>,
): Draft {
  return { typeUrl: typeUrlOf(type), name, bytes: encode(type, message), origins: uniqueOrigins(origins) };
}

/** As `draftOf`, for resources with so many origins that they are put together only when somebody asks. */
export function lazyDraftOf(
  type: ResourceType,
  name: string,
  encoded: Uint8Array | readonly Uint8Array[],
  origins: () => Iterable<Origin>,
): Draft {
  return new LazyDraft(typeUrlOf(type), name, encoded, origins);
}

/** A class, as an accessor of an object's own costs more to make than the rest of the draft. */
class LazyDraft implements Draft {
  readonly typeUrl: string;
  readonly name: string;
  readonly #encoded: Uint8Array | readonly Uint8Array[];
  #origins: readonly Origin[] | (() => Iterable<Origin>);

  constructor(
    typeUrl: string,
    name: string,
    encoded: Uint8Array | readonly Uint8Array[],
    origins: () => Iterable<Origin>,
  ) {
    this.typeUrl = typeUrl;
    this.name = name;
    this.#encoded = encoded;
    this.#origins = origins;
  }

  get bytes(): Uint8Array {
    return this.#encoded instanceof Uint8Array ? this.#encoded : joined(this.#encoded);
  }

  get pieces(): readonly Uint8Array[] | undefined {
    return this.#encoded instanceof Uint8Array ? undefined : this.#encoded;
  }

  get origins(): readonly Origin[] {
    if (typeof this.#origins === 'function') this.#origins = uniqueOrigins(this.#origins());
    return this.#origins;
  }
}

function byIdentity(a: Origin, b: Origin): number {
  return (
    compareStrings(a.kind, b.kind) ||
    compareStrings(a.namespace, b.namespace) ||
    compareStrings(a.name, b.name) ||
    compareNumbers(a.generation, b.generation) ||
    compareStrings(a.field ?? '', b.field ?? '') ||
    compareStrings(a.lost ?? '', b.lost ?? '')
  );
}

/** Lists of which it is known that each origin is in them once, in order. */
const sharedLists = new WeakSet<object>();

/** As `uniqueOrigins`, for a list that many drafts have: they are one object, whoever asks for it again. */
export function sharedOrigins(origins: Iterable<Origin>): readonly Origin[] {
  const list = uniqueOrigins(origins);
  sharedLists.add(list);
  return list;
}

/** Each origin once, in a total order. */
export function uniqueOrigins(origins: Iterable<Origin>): readonly Origin[] {
  // Most resources come from one object: they share its list.
  if (Array.isArray(origins) && (origins.length < 2 || sharedLists.has(origins))) return origins as readonly Origin[];
  const list = [...origins];
  return inOrder(list) ? list : eachOnce(list.sort(byIdentity));
}

function inOrder(list: readonly Origin[]): boolean {
  return list.every((origin, index) => index === 0 || byIdentity(list[index - 1] as Origin, origin) < 0);
}

function eachOnce(sorted: readonly Origin[]): readonly Origin[] {
  return sorted.filter((origin, index) => index === 0 || byIdentity(sorted[index - 1] as Origin, origin) !== 0);
}

/** The origin of something known by reference only, such as the objects behind a Service. */
export function originOfRef(ref: ObjectRef, field?: string, lost?: string): Origin {
  return { kind: ref.kind, namespace: ref.namespace, name: ref.name, generation: 0, field, lost };
}
