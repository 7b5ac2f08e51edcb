// What is known about an object, kept with the object itself.
// In: an object whose identity stands for its content. Out: the value that was set for it, for as long as it lives.
// Called where a module keeps something for each of many objects, memo.ts first of all: a WeakMap does the same, but pays
// for every entry again in every collection and in every growth of its table, six times as much as this in all.
// A stamp that goes away before its objects does leave its values behind with them: make stamps for whole modules only.

/** Gives its argument back as the object under construction, so that the class below puts its private field there. */
class Itself {
  constructor(of: object) {
    // oxlint-disable-next-line no-constructor-return -- this is the one thing that the class is for
    return of;
  }
}

export interface Stamp<K extends object, V> {
  get(of: K): V | undefined;
  set(of: K, value: V): void;
}

/** All that is known about one object: the number of a kind and its value, one after the other. A dozen at the most. */
class Stamped extends Itself {
  // One field for all kinds: each field more costs an object a shape of its own, and with it whoever reads the object.
  #values: unknown[];

  constructor(of: object, values: unknown[]) {
    super(of);
    this.#values = values;
  }

  static of(object: object): unknown[] | undefined {
    return #values in object ? (object as Stamped).#values : undefined;
  }

  static put(object: object, values: unknown[]): void {
    (object as Stamped).#values = values;
  }
}

let kinds = 0;

/** A new kind of stamp: no two see each other's values. */
export function stamp<K extends object, V>(): Stamp<K, V> {
  const kind = kinds++;
  /** Frozen objects, which engines to come may refuse a private field. */
  let frozen: WeakMap<K, V> | undefined;
  return {
    get(of) {
      const values = Stamped.of(of);
      if (values === undefined) return frozen?.get(of);
      for (let at = 0; at < values.length; at += 2) if (values[at] === kind) return values[at + 1] as V;
      return frozen?.get(of);
    },
    set(of, value) {
      const values = Stamped.of(of);
      if (values === undefined) {
        if (!Object.isExtensible(of)) {
          frozen ??= new WeakMap();
          frozen.set(of, value);
        } else new Stamped(of, [kind, value]);
        return;
      }
      for (let at = 0; at < values.length; at += 2) {
        if (values[at] !== kind) continue;
        values[at + 1] = value;
        return;
      }
      // Most objects have one or two: an array that grows takes room for seventeen.
      Stamped.put(of, values.concat([kind, value]));
    },
  };
}
