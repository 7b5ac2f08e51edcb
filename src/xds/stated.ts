// What a client says that it holds (`initial_resource_versions`), compared with a view where it lies in the request.
// In: the entries of one delta request. Out: which of them are what the view says. Called by the decoder and by the
// exchange, which lets go of it at once: a thousand proxies that come back state two thousand names each, nearly all of
// them as they stand, and to make strings of them would be most of what a reconnect costs.

import { tableValues } from '../lib/table.ts';
import { within } from '../lib/within.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable, View } from '../resources/view.ts';
import { selectedChunks } from './step.ts';
import { EVERYTHING, type Selection } from './subscription.ts';
import type { WireReader } from './wire.ts';

/** Entries are compared as bytes with resources, or read. */
export class Stated {
  #bytes: Buffer | undefined;
  /** Where fields with entries of the usual form follow each other: start and end of each row. */
  readonly #rows: number[] = [];
  #usual = 0;
  /** Start and end of the content of each of them, once somebody has asked. */
  #places: number[] | undefined;
  /** The few that have another, and how many of the usual ones came before each. */
  readonly #others: { readonly after: number; readonly name: string; readonly version: string }[] = [];

  readonly #sum = new VersionSum();
  #done: (() => void) | undefined;

  /** What is to happen once nobody reads the request's bytes any more. */
  whenDone(done: () => void): void {
    this.#done = done;
  }

  /** Nobody reads it any more. */
  done(): void {
    this.#done?.();
    this.#done = undefined;
    this.#bytes = undefined;
    this.#rows.length = 0;
    this.#places = undefined;
  }

  get size(): number {
    return this.#usual + this.#others.length;
  }

  /** Takes up the entry that the reader stands at, and those like it that follow. Throws a WireError when it isn't one. */
  add(reader: WireReader): void {
    const end = this.#takeRow(reader);
    if (end > reader.start) {
      this.#bytes = reader.bytes;
      this.#rows.push(reader.start, end);
      reader.skipTo(end);
      return;
    }
    const entry = reader.nested();
    let [name, version] = ['', ''];
    while (entry.next()) {
      if (entry.field === 1) name = entry.text();
      else if (entry.field === 2) version = entry.text();
    }
    this.#others.push({ after: this.#usual, name, version });
  }

  /** Sums up entries of the usual form; gives where they end. Each takes a few loads: there are thousands for each proxy. */
  #takeRow({ bytes, start, end }: WireReader): number {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = start;
    for (let to = entryEnd(bytes, at, end); to > 0; to = entryEnd(bytes, at, end)) {
      this.#sum.add(words, to);
      this.#usual++;
      at = to;
    }
    return at;
  }

  #placesOf(): readonly number[] {
    if (this.#places !== undefined) return this.#places;
    const places: number[] = [];
    const bytes = this.#bytes ?? NO_BYTES;
    for (let row = 0; row < this.#rows.length; row += 2) {
      const end = this.#rows[row + 1] as number;
      for (let at = this.#rows[row] as number; at < end; ) {
        const from = (bytes[at + 1] as number) < 128 ? at + 2 : at + 3;
        at = entryEnd(bytes, at, end);
        places.push(from, at);
      }
    }
    this.#places = places;
    return places;
  }

  /** Every entry as text; of several with one name the last counts. */
  read(): ReadonlyMap<string, string> {
    const all = new Map<string, string>();
    const places = this.#placesOf();
    let next = 0;
    for (let at = 0; at <= places.length; at += 2) {
      for (; this.#others[next]?.after === at / 2; next++) {
        const { name, version } = this.#others[next] as { readonly name: string; readonly version: string };
        all.set(name, version);
      }
      if (at < places.length) all.set(...this.#textAt(places, at));
    }
    return all;
  }

  /**
   * True when exactly what the selection covers of the view is stated, all as it stands there: what nearly every proxy
   * says that comes back. Neither a name nor an order has to be looked at. When false it may still be so.
   */
  isAll(wants: Selection, view: View): boolean {
    if (this.#usual === 0 || this.#others.length > 0) return false;
    if (wants !== EVERYTHING && (wants.wildcard || this.size !== wants.set.names.size)) return false;
    return this.#sum.equals(sumOf(wants, view));
  }

  /**
   * Tells for each entry, in no particular order, either the resource of the view that it states in name and version,
   * or what it says else. False when that can't be told so, and the entries have to be read: a name stands in two
   * parts of the view, or was stated twice.
   */
  compare(view: View, same: (resource: Resource) => void, other: (name: string, version: string) => void): boolean {
    const indexes = view.parts.map(indexOf);
    const seen = indexes.map((index) => new Uint8Array(index.resources.length));
    const bytes = this.#bytes ?? NO_BYTES;
    const places = this.#placesOf();
    for (let at = 0; at < places.length; at += 2) {
      const from = places[at] ?? 0;
      const to = places[at + 1] ?? 0;
      let found = -1;
      for (let part = 0; found < 0 && part < indexes.length; part++) {
        const index = indexes[part] as VersionIndex;
        found = index.find(bytes, from, to);
        if (found < 0) continue;
        const marks = seen[part] as Uint8Array;
        if (marks[found] === 1) return false;
        marks[found] = 1;
        same(index.resources[found] as Resource);
      }
      if (found < 0) other(...this.#textAt(places, at));
    }
    for (const { name, version } of this.#others) other(name, version);
    return true;
  }

  #textAt(places: readonly number[], at: number): [string, string] {
    const bytes = this.#bytes as Buffer;
    const from = places[at] ?? 0;
    const middle = from + 2 + (bytes[from + 1] ?? 0);
    return [bytes.toString('utf8', from + 2, middle), bytes.toString('utf8', middle + 2, places[at + 1])];
  }
}

const NO_BYTES = Buffer.alloc(0);

/** `initial_resource_versions` of a DeltaDiscoveryRequest, length-delimited. */
const ENTRY_TAG = 5 * 8 + 2;
/** Of the entry itself: key and value, length-delimited. */
const NAME_TAG = 0x0a;
const VERSION_TAG = 0x12;

/**
 * Where the entry ends whose tag stands at `at`; 0 when it is something else or unusual. One entry of a map<string, string> is
 * nearly always the name, then the version, each shorter than 128 bytes.
 */
function entryEnd(bytes: Buffer, at: number, end: number): number {
  // Tags and lengths of the entry, its name and its version: whatever is read below lies before the end of it.
  if (at + 6 > end || bytes[at] !== ENTRY_TAG) return 0;
  let length = bytes[at + 1] as number;
  let from = at + 2;
  if (length > 127) {
    const high = bytes[at + 2] as number;
    if (high > 127) return 0;
    length = (length & 127) | (high << 7);
    from = at + 3;
  }
  const to = from + length;
  if (to > end || length < 4 || bytes[from] !== NAME_TAG) return 0;
  const nameLength = bytes[from + 1] as number;
  const middle = from + 2 + nameLength;
  if (nameLength > 127 || middle + 2 > to || bytes[middle] !== VERSION_TAG) return 0;
  const versionLength = bytes[middle + 1] as number;
  return versionLength < 128 && to === middle + 2 + versionLength ? to : 0;
}

/**
 * The versions of a set of resources, in any order, added up word by word. Versions are hashes: two sets with the same sum
 * are the same, but for those that a client has made up.
 */
class VersionSum {
  #count = 0;
  readonly #lanes = new Int32Array(WORDS);

  /** Adds the version that ends at `to`, its length before it. What has another length makes a sum that nothing else has. */
  add(words: DataView, to: number): void {
    this.#count++;
    const lanes = this.#lanes;
    // A length of 16 keeps a longer or shorter text from counting by its last letters.
    const from = to - VERSION_LETTERS;
    if (from < 1 || words.getUint8(from - 1) !== VERSION_LETTERS) {
      this.#count = Number.NaN;
      return;
    }
    lanes[0] = (lanes[0] as number) + words.getInt32(from, true);
    lanes[1] = (lanes[1] as number) + words.getInt32(from + 4, true);
    lanes[2] = (lanes[2] as number) + words.getInt32(from + 8, true);
    lanes[3] = (lanes[3] as number) + words.getInt32(from + 12, true);
  }

  equals(other: VersionSum): boolean {
    return this.#count === other.#count && this.#lanes.every((lane, i) => lane === other.#lanes[i]);
  }

  addResource({ version }: Resource): void {
    const letters = Buffer.from(`\u0010${version}`, 'latin1');
    const words = new DataView(letters.buffer, letters.byteOffset, letters.length);
    if (version.length === VERSION_LETTERS) this.add(words, letters.length);
    else this.#count = Number.NaN;
  }

  addSum(other: VersionSum): void {
    this.#count += other.#count;
    for (let i = 0; i < WORDS; i++) this.#lanes[i] = (this.#lanes[i] as number) + (other.#lanes[i] as number);
  }
}

const tableSums = new WeakMap<ResourceTable, VersionSum>();
const selectedSums = new WeakMap<View, WeakMap<Selection, VersionSum>>();

function sumOf(wants: Selection, view: View): VersionSum {
  const sums = within(selectedSums, view);
  let sum = sums.get(wants);
  if (sum === undefined) {
    sum = new VersionSum();
    if (wants === EVERYTHING) for (const part of view.parts) sum.addSum(sumOfTable(part));
    else for (const { resources } of selectedChunks(wants, view)) for (const one of resources) sum.addResource(one);
    sums.set(wants, sum);
  }
  return sum;
}

function sumOfTable(table: ResourceTable): VersionSum {
  let sum = tableSums.get(table);
  if (sum === undefined) {
    sum = new VersionSum();
    for (const group of tableValues(table)) for (const resource of group) sum.addResource(resource);
    tableSums.set(table, sum);
  }
  return sum;
}

/** Letters of a version, see resources/resource.ts; four words of four letters each. */
const VERSION_LETTERS = 16;
const WORDS = 4;

/**
 * The resources of a table by version. A version is a hash of the content, and the content bears the name: of the name
 * only the length is compared. A client that states a version under another name misleads nobody but itself.
 */
class VersionIndex {
  readonly resources: readonly Resource[];
  readonly #places = new Map<number, number>();
  readonly #words: Int32Array;

  constructor(resources: readonly Resource[]) {
    this.resources = resources;
    this.#words = new Int32Array(resources.length * WORDS);
    for (const [at, { version }] of resources.entries()) {
      if (version.length !== VERSION_LETTERS) continue;
      const letters = Buffer.from(version, 'latin1');
      for (let i = 0; i < WORDS; i++) this.#words[at * WORDS + i] = wordAt(letters, i * 4);
      this.#places.set(wordAt(letters, 0) ^ wordAt(letters, 4), at);
    }
  }

  /** Place of the resource whose version the entry states, or -1. */
  find(bytes: Buffer, from: number, to: number): number {
    const nameLength = bytes[from + 1] as number;
    const start = from + nameLength + 4;
    if (to - start !== VERSION_LETTERS) return -1;
    const first = wordAt(bytes, start);
    const second = wordAt(bytes, start + 4);
    const at = this.#places.get(first ^ second);
    if (at === undefined) return -1;
    const words = this.#words;
    const same =
      words[at * WORDS] === first &&
      words[at * WORDS + 1] === second &&
      words[at * WORDS + 2] === wordAt(bytes, start + 8) &&
      words[at * WORDS + 3] === wordAt(bytes, start + 12) &&
      this.resources[at]?.name.length === nameLength;
    return same ? at : -1;
  }
}

function wordAt(bytes: Buffer, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

const indexes = new WeakMap<ResourceTable, VersionIndex>();

function indexOf(table: ResourceTable): VersionIndex {
  let index = indexes.get(table);
  if (index === undefined) {
    index = new VersionIndex([...tableValues(table)].flat());
    indexes.set(table, index);
  }
  return index;
}
