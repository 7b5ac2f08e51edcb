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

/** A new kind of stamp: no two see each other's values. */
export function stamp<K extends object, V>(): Stamp<K, V> {
  /** Frozen objects, which engines to come may refuse a private field. */
  let frozen: WeakMap<K, V> | undefined;
  class Stamped extends Itself {
    #value: V | undefined = undefined;

    static get(of: K): V | undefined {
      return #value in of ? (of as unknown as Stamped).#value : frozen?.get(of);
    }

    static set(of: K, value: V): void {
      if (!(#value in of)) {
        if (!Object.isExtensible(of)) {
          frozen ??= new WeakMap();
          frozen.set(of, value);
          return;
        }
        new Stamped(of);
      }
      (of as unknown as Stamped).#value = value;
    }
  }
  return Stamped;
}
