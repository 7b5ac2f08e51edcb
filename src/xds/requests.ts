// DiscoveryRequest and DeltaDiscoveryRequest from their bytes.
// In: bytes of one request, the pool of name sets. Out: the request, its names interned. Called by the streams.
// A proxy acknowledges each response with the same thousand names: a list whose bytes are known is not read again.

import type { DeltaRequest } from './delta.ts';
import { type NamePool, type NameSet, NO_NAMES } from './names.ts';
import { readNode } from './node.ts';
import type { NodeInfo } from './port.ts';
import type { SotwRequest } from './sotw.ts';
import { Stated } from './stated.ts';
import { WireReader } from './wire.ts';

export interface WithNode {
  /** Requests after the first may leave it out. */
  readonly node: NodeInfo | undefined;
}

/** What the client listed last for a type: likely to be listed again. */
export type Guess = (typeUrl: string) => NameSet | undefined;

/** A repeated string field, gathered as the bytes that it takes in the message. */
class Listed {
  #from = -1;
  #to = -1;
  #split: Buffer[] | undefined;

  /** Takes up the field that the reader stands at, and those like it that follow. */
  add(reader: WireReader): void {
    reader.skipAlike();
    if (this.#split !== undefined) this.#split.push(reader.bytes.subarray(reader.start, reader.at));
    else if (this.#from < 0) this.#from = reader.start;
    else if (this.#to !== reader.start) {
      this.#split = [reader.bytes.subarray(this.#from, this.#to), reader.bytes.subarray(reader.start, reader.at)];
    }
    this.#to = reader.at;
  }

  set(bytes: Buffer, pool: NamePool, guess: NameSet | undefined): NameSet {
    if (this.#from < 0) return NO_NAMES;
    const wire = this.#split === undefined ? bytes.subarray(this.#from, this.#to) : Buffer.concat(this.#split);
    return pool.ofWire(wire, guess, readStrings);
  }
}

function readStrings(wire: Buffer): string[] {
  const reader = new WireReader(wire);
  const strings: string[] = [];
  while (reader.next()) strings.push(reader.text());
  return strings;
}

/** google.rpc.Status {message = 2}: its presence is the rejection, whatever it says. */
function readError(reader: WireReader): string {
  let message = '';
  while (reader.next()) if (reader.field === 2) message = reader.text();
  return message;
}

/** Decodes a DiscoveryRequest; throws a WireError on bytes that aren't one. */
export function readSotwRequest(bytes: Buffer, pool: NamePool, guess: Guess): SotwRequest & WithNode {
  const reader = new WireReader(bytes);
  const names = new Listed();
  let node: NodeInfo | undefined;
  let error: string | undefined;
  let [typeUrl, version, nonce] = ['', '', ''];
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) node = readNode(reader.nested());
    else if (reader.field === 3) names.add(reader);
    else if (reader.field === 4) typeUrl = reader.text();
    else if (reader.field === 5) nonce = reader.text();
    else if (reader.field === 6) error = readError(reader.nested());
  }
  return { typeUrl, version, nonce, node, error, names: names.set(bytes, pool, guess(typeUrl)) };
}

/** Decodes a DeltaDiscoveryRequest; throws a WireError on bytes that aren't one. */
export function readDeltaRequest(bytes: Buffer, pool: NamePool): DeltaRequest & WithNode {
  const reader = new WireReader(bytes);
  const subscribe = new Listed();
  const unsubscribe = new Listed();
  const stated = new Stated();
  let node: NodeInfo | undefined;
  let error: string | undefined;
  let [typeUrl, nonce] = ['', ''];
  while (reader.next()) {
    if (reader.field === 1) node = readNode(reader.nested());
    else if (reader.field === 2) typeUrl = reader.text();
    else if (reader.field === 3) subscribe.add(reader);
    else if (reader.field === 4) unsubscribe.add(reader);
    else if (reader.field === 5) stated.add(reader);
    else if (reader.field === 6) nonce = reader.text();
    else if (reader.field === 7) error = readError(reader.nested());
  }
  return {
    typeUrl,
    nonce,
    node,
    error,
    stated,
    subscribe: subscribe.set(bytes, pool, undefined),
    unsubscribe: unsubscribe.set(bytes, pool, undefined),
  };
}
