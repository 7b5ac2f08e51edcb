// What a message's keys, in the order in which they stand, say about how it is written.
// Translators make objects with the same keys in the same order over and over. So each order is worked out once: which
// fields these are, that they may stand together, and in which order they go out. Later objects find it by comparing keys.
// In: keys, one by one. Out: fields by falling number with the positions of their values. Called by encode.ts.
import { CodecError, within } from './error.ts';
import { type Field, fieldOf } from './field.ts';
import type { MessageInfo } from './table.ts';

/** The fields of a message in the order of writing, last number first. */
export interface Plan {
  readonly fields: readonly Field[];
  /** where among the keys that were walked each field's value stands */
  readonly positions: readonly number[];
}

/** Where a walk along a message's keys has come to. */
export class KeyPath {
  readonly parent: KeyPath | undefined;
  readonly key: string;
  /** undefined for the start, and for `@type` */
  readonly field: Field | undefined;
  /** bits of the oneofs of which a member has come */
  readonly oneofs: number;
  readonly depth: number;
  /** the longer paths: the first of them, each leads to the next */
  first: KeyPath | undefined = undefined;
  next: KeyPath | undefined = undefined;
  plan: Plan | undefined = undefined;

  constructor(parent: KeyPath | undefined, key: string, field: Field | undefined) {
    this.parent = parent;
    this.key = key;
    this.field = field;
    this.oneofs = (parent?.oneofs ?? 0) | (field?.oneof ?? 0);
    this.depth = parent === undefined ? 0 : parent.depth + 1;
  }
}

/** More orders of keys than code makes: they come from users, so they are forgotten now and then. */
const MAX_PATHS = 2000;

/** The paths of one message type; `packed` ones admit the key `@type`. */
export class KeyPaths {
  readonly info: MessageInfo;
  start = new KeyPath(undefined, '', undefined);
  private readonly packed: boolean;
  private readonly fields = new Map<string, Field>();
  private count = 0;

  constructor(info: MessageInfo, packed: boolean) {
    this.info = info;
    this.packed = packed;
  }

  /** The path one key further. Throws a CodecError when the message may not have this key, or not beside the others. */
  step(path: KeyPath, key: string, message: object): KeyPath {
    for (let known = path.first; known !== undefined; known = known.next) if (known.key === key) return known;
    const field = this.packed && key === '@type' ? undefined : this.field(key);
    if (field !== undefined && (path.oneofs & field.oneof) !== 0) throw within(key, this.exclusive(message, key));
    const made = new KeyPath(path, key, field);
    made.next = path.first;
    path.first = made;
    if (++this.count > MAX_PATHS) {
      this.start = new KeyPath(undefined, '', undefined);
      this.count = 0;
    }
    return made;
  }

  private field(key: string): Field {
    const known = this.fields.get(key);
    if (known !== undefined) return known;
    const info = this.info.byJsonName.get(key);
    if (info === undefined) throw within(key, new CodecError('', `a field of ${this.info.name}`));
    const field = fieldOf(info);
    this.fields.set(key, field);
    return field;
  }

  private exclusive(message: object, key: string): unknown {
    const { byJsonName } = this.info;
    const group = byJsonName.get(key)?.oneof;
    const other = Object.keys(message).find((name) => name !== key && byJsonName.get(name)?.oneof === group);
    return new CodecError('', `to be set without ${other ?? 'another field'}: they exclude each other`);
  }
}

/** The plan of a message whose keys end at `end`. */
export function planAt(end: KeyPath): Plan {
  const steps: { readonly field: Field; readonly position: number }[] = [];
  for (let path: KeyPath | undefined = end; path !== undefined; path = path.parent) {
    if (path.field !== undefined) steps.push({ field: path.field, position: path.depth - 1 });
  }
  steps.sort((a, b) => b.field.number - a.field.number);
  const plan = { fields: steps.map(({ field }) => field), positions: steps.map(({ position }) => position) };
  end.plan = plan;
  return plan;
}
