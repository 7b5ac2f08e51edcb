// A queue in which each value stands once, first come, first served.
// In: values. Out: the one that came first. Called by what works for many streams in turn.
// A Set alone does the same, but whoever asks it for its first value passes over all that were taken out before it.

export class Fifo<T> {
  readonly #values = new Set<T>();
  /** Goes on where it stood, over what was added since; undefined at the end. */
  #next: Iterator<T> | undefined;

  get size(): number {
    return this.#values.size;
  }

  has(value: T): boolean {
    return this.#values.has(value);
  }

  /** Puts it at the end, unless it stands in the queue. */
  add(value: T): void {
    this.#values.add(value);
  }

  /** True when it stood in the queue. */
  delete(value: T): boolean {
    return this.#values.delete(value);
  }

  clear(): void {
    this.#values.clear();
  }

  /** Takes out the first; undefined when there is none. */
  take(): T | undefined {
    if (this.#values.size === 0) return undefined;
    this.#next ??= this.#values.values();
    const { done, value } = this.#next.next();
    if (done === true) {
      // An iterator that has come to the end stays there.
      this.#next = undefined;
      return this.take();
    }
    this.#values.delete(value);
    return value;
  }
}
