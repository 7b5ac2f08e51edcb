// What is known of a pair of objects, or of three, for as long as all of them live: none of them keeps another.
// A memo keeps its results with its first input, and with those whatever they are made from.

/** The map under a key, made where there is none yet. */
export function within<K extends WeakKey, L extends WeakKey, V>(map: WeakMap<K, WeakMap<L, V>>, key: K): WeakMap<L, V> {
  let inner = map.get(key);
  if (inner === undefined) {
    inner = new WeakMap();
    map.set(key, inner);
  }
  return inner;
}
