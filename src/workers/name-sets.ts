// Sets of names on their way from a worker: a thousand proxies that subscribe to the same names share one set, which crosses once.
// In: the sets that sessions have, and have no longer. Out: numbers, and events that define them. Called by the worker's port
// (NumberedSets) and by the sessions on the other side (KnownSets).

import type { Id, NamesEvent } from './messages.ts';

type Names = ReadonlySet<string>;

export class NumberedSets {
  readonly #known = new Map<Names, { readonly id: Id; holders: number }>();
  readonly #tell: (event: NamesEvent) => void;
  #last = 0;

  constructor(tell: (event: NamesEvent) => void) {
    this.#tell = tell;
  }

  /** Holds a set once more; told as what differs from `base` where that is known and shorter. */
  hold(names: Names, base: Names | undefined): Id {
    const known = this.#known.get(names);
    if (known !== undefined) {
      known.holders++;
      return known.id;
    }
    const set = ++this.#last;
    this.#known.set(names, { id: set, holders: 1 });
    const from = base === undefined ? undefined : this.#known.get(base)?.id;
    const added = base === undefined ? [...names] : [...names].filter((name) => !base.has(name));
    const dropped = base === undefined ? [] : [...base].filter((name) => !names.has(name));
    if (from === undefined || added.length + dropped.length > names.size) {
      this.#tell({ kind: 'set', set, base: 0, added: [...names], dropped: [] });
    } else this.#tell({ kind: 'set', set, base: from, added, dropped });
    return set;
  }

  release(names: Names): void {
    const known = this.#known.get(names);
    if (known === undefined || --known.holders > 0) return;
    this.#known.delete(names);
    this.#tell({ kind: 'unset', set: known.id });
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
