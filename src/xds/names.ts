// Sets of resource names, each content once: a thousand proxies that subscribe to the same names share one object.
// In: names, or the bytes in which a request lists them. Out: immutable sets compared by identity.
// Called by the request decoder and the subscriptions.

/** An immutable set of names; two sets of one pool with the same content are the same object. */
export interface NameSet {
  readonly names: ReadonlySet<string>;
  /** Order-independent hash, two times 32 bits: the sum of the hashes of the names. */
  readonly hash: readonly [number, number];
}

interface Entry extends NameSet {
  /** Forms in which requests have listed exactly this set: an unchanged list is recognised without reading it. */
  readonly wires: Buffer[];
  /** Where requests have led from here last: a new service makes thousands of clients add the same name to the same set. */
  steps: readonly Step[];
}

interface Step {
  readonly added: NameSet;
  readonly dropped: NameSet;
  readonly to: WeakRef<NameSet>;
}

/** Kept steps per set. */
const MAX_STEPS = 4;

/** Kept forms per set: clients of one build list names in the same order. */
const MAX_WIRES = 2;

export const NO_NAMES: NameSet = { names: new Set(), hash: [0, 0] };

/** Interns sets of names; holds them weakly, so a set lives as long as some stream subscribes to it. */
export class NamePool {
  readonly #sets = new Map<string, WeakRef<Entry>[]>();
  readonly #wires = new Map<number, WeakRef<Entry>[]>();
  readonly #gone = new FinalizationRegistry<() => void>((forget) => forget());

  /** Sets alive, for tests and the debug page. */
  get size(): number {
    let size = 0;
    for (const refs of this.#sets.values()) for (const ref of refs) if (ref.deref() !== undefined) size++;
    return size;
  }

  /** The set of these names. */
  of(names: Iterable<string>): NameSet {
    const set = names instanceof Set ? (names as ReadonlySet<string>) : new Set(names);
    if (set.size === 0) return NO_NAMES;
    let a = 0;
    let b = 0;
    for (const name of set) {
      a = (a + hashName(name, SEED_A)) >>> 0;
      b = (b + hashName(name, SEED_B)) >>> 0;
    }
    const found = this.#find(keyOf(set.size, a, b), (entry) => containsAll(entry.names, set));
    return found ?? this.#add(names === set ? new Set(set) : set, a, b);
  }

  /** `base` with names added, then names dropped; builds nothing when the result is already known. */
  change(base: NameSet, added: Iterable<string>, dropped: Iterable<string>): NameSet {
    const less = new Set<string>();
    for (const name of dropped) less.add(name);
    const plus: string[] = [];
    for (const name of added) if (!base.names.has(name) && !less.has(name)) plus.push(name);
    const minus = [...less].filter((name) => base.names.has(name));
    if (plus.length === 0 && minus.length === 0) return base;
    const extra = new Set(plus);
    let [a, b] = base.hash;
    for (const name of extra) {
      a = (a + hashName(name, SEED_A)) >>> 0;
      b = (b + hashName(name, SEED_B)) >>> 0;
    }
    for (const name of minus) {
      a = (a - hashName(name, SEED_A)) >>> 0;
      b = (b - hashName(name, SEED_B)) >>> 0;
    }
    const size = base.names.size + extra.size - minus.length;
    if (size === 0) return NO_NAMES;
    const kept = (names: ReadonlySet<string>): boolean => {
      for (const name of base.names) if (!less.has(name) && !names.has(name)) return false;
      return containsAll(names, extra);
    };
    const found = this.#find(keyOf(size, a, b), (entry) => kept(entry.names));
    if (found !== undefined) return found;
    const names = new Set(base.names);
    for (const name of minus) names.delete(name);
    for (const name of extra) names.add(name);
    return this.#add(names, a, b);
  }

  /** As `change`, for sets that many clients add to and drop from another: the first of them finds out for all. */
  step(base: NameSet, added: NameSet, dropped: NameSet): NameSet {
    const { steps } = base as Entry;
    const known = steps?.find((step) => step.added === added && step.dropped === dropped)?.to.deref();
    if (known !== undefined) return known;
    const next = this.change(base, added.names, dropped.names);
    if (steps !== undefined) {
      const to = new WeakRef(next);
      (base as Entry).steps = [...steps.slice(1 - MAX_STEPS), { added, dropped, to }];
    }
    return next;
  }

  /** The set that a request lists in `wire`; `decode` is called only for a form not seen before. */
  ofWire(wire: Buffer, guess: NameSet | undefined, decode: (wire: Buffer) => string[]): NameSet {
    if (wire.length === 0) return NO_NAMES;
    const wires = (guess as Entry | undefined)?.wires;
    if (guess !== undefined && wires?.some((known) => known.equals(wire)) === true) return guess;
    const key = sampleHash(wire);
    for (const ref of this.#wires.get(key) ?? []) {
      const entry = ref.deref();
      if (entry?.wires.some((known) => known.equals(wire)) === true) return entry;
    }
    const set = this.#sameNames(wire) ?? this.of(decode(wire));
    if (set !== NO_NAMES) this.#remember(set as Entry, wire, key);
    return set;
  }

  /**
   * Clients list the names of one set in an order of their own: it is found by the number and the hash of its names, which
   * are 64 bits together. Who makes up a list with the hash of another misleads nobody but himself.
   */
  #sameNames(wire: Buffer): NameSet | undefined {
    const sum = sumOfWire(wire);
    return sum === undefined ? undefined : this.#find(keyOf(sum.count, sum.a, sum.b), () => true);
  }

  #find(key: string, same: (entry: Entry) => boolean): NameSet | undefined {
    for (const ref of this.#sets.get(key) ?? []) {
      const entry = ref.deref();
      if (entry !== undefined && same(entry)) return entry;
    }
    return undefined;
  }

  #add(names: ReadonlySet<string>, a: number, b: number): NameSet {
    const entry: Entry = { names, hash: [a, b], wires: [], steps: [] };
    const ref = new WeakRef(entry);
    const key = keyOf(names.size, a, b);
    put(this.#sets, key, ref);
    this.#gone.register(entry, () => drop(this.#sets, key, ref));
    return entry;
  }

  #remember(entry: Entry, wire: Buffer, key: number): void {
    if (entry.wires.length >= MAX_WIRES) return;
    entry.wires.push(Buffer.from(wire));
    const ref = new WeakRef(entry);
    put(this.#wires, key, ref);
    this.#gone.register(entry, () => drop(this.#wires, key, ref));
  }
}

const SEED_A = 0x811c9dc5;
const SEED_B = 0x9747b28c;

/** FNV-1a with a final mix: sums of plain FNV values would collide for names that differ in their last letters. */
function hashName(name: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return mixed(hash);
}

function mixed(hash: number): number {
  let mix = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}

/**
 * The sum that `of` makes, from the bytes of a repeated string field; undefined when there is more to them than ASCII
 * names shorter than 128 bytes, each behind the same one-byte tag.
 */
function sumOfWire(wire: Buffer): { readonly count: number; readonly a: number; readonly b: number } | undefined {
  const tag = wire[0];
  let [count, a, b] = [0, 0, 0];
  let at = 0;
  while (at < wire.length) {
    const length = wire[at + 1] ?? 128;
    const end = at + 2 + length;
    if (wire[at] !== tag || length > 127 || end > wire.length) return undefined;
    let [x, y] = [SEED_A, SEED_B];
    let letters = 0;
    for (at += 2; at < end; at++) {
      const letter = wire[at] as number;
      letters |= letter;
      x = Math.imul(x ^ letter, 0x01000193);
      y = Math.imul(y ^ letter, 0x01000193);
    }
    if (letters > 127) return undefined;
    a = (a + mixed(x)) >>> 0;
    b = (b + mixed(y)) >>> 0;
    count++;
  }
  return { count, a, b };
}

/** Cheap hash of the length and 64 bytes spread over the form: picks candidates, which are then compared whole. */
function sampleHash(wire: Buffer): number {
  let hash = SEED_A ^ wire.length;
  const stride = Math.max(1, Math.floor(wire.length / 64));
  for (let i = wire.length - 1; i >= 0; i -= stride) hash = Math.imul(hash ^ (wire[i] ?? 0), 0x01000193);
  return hash >>> 0;
}

function keyOf(size: number, a: number, b: number): string {
  return `${size}.${a}.${b}`;
}

function containsAll(names: ReadonlySet<string>, wanted: ReadonlySet<string>): boolean {
  if (names.size < wanted.size) return false;
  for (const name of wanted) if (!names.has(name)) return false;
  return true;
}

function put<K>(map: Map<K, WeakRef<Entry>[]>, key: K, ref: WeakRef<Entry>): void {
  const refs = map.get(key);
  if (refs === undefined) map.set(key, [ref]);
  else refs.push(ref);
}

function drop<K>(map: Map<K, WeakRef<Entry>[]>, key: K, ref: WeakRef<Entry>): void {
  const rest = (map.get(key) ?? []).filter((other) => other !== ref);
  if (rest.length === 0) map.delete(key);
  else map.set(key, rest);
}
