// The YAML that manifests are written in, read quickly: block mappings and sequences of plain, simply quoted and empty
// values, as `kubectl` and people write them.
// In: the text of one document. Out: its value, or undefined where the text has anything else in it (block scalars, flow
// collections, anchors, tags, merge keys, escapes, dates, floats, mistakes of any kind): then the whole parser is asked,
// which knows all of YAML and where a mistake stands. Called by yaml.ts, which promises that both agree.

/** Thrown and caught in this file alone: this text is for the whole parser. */
const NOT_QUICK = Symbol('not quick');

type Mapping = Record<string, unknown>;

export function readQuickly(text: string): { readonly value: unknown } | undefined {
  // Tabs, carriage returns and everything beyond ASCII have rules of their own.
  if (!/^[\x20-\x7e\n]*$/.test(text)) return undefined;
  try {
    return { value: new QuickReader(text).document() };
  } catch (error) {
    if (error === NOT_QUICK) return undefined;
    throw error;
  }
}

/** What starts with these words is a string whatever follows; reserved words are looked up apart. */
const KEY = /^([A-Za-z_][A-Za-z0-9_./-]*):(?: +|$)/;
/** Plain text without any of the signs that mean something in a place like this. */
const PLAIN = /^[A-Za-z0-9_/][A-Za-z0-9_./+=@~%,;:()*?<>$&!|^ -]*$/;
const INTEGER = /^-?(?:0|[1-9][0-9]{0,14})$/;
/** Might be a number of some notation, or a date. */
const NUMERIC = /^[0-9.+_a-fA-FxXoO-]*$/;
const ADDRESS = /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/;
const DOUBLE_QUOTED = /^"([^"\\]*)"$/;
const SINGLE_QUOTED = /^'([^']*)'$/;
const MARKER = /^--- *$/;
/** As deep as any manifest is, and no deeper than the stack. */
const MAX_DEPTH = 60;

const RESERVED: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...['null', 'Null', 'NULL'].map((word) => [word, null] as const),
  ...['true', 'True', 'TRUE'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE'].map((word) => [word, false] as const),
]);

class QuickReader {
  readonly #lines: readonly string[];
  #at = 0;
  /** The current line without what surrounds it, and how far it is indented; -1 at the end. */
  #line = '';
  #indent = -1;
  #depth = 0;

  constructor(text: string) {
    this.#lines = text.split('\n');
    this.#find();
    if (this.#indent === 0 && MARKER.test(this.#line)) this.#next();
  }

  document(): unknown {
    if (this.#indent !== 0) throw NOT_QUICK;
    const value = this.#mapping(0);
    if (!this.#ended) throw NOT_QUICK;
    return value;
  }

  get #ended(): boolean {
    return this.#indent === -1;
  }

  #next(): void {
    this.#at++;
    this.#find();
  }

  /** Goes on to the next line with content, from the current one. */
  #find(): void {
    for (; this.#at < this.#lines.length; this.#at++) {
      const raw = this.#lines[this.#at] as string;
      let indent = 0;
      while (raw.charCodeAt(indent) === 32) indent++;
      if (indent === raw.length || raw.charCodeAt(indent) === 35) continue;
      this.#line = raw.slice(indent).trimEnd();
      this.#indent = indent;
      return;
    }
    this.#line = '';
    this.#indent = -1;
  }

  /** A mapping whose keys stand at `indent`; the first key is on the current line. */
  #mapping(indent: number): Mapping {
    if (++this.#depth > MAX_DEPTH) throw NOT_QUICK;
    const mapping: Mapping = {};
    do {
      const match = KEY.exec(this.#line);
      const key = match?.[1];
      if (match === null || key === undefined || key === '__proto__' || RESERVED.has(key)) throw NOT_QUICK;
      if (Object.hasOwn(mapping, key)) throw NOT_QUICK;
      const rest = this.#line.slice(match[0].length);
      this.#next();
      mapping[key] = rest === '' ? this.#below(indent) : this.#scalar(rest, indent);
    } while (this.#indent === indent);
    if (this.#indent > indent) throw NOT_QUICK;
    this.#depth--;
    return mapping;
  }

  /** What belongs to a key without a value on its own line. */
  #below(indent: number): unknown {
    const isItem = this.#isItem();
    // The items of a key may stand as far out as the key.
    if (this.#indent === indent && isItem) return this.#sequence(indent);
    if (this.#indent <= indent) return null;
    return isItem ? this.#sequence(this.#indent) : this.#mapping(this.#indent);
  }

  #isItem(): boolean {
    return this.#line.startsWith('- ');
  }

  #sequence(indent: number): unknown[] {
    if (++this.#depth > MAX_DEPTH) throw NOT_QUICK;
    const items: unknown[] = [];
    while (this.#indent === indent && this.#isItem()) items.push(this.#item(indent));
    if (this.#indent > indent) throw NOT_QUICK;
    this.#depth--;
    return items;
  }

  #item(indent: number): unknown {
    const content = this.#line.slice(2).trimStart();
    if (!KEY.test(content)) {
      this.#next();
      return this.#scalar(content, indent);
    }
    // A mapping that begins behind the dash: its keys stand where the first one does.
    const inner = indent + this.#line.length - content.length;
    this.#line = content;
    this.#indent = inner;
    return this.#mapping(inner);
  }

  /** A value on one line; the reader is at the line behind it, which must not continue it. */
  #scalar(text: string, indent: number): unknown {
    if (this.#indent > indent) throw NOT_QUICK;
    const quoted = DOUBLE_QUOTED.exec(text) ?? SINGLE_QUOTED.exec(text);
    if (quoted !== null) return quoted[1];
    if (text === '{}') return {};
    if (text === '[]') return [];
    if (INTEGER.test(text)) return Number(text);
    if (!PLAIN.test(text) || text.includes(': ') || text.endsWith(':')) throw NOT_QUICK;
    if (RESERVED.has(text)) return RESERVED.get(text);
    const first = text.charCodeAt(0);
    if (first >= 48 && first <= 57 && NUMERIC.test(text) && !ADDRESS.test(text)) throw NOT_QUICK;
    return text;
  }
}
