// Numbers for objects that the other process is told of once, and may forget when nobody holds them any more.
// In: objects as they are held and released. Out: numbers; calls that define an object and take it back. Called by the
// exporter for views and what they are made of, and by the sets of names on their way from a worker.

import type { Id } from './messages.ts';

/** Objects of one kind that the other side knows; `Context`: what defining one needs beside the object. */
export class Numbers<T extends object, Context extends readonly unknown[] = []> {
  readonly #known = new Map<T, { readonly id: Id; holders: number }>();
  readonly #byId = new Map<Id, T>();
  readonly #define: (object: T, id: Id, ...context: Context) => void;
  readonly #undefine: (object: T, id: Id) => void;
  #last = 0;

  constructor(define: (object: T, id: Id, ...context: Context) => void, undefine: (object: T, id: Id) => void) {
    this.#define = define;
    this.#undefine = undefine;
  }

  get size(): number {
    return this.#known.size;
  }

  at(id: Id): T | undefined {
    return this.#byId.get(id);
  }

  idOf(object: T): Id | undefined {
    return this.#known.get(object)?.id;
  }

  /** Holds an object once more; the first time it is defined. */
  hold(object: T, ...context: Context): Id {
    const known = this.#known.get(object);
    if (known !== undefined) {
      known.holders++;
      return known.id;
    }
    const id = ++this.#last;
    this.#known.set(object, { id, holders: 1 });
    this.#byId.set(id, object);
    this.#define(object, id, ...context);
    return id;
  }

  release(object: T): void {
    const known = this.#known.get(object);
    if (known === undefined || --known.holders > 0) return;
    this.#known.delete(object);
    this.#byId.delete(known.id);
    this.#undefine(object, known.id);
  }
}
