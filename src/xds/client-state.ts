// What an xDS client knows and says, as Envoy does: subscriptions, what it holds, acknowledgements, reconnects.
// In: wishes and response bytes. Out: request bytes and updates. No I/O. Called by the client and by tests.

import type { Mode } from './encode.ts';
import { traitsOf } from './types.ts';
import { bytesField, stringField, WireReader } from './wire.ts';

export interface ClientResource {
  readonly name: string;
  /** Delta only. */
  readonly version: string;
  readonly bytes: Buffer;
}

/** One response, as it came. */
export interface Update {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly ClientResource[];
  readonly removed: readonly string[];
  /** Size of the response. */
  readonly size: number;
}

export interface Rejection {
  readonly message: string;
  /** The bad resources, when the client takes the others one by one, as Envoy does with clusters and listeners. */
  readonly bad?: ReadonlySet<string>;
}

/** Why an update is rejected (a message alone: nothing of it is taken); undefined takes it. */
export type Verdict = (update: Update) => Rejection | string | undefined;

interface Subscription {
  readonly names: Set<string>;
  readonly held: Map<string, ClientResource>;
  version: string;
  nonce: string;
  /** The type was asked for on this stream. */
  sent: boolean;
  /** Something was named on this stream. */
  explicit: boolean;
  /** Everything is wanted. */
  wildcard: boolean;
}

/** google.rpc.Code INVALID_ARGUMENT. */
const REJECTED = 3;

/** What is kept of a resource that was taken: the whole of it, or less where thousands of clients hold the same. */
export type Keep = (resource: ClientResource) => ClientResource;

export class ClientState {
  readonly mode: Mode;
  /** An encoded envoy.config.core.v3.Node. */
  readonly #node: Buffer;
  readonly #types = new Map<string, Subscription>();
  readonly #keep: Keep;
  #nodeSent = false;

  constructor(mode: Mode, node: Buffer, keep: Keep = (resource) => resource) {
    this.mode = mode;
    this.#node = node;
    this.#keep = keep;
  }

  /** What the client holds of a type, by name. */
  held(typeUrl: string): ReadonlyMap<string, ClientResource> {
    return this.#types.get(typeUrl)?.held ?? new Map();
  }

  names(typeUrl: string): ReadonlySet<string> {
    return this.#types.get(typeUrl)?.names ?? new Set();
  }

  /** Asks for names; no names at all, the first time, is the old way to ask for everything. */
  subscribe(typeUrl: string, names: readonly string[] = []): Buffer {
    const type = this.#typeOf(typeUrl);
    for (const name of names) type.names.add(name);
    if (names.length > 0) type.explicit = true;
    if (!type.explicit) type.wildcard = traitsOf(typeUrl).legacyWildcard;
    else if (this.mode === 'sotw' || !type.sent || names.includes('*')) type.wildcard = type.names.has('*');
    forget(type);
    if (!type.sent) return this.#first(typeUrl, type);
    return this.mode === 'sotw' ? this.#sotw(typeUrl, type, type.nonce) : this.#delta(typeUrl, { subscribe: names });
  }

  unsubscribe(typeUrl: string, names: readonly string[]): Buffer {
    const type = this.#typeOf(typeUrl);
    for (const name of names) type.names.delete(name);
    // The old way to ask for everything can't be taken back by leaving out a name that was never given.
    if (this.mode === 'sotw' ? type.explicit : names.includes('*')) type.wildcard = type.names.has('*');
    forget(type);
    return this.mode === 'sotw' ? this.#sotw(typeUrl, type, type.nonce) : this.#delta(typeUrl, { unsubscribe: names });
  }

  /** A new stream: the requests that restore all subscriptions, with what is held; in this order of types, if given. */
  reconnect(order: readonly string[] = [...this.#types.keys()]): Buffer[] {
    this.#nodeSent = false;
    for (const type of this.#types.values()) {
      type.nonce = '';
      type.sent = false;
      type.explicit = false;
    }
    return order.flatMap((typeUrl) => {
      const type = this.#typeOf(typeUrl);
      if (!type.wildcard && type.names.size === 0) return [];
      type.explicit = type.names.size > 0;
      // Delta clients that had `*` by an empty list and then named something say so now.
      if (type.explicit && type.wildcard) type.names.add('*');
      return this.#first(typeUrl, type);
    });
  }

  /** Takes a response; gives the update and the request that acknowledges or rejects it. */
  receive(bytes: Buffer, verdict: Verdict): { readonly update: Update; readonly answer: Buffer } {
    const update = this.mode === 'sotw' ? readSotwResponse(bytes) : readDeltaResponse(bytes);
    const type = this.#typeOf(update.typeUrl);
    const given = verdict(update);
    const rejection = typeof given === 'string' ? { message: given } : given;
    const error = rejection?.message;
    if (this.mode === 'sotw') type.nonce = update.nonce;
    if (rejection === undefined || rejection.bad !== undefined) {
      take(type, update, this.mode === 'sotw' && traitsOf(update.typeUrl).wholeWorld, rejection?.bad, this.#keep);
    }
    if (rejection === undefined) type.version = update.version;
    const answer =
      this.mode === 'sotw'
        ? this.#sotw(update.typeUrl, type, update.nonce, error)
        : this.#delta(update.typeUrl, { nonce: update.nonce, error });
    return { update, answer };
  }

  #typeOf(typeUrl: string): Subscription {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      type = {
        names: new Set(),
        held: new Map(),
        version: '',
        nonce: '',
        sent: false,
        explicit: false,
        wildcard: false,
      };
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  #first(typeUrl: string, type: Subscription): Buffer {
    type.sent = true;
    if (this.mode === 'sotw') return this.#sotw(typeUrl, type, '');
    return this.#delta(typeUrl, { subscribe: [...type.names], versions: type.held });
  }

  #takeNode(field: number): Buffer {
    if (this.#nodeSent) return Buffer.alloc(0);
    this.#nodeSent = true;
    return bytesField(field, this.#node);
  }

  #sotw(typeUrl: string, type: Subscription, nonce: string, error?: string): Buffer {
    return Buffer.concat([
      stringField(1, type.version),
      this.#takeNode(2),
      ...[...type.names].map((name) => bytesField(3, Buffer.from(name))),
      stringField(4, typeUrl),
      stringField(5, nonce),
      errorField(6, error),
    ]);
  }

  #delta(
    typeUrl: string,
    request: {
      readonly subscribe?: readonly string[];
      readonly unsubscribe?: readonly string[];
      readonly versions?: ReadonlyMap<string, ClientResource>;
      readonly nonce?: string;
      readonly error?: string | undefined;
    },
  ): Buffer {
    const versions = [...(request.versions ?? [])].map(([name, { version }]) =>
      bytesField(5, Buffer.concat([stringField(1, name), stringField(2, version)])),
    );
    return Buffer.concat([
      this.#takeNode(1),
      stringField(2, typeUrl),
      ...(request.subscribe ?? []).map((name) => bytesField(3, Buffer.from(name))),
      ...(request.unsubscribe ?? []).map((name) => bytesField(4, Buffer.from(name))),
      ...versions,
      stringField(6, request.nonce ?? ''),
      errorField(7, request.error),
    ]);
  }
}

function errorField(field: number, error: string | undefined): Buffer {
  if (error === undefined) return Buffer.alloc(0);
  return bytesField(field, Buffer.concat([Buffer.from([8, REJECTED]), stringField(2, error)]));
}

function take(
  type: Subscription,
  update: Update,
  whole: boolean,
  bad: ReadonlySet<string> | undefined,
  keep: Keep,
): void {
  if (whole) {
    const told = new Set(update.resources.map((resource) => resource.name));
    for (const name of type.held.keys()) if (!told.has(name)) type.held.delete(name);
  }
  for (const name of update.removed) type.held.delete(name);
  for (const resource of update.resources) {
    const wanted = type.wildcard || type.names.has(resource.name);
    if (wanted && bad?.has(resource.name) !== true) type.held.set(resource.name, keep(resource));
  }
}

/** Drops what isn't wanted. A name that `*` may cover stays until the server says whether it does. */
function forget(type: Subscription): void {
  if (type.wildcard) return;
  if (type.names.size === 0) type.version = '';
  for (const name of type.held.keys()) if (!type.names.has(name)) type.held.delete(name);
}

/** An encoded Node with an id and a cluster. */
export function nodeOf(id: string, cluster = ''): Buffer {
  return Buffer.concat([stringField(1, id), stringField(2, cluster)]);
}

/** Reads a DiscoveryResponse. The resources' names are their first field, as in all types that Envoy fetches. */
export function readSotwResponse(bytes: Buffer): Update {
  const reader = new WireReader(bytes);
  const resources: ClientResource[] = [];
  let [typeUrl, version, nonce] = ['', '', ''];
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) resources.push(named(readAny(reader.nested())));
    else if (reader.field === 4) typeUrl = reader.text();
    else if (reader.field === 5) nonce = reader.text();
  }
  return { typeUrl, version, nonce, resources, removed: [], size: bytes.length };
}

/** Reads a DeltaDiscoveryResponse. */
export function readDeltaResponse(bytes: Buffer): Update {
  const reader = new WireReader(bytes);
  const resources: ClientResource[] = [];
  const removed: string[] = [];
  let [typeUrl, version, nonce] = ['', '', ''];
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) resources.push(readResource(reader.nested()));
    else if (reader.field === 4) typeUrl = reader.text();
    else if (reader.field === 5) nonce = reader.text();
    else if (reader.field === 6) removed.push(reader.text());
  }
  return { typeUrl, version, nonce, resources, removed, size: bytes.length };
}

function readResource(reader: WireReader): ClientResource {
  let [name, version] = ['', ''];
  let bytes: Buffer = Buffer.alloc(0);
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) bytes = readAny(reader.nested());
    else if (reader.field === 3) name = reader.text();
  }
  return { name, version, bytes };
}

function readAny(reader: WireReader): Buffer {
  let value: Buffer = Buffer.alloc(0);
  while (reader.next()) if (reader.field === 2) value = reader.content();
  return value;
}

function named(bytes: Buffer): ClientResource {
  const reader = new WireReader(bytes);
  while (reader.next())
    if (reader.field === 1 && reader.wireType === 2) return { name: reader.text(), version: '', bytes };
  return { name: '', version: '', bytes };
}
