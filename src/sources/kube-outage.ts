// Collections of one API server that wait after a failure, so that the first one that is answered again calls the others: after an
// outage all are read at once, not each when its own pause is over. In: who waits, who was answered. Called by kube-list-watch.ts.

export class Outage {
  readonly #waiting = new Set<() => void>();
  #members = 0;

  join(): void {
    this.#members++;
  }

  /** The server could not be reached; `again` is called when another one reaches it. The result ends the wait. */
  wait(again: () => void): () => void {
    this.#waiting.add(again);
    return () => this.#waiting.delete(again);
  }

  /** A server that fails some requests only is overloaded: their pauses stand. */
  answered(): void {
    if (this.#waiting.size * 2 < this.#members) return;
    for (const again of [...this.#waiting]) again();
  }
}
