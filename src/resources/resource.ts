// The unit that the wire knows: one named xDS resource, encoded once and hashed once.
// In: drafts from the translators. Out: resources shared by every view and stream that holds them.

import { hash } from 'node:crypto';
import type { Draft, Origin } from '../ir/draft.ts';
import { stamp } from '../lib/stamp.ts';

export interface Resource {
  readonly typeUrl: string;
  readonly name: string;
  /** Hash of the bytes: two replicas agree on it, and a proxy that reconnects is sent nothing that it has. */
  readonly version: string;
  /** The encoded message, without its Any. */
  readonly bytes: Uint8Array;
  readonly origins: readonly Origin[];
}

/** What was encoded since the process started; read by metrics. */
export const ENCODED = { resources: 0, bytes: 0 };

function counted(bytes: Uint8Array): void {
  ENCODED.resources++;
  ENCODED.bytes += bytes.length;
}

/** Content hash of encoded bytes: 96 bits of SHA-256, which no mesh will see collide. */
export function contentVersion(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'base64url').slice(0, 16);
}

/** A resource of already encoded bytes. */
export function resourceOf(
  typeUrl: string,
  name: string,
  bytes: Uint8Array,
  origins: readonly Origin[] = [],
): Resource {
  counted(bytes);
  return { typeUrl, name, version: contentVersion(bytes), bytes, origins };
}

const resources = stamp<Draft, Resource>();

/** The resource of a draft: hashed once, however many views hold it. */
export function resourceFor(draft: Draft): Resource {
  let resource = resources.get(draft);
  if (resource === undefined) {
    const { typeUrl, name, bytes } = draft;
    counted(bytes);
    // Origins may be costly to list, and are asked for by people only.
    resource = {
      typeUrl,
      name,
      version: contentVersion(bytes),
      bytes,
      get origins() {
        return draft.origins;
      },
    };
    resources.set(draft, resource);
  }
  return resource;
}
