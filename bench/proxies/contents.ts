// What thousands of fake proxies hold, once: each distinct content by its version, or by its hash where the protocol
// knows none for single resources. In: resources as they came. Out: the one object that stands for them, without bytes.

import { hash } from 'node:crypto';
import type { ClientResource } from '../../src/xds/client-state.ts';

export class Contents {
  readonly #byVersion = new Map<string, ClientResource>();
  /** Found while the message is looked at: the bytes of one message are one object for as long. */
  readonly #byBytes = new WeakMap<Buffer, ClientResource>();

  /** The same object for the same name and content. */
  of(resource: ClientResource): ClientResource {
    if (resource.version !== '') return this.#interned(resource.name, resource.version);
    const known = this.#byBytes.get(resource.bytes);
    if (known !== undefined) return known;
    const found = this.#interned(resource.name, hash('sha1', resource.bytes, 'base64'));
    this.#byBytes.set(resource.bytes, found);
    return found;
  }

  #interned(name: string, version: string): ClientResource {
    const key = `${version} ${name}`;
    let known = this.#byVersion.get(key);
    if (known === undefined) {
      known = { name, version, bytes: NOTHING };
      this.#byVersion.set(key, known);
    }
    return known;
  }
}

const NOTHING = Buffer.alloc(0);
