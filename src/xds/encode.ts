// Responses from resources that are already encoded: framing only, written by hand.
// In: chunks of resources, names, a nonce. Out: messages as lists of pieces that many streams share.
// Called by the streams. What all streams of one step have in common (the body) is built once; a stream adds the
// envelope with its nonce: protobuf fields may come in any order. Bytes are copied once per stream, into the gRPC frame.

import { type Resource, SMALL, sendable } from '../resources/resource.ts';
import type { Chunk } from './step.ts';
import { bytesField, fieldPrefix, stringField } from './wire.ts';

export type Mode = 'sotw' | 'delta';

/** Message bytes in pieces. It has what the gRPC server asks of a serialized message: a length, and a copy of itself. */
export class Message {
  readonly pieces: readonly Uint8Array[];
  readonly byteLength: number;

  constructor(pieces: readonly Uint8Array[]) {
    this.pieces = pieces;
    let length = 0;
    for (const piece of pieces) length += piece.length;
    this.byteLength = length;
  }

  copy(target: Uint8Array, start: number): number {
    let at = start;
    for (const piece of this.pieces) {
      target.set(piece, at);
      at += piece.length;
    }
    return at - start;
  }

  bytes(): Buffer {
    const out = Buffer.allocUnsafe(this.byteLength);
    this.copy(out, 0);
    return out;
  }
}

interface Body {
  /** What is small is put together; what is large stays where it is. */
  readonly pieces: readonly Uint8Array[];
  readonly place: Place;
}

/** Of a body in the order of use. It does not keep the chunk, and so not the body: both go with the step's views. */
interface Place {
  readonly chunk: WeakRef<Chunk>;
  readonly mode: Mode;
  readonly size: number;
}

/** What a small body counts for: it is a piece of a larger block of memory, which it keeps. */
const LEAST_SIZE = 4096;

const LEAST_PLACES = 256;

/** What begins all responses of one type and version. */
interface Preamble {
  readonly typeUrl: string;
  readonly bytes: Buffer;
}

const MAX_PREAMBLES = 256;

export interface Outgoing {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly chunks: readonly Chunk[];
  /** Delta only. */
  readonly removed: readonly string[];
}

// Field numbers of envoy.service.discovery.v3.DiscoveryResponse and DeltaDiscoveryResponse; 1, 2, 4 and 5 agree.
const VERSION = 1;
const RESOURCES = 2;
const TYPE_URL = 4;
const NONCE = 5;
const SOTW_CONTROL_PLANE = 6;
const DELTA_REMOVED = 6;
const DELTA_CONTROL_PLANE = 7;

/**
 * Encodes for one server; keeps encoded bodies while somebody may be sent them, up to a budget of bytes: above it the least
 * recently used go first.
 */
export class Encoder {
  readonly #identifier: string;
  readonly #budget: number;
  readonly #heads = { sotw: new WeakMap<Resource, Buffer>(), delta: new WeakMap<Resource, Buffer>() };
  readonly #bodies = { sotw: new WeakMap<Chunk, Body | 'sent'>(), delta: new WeakMap<Chunk, Body | 'sent'>() };
  readonly #order = new Set<Place>();
  /** By version: proxies of one class come to the same. */
  readonly #preambles = { sotw: new Map<string, Preamble>(), delta: new Map<string, Preamble>() };
  readonly #removals = new WeakMap<readonly string[], Buffer>();
  #kept = 0;
  /** How many places there are when those of the dead are looked for next. */
  #sweepAt = LEAST_PLACES;
  /** Bytes copied to build shared bodies, for measurements. */
  built = 0;

  constructor(options: { readonly identifier?: string | undefined; readonly bodyBudget?: number | undefined } = {}) {
    this.#identifier = options.identifier ?? '';
    this.#budget = options.bodyBudget ?? 64 * 1024 * 1024;
  }

  message(mode: Mode, out: Outgoing): Message {
    const pieces: Uint8Array[] = [this.#envelope(mode, out)];
    for (const chunk of out.chunks) {
      const body = chunk.shared ? this.#body(mode, chunk) : undefined;
      if (body !== undefined) for (const piece of body) pieces.push(piece);
      else this.#addResources(mode, chunk, pieces);
    }
    if (mode === 'delta' && out.removed.length > 0) pieces.push(this.#removed(out.removed));
    return new Message(pieces);
  }

  /** All but the resources; what doesn't differ between streams is put together once. */
  #envelope(mode: Mode, { typeUrl, version, nonce }: Outgoing): Buffer {
    const preamble = this.#preamble(mode, typeUrl, version);
    const envelope = Buffer.allocUnsafe(preamble.length + 2 + nonce.length);
    envelope.set(preamble);
    // Nonces are of our own making: ASCII, and short.
    let at = preamble.length;
    envelope[at++] = NONCE * 8 + 2;
    envelope[at++] = nonce.length;
    for (let i = 0; i < nonce.length; i++) envelope[at++] = nonce.charCodeAt(i);
    return envelope;
  }

  #preamble(mode: Mode, typeUrl: string, version: string): Buffer {
    const preambles = this.#preambles[mode];
    const known = preambles.get(version);
    if (known !== undefined && known.typeUrl === typeUrl) return known.bytes;
    const parts = [stringField(TYPE_URL, typeUrl), stringField(VERSION, version)];
    if (this.#identifier !== '') {
      const field = mode === 'sotw' ? SOTW_CONTROL_PLANE : DELTA_CONTROL_PLANE;
      parts.push(bytesField(field, stringField(1, this.#identifier)));
    }
    const bytes = Buffer.concat(parts);
    if (preambles.size >= MAX_PREAMBLES) preambles.clear();
    preambles.set(version, { typeUrl, bytes });
    return bytes;
  }

  /** Undefined when it is sent for the first time: what is one proxy's own is never sent to a second one. */
  #body(mode: Mode, chunk: Chunk): readonly Uint8Array[] | undefined {
    const known = this.#bodies[mode].get(chunk);
    if (known === undefined) {
      this.#bodies[mode].set(chunk, 'sent');
      return undefined;
    }
    if (known !== 'sent') {
      this.#order.delete(known.place);
      this.#order.add(known.place);
      return known.pieces;
    }
    const pieces: Uint8Array[] = [];
    this.#addResources(mode, chunk, pieces);
    const body = sendable(pieces);
    const copied = pieces.reduce((sum, { length }) => (length < SMALL ? sum + length : sum), 0);
    this.built += copied;
    const place = { chunk: new WeakRef(chunk), mode, size: Math.max(copied, LEAST_SIZE) };
    this.#bodies[mode].set(chunk, { pieces: body, place });
    this.#order.add(place);
    this.#kept += place.size;
    if (this.#order.size > this.#sweepAt || this.#kept > this.#budget) this.#shrink(place);
    return body;
  }

  #addResources(mode: Mode, { resources }: Chunk, pieces: Uint8Array[]): void {
    for (const resource of resources) {
      pieces.push(this.#head(mode, resource));
      if (resource.pieces === undefined) pieces.push(resource.bytes);
      else for (const piece of resource.pieces) pieces.push(piece);
    }
  }

  /** Forgets what nobody can ask for any more; then, if that is not enough, the least recently used. */
  #shrink(keep: Place): void {
    for (const place of this.#order) if (place.chunk.deref() === undefined) this.#drop(place);
    this.#sweepAt = Math.max(LEAST_PLACES, 2 * this.#order.size);
    for (const place of this.#order) {
      if (this.#kept <= this.#budget) return;
      if (place !== keep) this.#drop(place);
    }
  }

  #drop(place: Place): void {
    this.#order.delete(place);
    this.#kept -= place.size;
    const chunk = place.chunk.deref();
    if (chunk !== undefined) this.#bodies[place.mode].set(chunk, 'sent');
  }

  /** All of a `resources` entry but the resource's own bytes, which follow it. */
  #head(mode: Mode, resource: Resource): Buffer {
    let head = this.#heads[mode].get(resource);
    if (head === undefined) {
      // google.protobuf.Any {type_url = 1, value = 2}
      const any = Buffer.concat([stringField(1, resource.typeUrl), fieldPrefix(2, resource.size)]);
      head = mode === 'sotw' ? enclosed(RESOURCES, any, resource) : deltaHead(any, resource);
      this.#heads[mode].set(resource, head);
    }
    return head;
  }

  #removed(names: readonly string[]): Buffer {
    let bytes = this.#removals.get(names);
    if (bytes === undefined) {
      bytes = Buffer.concat(names.map((name) => bytesField(DELTA_REMOVED, Buffer.from(name))));
      this.#removals.set(names, bytes);
    }
    return bytes;
  }
}

/** envoy.service.discovery.v3.Resource {name = 3, version = 1, resource = 2}, with the resource last. */
function deltaHead(any: Buffer, resource: Resource): Buffer {
  const fields = Buffer.concat([
    bytesField(3, Buffer.from(resource.name)),
    stringField(1, resource.version),
    fieldPrefix(2, any.length + resource.size),
    any,
  ]);
  return enclosed(RESOURCES, fields, resource);
}

/** `head` as the beginning of a length-delimited field that ends with the resource's bytes. */
function enclosed(field: number, head: Buffer, resource: Resource): Buffer {
  return Buffer.concat([fieldPrefix(field, head.length + resource.size), head]);
}
