// Kubernetes' own kinds as its API server encodes them in Protocol Buffers: lists, events of watches, and the fields of objects
// that are read. In: the bytes of an answer, or of one event. Out: values of the types that the schemas of config/parse describe,
// without a check, since each field has its type on the wire. Called by kube-reflector.ts, through kube-api.ts. What nobody reads,
// managedFields above all, is passed over by its length. An error of the encoding is thrown.
//
//   "k8s\0" Unknown { raw = 2: List { metadata = 1: { resourceVersion = 2, continue = 3 }, items = 2 } }
//   WatchEvent { type = 1, object = 2: RawExtension { raw = 1: "k8s\0" Unknown { raw = 2: the object, or a Status } } }

import { WireReader } from '../codec/reader.ts';

/** How a value of one type lies on the wire. */
export interface Form<T> {
  /** Its wire type. */
  readonly wire: 0 | 2;
  /** `before` is what the same field held already. */
  readonly read: (reader: WireReader, before: T | undefined) => T;
}

interface Entry<T> {
  readonly number: number;
  readonly form: Form<T>;
  /** The server leaves nothing out: empty texts, zeros and false are there where JSON has no field. */
  readonly kept: boolean;
}

type Entries<T> = { readonly [Name in keyof T]-?: Entry<NonNullable<T[Name]>> };

/** A field that is missing when it is empty, as `omitempty` has it in JSON. */
export function field<T>(number: number, form: Form<T>): Entry<T> {
  return { number, form, kept: false };
}

/** A field that is a pointer, or one that JSON always has: what is there counts, were it nothing. */
export function kept<T>(number: number, form: Form<T>): Entry<T> {
  return { number, form, kept: true };
}

interface Field {
  readonly name: string;
  readonly wire: number;
  readonly kept: boolean;
  readonly read: (reader: WireReader, before: unknown) => unknown;
}

/** A message of which these fields are read; `needed` are there in any case. */
export function message<T extends object>(entries: Entries<T>, needed: Partial<T> = {}): Form<T> {
  const fields: (Field | undefined)[] = [];
  for (const [name, { number, form, kept: keep }] of Object.entries(
    entries as Readonly<Record<string, Entry<unknown>>>,
  ))
    fields[number] = { name, wire: form.wire, kept: keep, read: form.read };
  const wanted = Object.entries(needed);
  return {
    wire: 2,
    read: (reader) => {
      const end = reader.end();
      const value: Record<string, unknown> = {};
      while (reader.position < end) {
        const tag = reader.varint();
        const known = fields[tag >>> 3];
        if (known === undefined || known.wire !== (tag & 7)) {
          pass(reader, tag);
          continue;
        }
        const read = known.read(reader, value[known.name]);
        if (known.kept || (read !== '' && read !== 0 && read !== false)) value[known.name] = read;
      }
      mustEnd(reader, end);
      for (const [name, otherwise] of wanted) value[name] ??= otherwise;
      return value as T;
    },
  };
}

function pass(reader: WireReader, tag: number): void {
  if ((tag & 7) === 2) reader.position = reader.end();
  else reader.skip(tag);
}

function mustEnd(reader: WireReader, end: number): void {
  if (reader.position !== end) throw new Error('a message that ends where its length says');
}

export function list<T>({ wire, read }: Form<T>): Form<readonly T[]> {
  return {
    wire,
    read: (reader, before) => {
      const items = (before ?? []) as T[];
      items.push(read(reader, undefined));
      return items;
    },
  };
}

export const text: Form<string> = { wire: 2, read: (reader) => reader.text() };

/** A text that many objects have: one string for all of them. */
export const word: Form<string> = { wire: 2, read: readWord };

export const flag: Form<boolean> = { wire: 0, read: (reader) => reader.varint() !== 0 };

export const int32: Form<number> = { wire: 0, read: (reader) => reader.varint() | 0 };

export const int64: Form<number> = {
  wire: 0,
  read: (reader) => {
    reader.varint64();
    return reader.high * 2 ** 32 + reader.low;
  },
};

/** As JSON has it. */
export const base64: Form<string> = {
  wire: 2,
  read: (reader) => {
    const { buffer, byteOffset, length } = reader.span();
    return Buffer.from(buffer, byteOffset, length).toString('base64');
  },
};

export function mapOf<T>(values: Form<T>): Form<Readonly<Record<string, T>>> {
  const entry = message<{ readonly key: string; readonly value: T }>({
    key: kept(1, word),
    value: kept(2, values) as Entry<NonNullable<T>>,
  });
  return {
    wire: 2,
    read: (reader, before) => {
      const map = (before ?? {}) as Record<string, T>;
      const { key = '', value } = entry.read(reader, undefined) as { readonly key?: string; readonly value: T };
      if (key === '__proto__') Object.defineProperty(map, key, { value, enumerable: true });
      else map[key] = value;
      return map;
    },
  };
}

/** Longer texts are rarely the same. */
const LONGEST_WORD = 64;
const WORDS: (string | undefined)[] = Array.from({ length: 4096 });

function readWord(reader: WireReader): string {
  const { position: start, bytes } = reader;
  const end = reader.end();
  const from = reader.position;
  if (end - from <= LONGEST_WORD) {
    let [hash, bits] = [end - from, 0];
    for (let at = from; at < end; at++) {
      const byte = bytes[at] ?? 0;
      bits |= byte;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    // Bytes of other texts than ASCII might be those of another text's characters.
    if (bits < 128) {
      const place = (hash ^ (hash >>> 15)) & (WORDS.length - 1);
      const known = WORDS[place];
      if (known !== undefined && isWord(known, bytes, from, end)) {
        reader.position = end;
        return known;
      }
      reader.position = start;
      return (WORDS[place] = reader.text());
    }
  }
  reader.position = start;
  return reader.text();
}

function isWord(known: string, bytes: Uint8Array, from: number, end: number): boolean {
  if (known.length !== end - from) return false;
  for (let at = from; at < end; at++) if (known.charCodeAt(at - from) !== bytes[at]) return false;
  return true;
}

export interface WireList<T> {
  /** Its items are what their schemas say. */
  readonly checked: true;
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: readonly T[];
}

const MAGIC = Buffer.from('k8s\0');

/** Reads a whole answer to a list request. */
export function listReader<T>(item: Form<T>): (bytes: Uint8Array) => WireList<T> {
  const metadata = message<WireList<T>['metadata']>({ resourceVersion: field(2, text), continue: field(3, text) });
  const whole = message<Omit<WireList<T>, 'checked'>>(
    { metadata: field(1, metadata), items: field(2, list(item)) },
    { metadata: {}, items: [] },
  );
  return (bytes) => ({ checked: true, ...rawOf(bytes, whole) });
}

export interface WireEvent<T> {
  readonly type: string;
  /** Of the type ERROR a Status, otherwise what its schema says. */
  readonly object: T | WireStatus;
  readonly checked: true;
  /** What a watch that goes on from here begins with; empty in an error. */
  readonly resourceVersion: string;
}

export interface WireStatus {
  readonly message?: string;
  readonly code?: number;
}

const status = message<WireStatus>({ message: field(3, text), code: field(6, int32) });

const versioned = message<{ readonly metadata?: { readonly resourceVersion?: string } }>({
  metadata: field(1, message<{ readonly resourceVersion?: string }>({ resourceVersion: field(6, text) })),
});

const span: Form<Uint8Array> = { wire: 2, read: (reader) => reader.span() };

const NO_BYTES = new Uint8Array();

const extension = message<{ readonly raw?: Uint8Array }>({ raw: field(1, span) });

/** Reads one event of a watch. */
export function eventReader<T>(item: Form<T>): (bytes: Uint8Array) => WireEvent<T> {
  return (bytes) => {
    const reader = new WireReader(bytes);
    let type = '';
    let raw: Uint8Array = NO_BYTES;
    while (reader.position < bytes.length) {
      const tag = reader.varint();
      if (tag === TYPE) type = word.read(reader, undefined);
      else if (tag === OBJECT) ({ raw = NO_BYTES } = extension.read(reader, undefined));
      else pass(reader, tag);
    }
    if (type === 'ERROR') return { type, object: rawOf(raw, status), checked: true, resourceVersion: '' };
    const { resourceVersion = '' } = rawOf(raw, versioned).metadata ?? {};
    return { type, object: rawOf(raw, item), checked: true, resourceVersion };
  };
}

/** Fields 1 and 2, length-delimited. */
const TYPE = (1 << 3) | 2;
const OBJECT = (2 << 3) | 2;

/** The message in an envelope. */
function rawOf<T>(bytes: Uint8Array, form: Form<T>): T {
  const magic = bytes.subarray(0, MAGIC.length);
  if (!MAGIC.equals(magic)) throw new Error("an answer that begins as Kubernetes' encoding does");
  const reader = new WireReader(bytes.subarray(MAGIC.length));
  while (reader.position < reader.bytes.length) {
    const tag = reader.varint();
    if (tag === RAW) return form.read(reader, undefined);
    pass(reader, tag);
  }
  throw new Error('an answer with an object in it');
}

/** Field 2, length-delimited. */
const RAW = (2 << 3) | 2;
