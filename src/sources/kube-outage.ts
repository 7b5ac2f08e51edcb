// Collections of one API server that wait after a failure, so that the first one that is answered again calls the others: after an
// outage all are read at once, not each when its own pause is over. In: who waits, who was answered. Called by kube-list-watch.ts.

export class Outage {
  /** Those that the server answered last time. */
  readonly #answered = new Set<object>();
  readonly #waiting = new Map<object, () => void>();

  /** The server could not be reached; `again` is called when another one reaches it. The result ends the wait. */
  wait(who: object, again: () => void): () => void {
    this.#waiting.set(who, again);
    return () => this.#waiting.delete(who);
  }

  /** A server that fails some requests only is overloaded: their pauses stand. */
  answered(who: object): void {
    this.#answered.add(who);
    if (this.#waiting.size * 2 < this.#answered.size) return;
    for (const again of [...this.#waiting.values()]) again();
  }

  /** It asks no more: the server has nothing of the kind. */
  left(who: object): void {
    this.#answered.delete(who);
  }
}
