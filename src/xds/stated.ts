// What a client says that it holds (`initial_resource_versions`), compared with a view where it lies in the request.
// In: the entries of one delta request. Out: which of them are what the view says. Called by the decoder and by the
// exchange, which lets go of it at once: a thousand proxies that come back state two thousand names each, nearly all of
// them as they stand, and to make strings of them would be most of what a reconnect costs.

import { tableValues } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable, View } from '../resources/view.ts';
import type { WireReader } from './wire.ts';

/** Entries are compared as bytes with resources, or read. */
export class Stated {
  #bytes: Buffer | undefined;
  /** Start and end of each entry that has the usual form. */
  readonly #places: number[] = [];
  /** The few that have another. */
  #others: [string, string][] = [];

  get size(): number {
    return this.#places.length / 2 + this.#others.length;
  }

  /** Takes up the entry that the reader stands at. Throws a WireError when it isn't one. */
  add(reader: WireReader): void {
    if (reader.wireType === 2 && isUsual(reader.bytes, reader.from, reader.to)) {
      this.#bytes = reader.bytes;
      this.#places.push(reader.from, reader.to);
      return;
    }
    const entry = reader.nested();
    let [name, version] = ['', ''];
    while (entry.next()) {
      if (entry.field === 1) name = entry.text();
      else if (entry.field === 2) version = entry.text();
    }
    this.#others.push([name, version]);
  }

  /** Every entry as text; of several with one name the last counts. */
  read(): ReadonlyMap<string, string> {
    const all = new Map<string, string>();
    const { length } = this.#places;
    for (let at = 0; at < length; at += 2) all.set(...this.#textAt(at));
    for (const [name, version] of this.#others) all.set(name, version);
    return all;
  }

  /**
   * Tells for each entry, in no particular order, either the resource of the view that it states in name and version,
   * or what it says else. False when that can't be told so, and the entries have to be read: a name stands in two
   * parts of the view, or was stated twice.
   */
  compare(view: View, same: (resource: Resource) => void, other: (name: string, version: string) => void): boolean {
    const indexes = view.parts.map(indexOf);
    const seen = indexes.map((index) => new Uint8Array(index.resources.length));
    const bytes = this.#bytes ?? Buffer.alloc(0);
    const { length } = this.#places;
    for (let at = 0; at < length; at += 2) {
      const from = this.#places[at] ?? 0;
      const to = this.#places[at + 1] ?? 0;
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
      if (found < 0) other(...this.#textAt(at));
    }
    for (const [name, version] of this.#others) other(name, version);
    return true;
  }

  #textAt(at: number): [string, string] {
    const bytes = this.#bytes as Buffer;
    const from = this.#places[at] ?? 0;
    const middle = from + 2 + (bytes[from + 1] ?? 0);
    return [bytes.toString('utf8', from + 2, middle), bytes.toString('utf8', middle + 2, this.#places[at + 1])];
  }
}

/** One entry of a map<string, string>: nearly always the name, then the version, each shorter than 128 bytes. */
function isUsual(bytes: Buffer, from: number, to: number): boolean {
  const middle = from + 2 + (bytes[from + 1] ?? 0);
  return (
    bytes[from] === 0x0a &&
    (bytes[from + 1] ?? 128) < 128 &&
    bytes[middle] === 0x12 &&
    (bytes[middle + 1] ?? 128) < 128 &&
    to === middle + 2 + (bytes[middle + 1] ?? 0)
  );
}

/** The resources of a table by the first letters of their versions, which are hashes already. */
class VersionIndex {
  readonly resources: readonly Resource[];
  /** By key, the newest resource of it; before it those of the same key, ended by -1. */
  readonly #newest = new Map<number, number>();
  readonly #before: Int32Array;

  constructor(resources: readonly Resource[]) {
    this.resources = resources;
    this.#before = new Int32Array(resources.length);
    for (const [at, { version }] of resources.entries()) {
      const key = keyOf((i) => version.charCodeAt(i), version.length);
      this.#before[at] = this.#newest.get(key) ?? -1;
      this.#newest.set(key, at);
    }
  }

  /** Place of the resource whose name and version the entry states, or -1. */
  find(bytes: Buffer, from: number, to: number): number {
    const middle = from + 2 + (bytes[from + 1] as number);
    const start = middle + 2;
    const length = to - start;
    if (length < KEY_LETTERS) return -1;
    const key =
      (bytes[start] as number) |
      ((bytes[start + 1] as number) << 7) |
      ((bytes[start + 2] as number) << 14) |
      ((bytes[start + 3] as number) << 21);
    let at = this.#newest.get(key) ?? -1;
    while (at >= 0) {
      const { name, version } = this.resources[at] as Resource;
      if (isText(bytes, start, to, version) && isText(bytes, from + 2, middle, name)) return at;
      at = this.#before[at] ?? -1;
    }
    return -1;
  }
}

const KEY_LETTERS = 4;

function keyOf(letter: (at: number) => number, length: number): number {
  if (length < KEY_LETTERS) return -1;
  return letter(0) | (letter(1) << 7) | (letter(2) << 14) | (letter(3) << 21);
}

/** True when these bytes are that text; text beyond ASCII is never found, and read instead. */
function isText(bytes: Buffer, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text.charCodeAt(i)) return false;
  return true;
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
