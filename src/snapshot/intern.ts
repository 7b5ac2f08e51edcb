// Tables of equal values: asking with equal content gives the object that was made first. Entries that nobody holds and
// nobody asked for during two generations are dropped.

export interface InternTable<V> {
  /** The object of this key, if it still has the wanted content; else `next` takes its place. */
  keep(key: string, next: V, same: (before: V, next: V) => boolean): V;
  /** The object of this key, if there is one. */
  find(key: string): V | undefined;
  /** Somebody has the value of this key, until it is released as often as it was held. */
  hold(key: string): void;
  release(key: string): void;
  /** Starts a generation. */
  sweep(): void;
  /** Another table that begins with the same values. */
  fork(): InternTable<V>;
  readonly size: number;
}

interface Slot<V> {
  value: V;
  used: number;
  holders: number;
}

const GENERATIONS = 2;

export function internTable<V>(): InternTable<V> {
  return tableOf(new Map(), 0);
}

function tableOf<V>(slots: Map<string, Slot<V>>, start: number): InternTable<V> {
  let generation = start;
  // Of a large mesh nearly all is held: a generation looks at nothing else.
  const unheld = new Set([...slots].flatMap(([key, { holders }]) => (holders === 0 ? [key] : [])));
  return {
    keep(key, next, same) {
      const slot = slots.get(key);
      if (slot === undefined) {
        slots.set(key, { value: next, used: generation, holders: 0 });
        unheld.add(key);
        return next;
      }
      slot.used = generation;
      if (!same(slot.value, next)) slot.value = next;
      return slot.value;
    },
    find(key) {
      const slot = slots.get(key);
      if (slot !== undefined) slot.used = generation;
      return slot?.value;
    },
    hold(key) {
      const slot = slots.get(key);
      if (slot === undefined) return;
      slot.holders++;
      unheld.delete(key);
    },
    release(key) {
      const slot = slots.get(key);
      if (slot === undefined) return;
      slot.holders--;
      slot.used = generation;
      if (slot.holders === 0) unheld.add(key);
    },
    sweep() {
      generation++;
      for (const key of unheld) {
        if ((slots.get(key)?.used ?? 0) + GENERATIONS >= generation) continue;
        slots.delete(key);
        unheld.delete(key);
      }
    },
    fork: () => tableOf(new Map([...slots].map(([key, slot]) => [key, { ...slot }])), generation),
    get size() {
      return slots.size;
    },
  };
}
