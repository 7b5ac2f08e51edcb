// Random messages in canonical JSON form, of any type in the schema, from a seed.
import { enumInfo, type FieldInfo, messageInfo, type MessageInfo } from '../../src/codec/table.ts';
import { SCHEMA } from '../../src/messages/index.ts';

/** Draws with a seed of its own: fast-check picks the seed, so a failing one can be replayed. */
class Dice {
  private state: number;
  /** fields still to be set, over the whole message */
  budget = 80;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** An integer from 0 up to, but without, `limit` (mulberry32). */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  of<T>(pool: readonly T[]): T {
    const found = pool[this.below(pool.length)];
    if (found === undefined) throw new Error('an empty pool');
    return found;
  }
}

const TEXTS = [
  'a',
  'outbound|80||reviews.default.svc.cluster.local',
  'ключ',
  '日本',
  '👍🏽',
  '\u0000',
  '__proto__',
  'x'.repeat(300),
];
const UNSIGNED = [1, 2, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, 4_294_967_295];
const SIGNED = [1, -1, 63, -64, 64, 2_147_483_647, -2_147_483_648, -300];
const WIDE = ['1', '127', '128', '4294967295', '4294967296', '9007199254740993', '34359738368', '9223372036854775807'];
const SIGNED_WIDE = [...WIDE, '-1', '-128', '-4294967297', '-9223372036854775808'];
const UNSIGNED_WIDE = [...WIDE, '18446744073709551615', '9223372036854775808'];
const DOUBLES = [0.1, -1.5, 1e300, 5e-324, Math.PI, 'NaN', 'Infinity', '-Infinity', -9_007_199_254_740_992];
const FLOATS = [0.1, -1.5, 3.25, 1e10, 99.9, -2e-7, 16_777_217 - 1, 'NaN', '-Infinity'];
const BYTES = ['AA==', '//79', 'SGVsbG8gd29ybGQ=', 'AAECAwQFBgcICQ=='];

const SCALARS: Readonly<Record<string, readonly unknown[]>> = {
  d: DOUBLES,
  f: FLOATS,
  i: SIGNED,
  z: SIGNED,
  y: SIGNED,
  u: UNSIGNED,
  x: UNSIGNED,
  I: SIGNED_WIDE,
  Z: SIGNED_WIDE,
  Y: SIGNED_WIDE,
  U: UNSIGNED_WIDE,
  X: UNSIGNED_WIDE,
  b: [true],
  s: TEXTS,
  B: BYTES,
};

const JSON_VALUES = [
  null,
  true,
  false,
  0,
  -1.5,
  1e21,
  '',
  'text',
  [],
  {},
  [1, [null], { a: 'b' }],
  { a: { b: [true, {}] }, '': 1 },
];

const SPECIAL: Readonly<Record<string, readonly unknown[]>> = {
  duration: ['0s', '1s', '0.250s', '-1.500s', '315576000000s', '-0.000000001s', '3600.000001s'],
  timestamp: [
    '1970-01-01T00:00:00Z',
    '2024-02-29T23:59:59.999Z',
    '0001-01-01T00:00:00Z',
    '1969-12-31T23:59:59.000000001Z',
  ],
  fieldMask: ['', 'a', 'userAgent.nameId,b'],
  struct: [{}, { a: 1 }, { z: null, a: { b: ['c', { d: false }] }, '10': 'ten', '9': 'nine' }],
  value: JSON_VALUES,
  listValue: [[], JSON_VALUES],
};

const PACKABLE = [
  'envoy.config.core.v3.Node',
  'envoy.extensions.filters.http.router.v3.Router',
  'google.protobuf.Duration',
  'google.protobuf.UInt64Value',
  'google.protobuf.Struct',
  'google.protobuf.Empty',
];

function scalar(dice: Dice, letter: string): unknown {
  return dice.of(SCALARS[letter] ?? []);
}

function element(dice: Dice, field: FieldInfo, depth: number): unknown {
  if (field.scalar !== '') return scalar(dice, field.scalar);
  if (field.enumName === 'google.protobuf.NullValue') return null;
  if (field.enumName !== '') {
    const members = [...enumInfo(field.enumName).names].filter(([number]) => number !== 0).map(([, name]) => name);
    return members.length === 0 ? undefined : dice.of(members);
  }
  const info = messageInfo(field.messageName);
  return info === undefined ? undefined : message(dice, info, depth + 1);
}

function fieldValue(dice: Dice, field: FieldInfo, depth: number): unknown {
  if (field.shape === 'one') return element(dice, field, depth);
  const items = Array.from({ length: 1 + dice.below(3) }, () => element(dice, field, depth));
  const set = items.filter((item) => item !== undefined);
  if (set.length === 0) return undefined;
  return field.shape === 'map' ? Object.fromEntries(set.map((item) => [String(scalar(dice, field.key)), item])) : set;
}

function any(dice: Dice, depth: number): unknown {
  const name = dice.of(PACKABLE);
  const info = messageInfo(name);
  const inner = info === undefined ? {} : message(dice, info, depth + 1);
  const url = `type.googleapis.com/${name}`;
  return info?.form === 'fields' ? { '@type': url, ...(inner as object) } : { '@type': url, value: inner };
}

function fields(dice: Dice, info: MessageInfo, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  const oneofs = new Set<number>();
  for (const field of info.fields) {
    if (dice.below(2 + depth) !== 0 || dice.budget <= 0) continue;
    if (field.oneof >= 0 && oneofs.has(field.oneof)) continue;
    dice.budget--;
    const value = fieldValue(dice, field, depth);
    if (value === undefined) continue;
    oneofs.add(field.oneof);
    out[field.jsonName] = value;
  }
  return out;
}

function message(dice: Dice, info: MessageInfo, depth: number): unknown {
  if (info.form === 'fields') return fields(dice, info, depth);
  if (info.form === 'any') return any(dice, depth);
  if (info.form === 'wrapper') return scalar(dice, info.fields[0]?.scalar ?? '');
  return dice.of(SPECIAL[info.form] ?? []);
}

/** A message of a type of the schema. */
export function randomMessage(type: string, seed: number): unknown {
  const info = messageInfo(type);
  return info === undefined ? {} : message(new Dice(seed), info, 0);
}

/** Every message type. */
export const TYPES = SCHEMA.messages;
