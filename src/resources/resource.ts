// The unit that the wire knows: one named xDS resource, encoded once and hashed once.
// In: drafts from the translators. Out: resources shared by every view and stream that holds them.

import { hash } from 'node:crypto';
import type { Draft, Origin } from '../ir/draft.ts';
import { stamp } from '../lib/stamp.ts';

export interface Resource {
  readonly typeUrl: string;
  readonly name: string;
  /** Hash of the bytes, or of the hashes of their parts: two replicas agree on it, and a proxy that reconnects is sent nothing that it has. */
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
export function contentVersion(content: Uint8Array | string): string {
  return hash('sha256', content, 'base64url').slice(0, 16);
}

/** The same from the hashes of parts: a change of one of thousands has that one hashed, and the list. */
function partsVersion(parts: readonly Uint8Array[]): string {
  let versions = '';
  for (const part of parts) {
    let version = partVersions.get(part);
    if (version === undefined) {
      version = contentVersion(part);
      partVersions.set(part, version);
    }
    versions += version;
  }
  return contentVersion(versions);
}

const partVersions = stamp<Uint8Array, string>();

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
    const { typeUrl, name, bytes, parts } = draft;
    counted(bytes);
    // Origins may be costly to list, and are asked for by people only.
    resource = {
      typeUrl,
      name,
      version: parts === undefined ? contentVersion(bytes) : partsVersion(parts),
      bytes,
      get origins() {
        return draft.origins;
      },
    };
    resources.set(draft, resource);
  }
  return resource;
}
