// The unit that the wire knows: one named xDS resource, encoded once and hashed once.
// In: drafts from the translators. Out: resources shared by every view and stream that holds them.

import { hash } from 'node:crypto';
import { joined } from '../codec/index.ts';
import type { Draft, Origin } from '../ir/draft.ts';
import { stamp } from '../lib/stamp.ts';

export interface Resource {
  readonly typeUrl: string;
  readonly name: string;
  /** Hash of the bytes, or of the hashes of their pieces: two replicas agree on it, and a proxy that reconnects is sent nothing that it has. */
  readonly version: string;
  /** The encoded message, without its Any. Of one in pieces they are put together whenever it is asked for. */
  readonly bytes: Uint8Array;
  /** Its length, bytes. */
  readonly size: number;
  /** What stays of it while the rest changes, and is the same in others: the bytes, piece by piece, none of them small. */
  readonly pieces?: readonly Uint8Array[] | undefined;
  readonly origins: readonly Origin[];
}

/** What was encoded since the process started; read by metrics. */
export const ENCODED = { resources: 0, bytes: 0 };

/** Content hash of encoded bytes: 96 bits of SHA-256, which no mesh will see collide. */
export function contentVersion(content: Uint8Array | string): string {
  return hash('sha256', content, 'base64url').slice(0, 16);
}

/** The same from the hashes of pieces: a change of one of many has that one hashed, and the list. */
function piecesVersion(pieces: readonly Uint8Array[]): string {
  let versions = '';
  for (const piece of pieces) {
    let version = pieceVersions.get(piece);
    if (version === undefined) {
      version = contentVersion(piece);
      pieceVersions.set(piece, version);
      ENCODED.bytes += piece.length;
    }
    versions += version;
  }
  return contentVersion(versions);
}

const pieceVersions = stamp<Uint8Array, string>();

/** Pieces below this size, bytes, are joined with their neighbours: each would be copied for each proxy. */
export const SMALL = 16 * 1024;

/** What is written of a message in pieces. */
export function sendable(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  const out: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at < pieces.length; at++) {
    const piece = pieces[at] as Uint8Array;
    if (piece.length < SMALL) continue;
    if (from < at) out.push(joined(pieces.slice(from, at)));
    out.push(piece);
    from = at + 1;
  }
  if (from < pieces.length) out.push(joined(pieces.slice(from)));
  return out;
}

/** A resource of already encoded bytes. */
export function resourceOf(
  typeUrl: string,
  name: string,
  bytes: Uint8Array,
  origins: readonly Origin[] = [],
): Resource {
  ENCODED.resources++;
  ENCODED.bytes += bytes.length;
  return { typeUrl, name, version: contentVersion(bytes), bytes, size: bytes.length, origins };
}

/** Origins may be costly to list, and are asked for by people only. */
class DraftResource implements Resource {
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly size: number;
  readonly pieces: readonly Uint8Array[] | undefined;
  readonly #draft: Draft;

  constructor(draft: Draft) {
    const { typeUrl, name, pieces } = draft;
    ENCODED.resources++;
    this.typeUrl = typeUrl;
    this.name = name;
    this.#draft = draft;
    if (pieces === undefined) {
      const { bytes } = draft;
      ENCODED.bytes += bytes.length;
      this.version = contentVersion(bytes);
      this.size = bytes.length;
    } else {
      this.version = piecesVersion(pieces);
      this.size = pieces.reduce((size, piece) => size + piece.length, 0);
      this.pieces = sendable(pieces);
    }
  }

  get bytes(): Uint8Array {
    return this.#draft.bytes;
  }

  get origins(): readonly Origin[] {
    return this.#draft.origins;
  }
}

const resources = stamp<Draft, Resource>();

/** The resource of a draft: hashed once, however many views hold it. */
export function resourceFor(draft: Draft): Resource {
  let resource = resources.get(draft);
  if (resource === undefined) {
    resource = new DraftResource(draft);
    resources.set(draft, resource);
  }
  return resource;
}
