// Draws from a seed: the same seed makes the same mesh, so that one that fails can be looked at again.

export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** An integer from 0 up to, but without, `limit` (mulberry32). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  of<T>(pool: readonly T[]): T {
    const found = pool[this.below(pool.length)];
    if (found === undefined) throw new Error('an empty pool');
    return found;
  }

  /** Some of a pool, each once, at least one. */
  some<T>(pool: readonly T[], most = 3): readonly T[] {
    const count = 1 + this.below(Math.min(most, pool.length));
    return [...new Set(Array.from({ length: count }, () => this.of(pool)))];
  }
}
