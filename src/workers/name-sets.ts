// Sets of names on their way from a worker: a thousand proxies that subscribe to the same names share one set, which crosses once.
// In: the sets that sessions have, and have no longer. Out: numbers, and events that define them. Called by the worker's port
// (NumberedSets) and by the sessions on the other side (KnownSets).

import type { Id, NamesEvent } from './messages.ts';
import { Numbers } from './numbers.ts';

type Names = ReadonlySet<string>;

export class NumberedSets {
  readonly #numbers: Numbers<Names, [base: Names | undefined]>;
  readonly #tell: (event: NamesEvent) => void;

  constructor(tell: (event: NamesEvent) => void) {
    this.#tell = tell;
    this.#numbers = new Numbers(
      (names, set, base) => this.#define(names, set, base),
      (_, set) => tell({ kind: 'unset', set }),
    );
  }

  /** Holds a set once more; told as what differs from `base` where that is known and shorter. */
  hold(names: Names, base: Names | undefined): Id {
    return this.#numbers.hold(names, base);
  }

  release(names: Names): void {
    this.#numbers.release(names);
  }

  #define(names: Names, set: Id, base: Names | undefined): void {
    const from = base === undefined ? undefined : this.#numbers.idOf(base);
    const added = base === undefined ? [...names] : [...names].filter((name) => !base.has(name));
    const dropped = base === undefined ? [] : [...base].filter((name) => !names.has(name));
    if (from === undefined || added.length + dropped.length > names.size) {
      this.#tell({ kind: 'set', set, base: 0, added: [...names], dropped: [] });
    } else this.#tell({ kind: 'set', set, base: from, added, dropped });
  }
}

export class KnownSets {
  readonly #sets = new Map<Id, Names>();

  take(event: NamesEvent): void {
    if (event.kind === 'unset') this.#sets.delete(event.set);
    else {
      const names = new Set(this.#sets.get(event.base));
      for (const name of event.dropped) names.delete(name);
      for (const name of event.added) names.add(name);
      this.#sets.set(event.set, names);
    }
  }

  get(id: Id): Names {
    const names = this.#sets.get(id);
    if (names === undefined) throw new Error(`set ${id} was not told of`);
    return names;
  }

  get size(): number {
    return this.#sets.size;
  }
}
