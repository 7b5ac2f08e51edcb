// Domains of some claims, for which thousands of others are asked whether they have one of them: nearly none does.
// A bit for each hash says so without a look at the texts, which lie all over memory.

import { fnv1a } from '../../lib/hash.ts';
import type { DomainClaim } from './domains.ts';

/** A power of two: with a few hundred domains, one in twenty others meets a bit that is set. */
const BITS = 8192;

export class KeySet {
  readonly #texts = new Set<string>();
  readonly #bits = new Uint8Array(BITS / 8);

  add(claim: DomainClaim): void {
    for (const hash of hashesOf(claim)) this.#bits[hash >>> 3] = (this.#bits[hash >>> 3] as number) | (1 << (hash & 7));
    for (const key of claim.keys) this.#texts.add(key);
  }

  hasAny(claim: DomainClaim): boolean {
    const hashes = hashesOf(claim);
    for (let at = 0; at < hashes.length; at++) {
      const hash = hashes[at] as number;
      const set = ((this.#bits[hash >>> 3] as number) & (1 << (hash & 7))) !== 0;
      if (set && this.#texts.has(claim.keys[at] as string)) return true;
    }
    return false;
  }
}

function hashesOf(claim: DomainClaim): readonly number[] {
  return (claim.hashes ??= claim.keys.map((key) => fnv1a(key) & (BITS - 1)));
}
