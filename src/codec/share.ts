// What all templates together may remember: a mesh may have thousands of them, each for few messages.
// In: what one of them remembers, in bytes. Out: word to those who have to forget theirs. Called by template.ts.

/** Bytes remembered by all; beyond that those who began to remember first forget. */
export const MAX_SHARED = 8 * 1024 * 1024;

export interface Sharer {
  forget(): void;
}

const shares = new Set<Share>();
let all = 0;

/** What is remembered by all. */
export function sharedBytes(): number {
  return all;
}

/** What one has of it. That one may be gone: then its share goes when it is the oldest. */
export class Share {
  bytes = 0;
  readonly #of: WeakRef<Sharer>;

  constructor(of: Sharer) {
    this.#of = new WeakRef(of);
  }

  become(bytes: number): void {
    all += bytes - this.bytes;
    this.bytes = bytes;
    shares.add(this);
    for (const oldest of shares) {
      if (all <= MAX_SHARED || oldest === this) return;
      oldest.#end();
    }
  }

  #end(): void {
    shares.delete(this);
    all -= this.bytes;
    this.bytes = 0;
    this.#of.deref()?.forget();
  }
}
