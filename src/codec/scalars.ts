// The scalar types: how a JSON value goes onto the wire and comes back. Each has one letter, used in SCHEMA.
import protobuf from 'protobufjs/minimal.js';
import { CodecError, refuse } from './error.ts';
import type { WireReader } from './reader.ts';
import type { ReverseWriter } from './writer.ts';

export interface Scalar {
  readonly name: string;
  /** 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes */
  readonly wireType: 0 | 1 | 2 | 5;
  readonly isDefault: (value: unknown) => boolean;
  /** writes value (and length), or throws a CodecError when the value is not of this type */
  readonly write: (writer: ReverseWriter, value: unknown) => void;
  /** the canonical JSON value */
  readonly read: (reader: WireReader) => unknown;
}

const TWO_32 = 4_294_967_296;

const isZero = (value: unknown): boolean => Object.is(value, 0);
const isZero64 = (value: unknown): boolean => value === 0 || value === '0';

function int32(value: unknown): number {
  if (typeof value === 'number' && (value | 0) === value) return value;
  return refuse('a 32-bit integer');
}

function uint32(value: unknown): number {
  if (typeof value === 'number' && value >>> 0 === value) return value;
  return refuse('an unsigned 32-bit integer');
}

/** The two's complement halves of a 64-bit integer given as number or decimal string. */
function halves(value: unknown, signed: boolean): readonly [low: number, high: number] {
  const expected = signed ? 'a 64-bit integer, as a number or decimal string' : 'an unsigned 64-bit integer';
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
    return [value >>> 0, Math.floor(value / TWO_32)];
  }
  const decimal = typeof value === 'string' && /^-?\d{1,20}$/.test(value);
  if (!decimal && !(typeof value === 'number' && Number.isSafeInteger(value))) return refuse(expected);
  const exact = BigInt(value);
  const wrapped = BigInt.asUintN(64, exact);
  if ((signed ? BigInt.asIntN(64, exact) : wrapped) !== exact) return refuse(expected);
  return [Number(wrapped & 0xffffffffn), Number(wrapped >> 32n)];
}

function zigzagHalves(value: unknown): readonly [low: number, high: number] {
  const [low, high] = halves(value, true);
  const sign = high >>> 31 === 1 ? 0xffffffff : 0;
  return [((low << 1) ^ sign) >>> 0, (((high << 1) | (low >>> 31)) ^ sign) >>> 0];
}

function unsignedText(low: number, high: number): string {
  if (high < 2_097_152) return String(high * TWO_32 + low);
  return String((BigInt(high) << 32n) | BigInt(low));
}

function signedText(low: number, high: number): string {
  if (high < 0x80000000) return unsignedText(low, high);
  return String(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)));
}

function zigzagText(low: number, high: number): string {
  const sign = low & 1 ? 0xffffffff : 0;
  return signedText((((low >>> 1) | (high << 31)) ^ sign) >>> 0, ((high >>> 1) ^ sign) >>> 0);
}

function float(value: unknown, max: number): number {
  if (typeof value === 'number' && !(Math.abs(value) > max && Number.isFinite(value))) return value;
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
  return refuse('a number');
}

function floatJson(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** The shortest decimal that a 32-bit float reads back from. */
function shortest(value: number): number {
  if (value === 0) return value;
  for (let digits = 6; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** The bytes of a bytes field: as they are, or from base64 in either alphabet. */
export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  const digits = base64Digits(value);
  const bytes = new Uint8Array(sizeOf(digits));
  protobuf.util.base64.decode(digits.padEnd(Math.ceil(digits.length / 4) * 4, '='), bytes, 0);
  return bytes;
}

/** Base64 without its padding. */
function base64Digits(value: unknown): string {
  if (typeof value !== 'string' || !BASE64.test(value)) return refuse('bytes, or base64 text');
  const digits = value.endsWith('=') ? value.slice(0, value.indexOf('=')) : value;
  return digits.length % 4 === 1 ? refuse('bytes, or base64 text') : digits;
}

function sizeOf({ length }: string): number {
  return Math.floor((length * 3) / 4);
}

/** The base64 text of bytes. */
export function base64(bytes: Uint8Array): string {
  return protobuf.util.base64.encode(bytes, 0, bytes.length);
}

function writeString(writer: ReverseWriter, value: unknown): void {
  if (typeof value !== 'string') return refuse('a string');
  writer.text(value);
}

function writeBytes(writer: ReverseWriter, value: unknown): void {
  const before = writer.length;
  if (value instanceof Uint8Array) writer.bytes(value);
  else {
    const digits = base64Digits(value);
    if (!writer.base64(digits, sizeOf(digits))) writer.bytes(bytesOf(digits));
  }
  writer.varint(writer.length - before);
}

function writeBool(writer: ReverseWriter, value: unknown): void {
  if (typeof value !== 'boolean') return refuse('true or false');
  writer.varint(value ? 1 : 0);
}

type Halves = (value: unknown) => readonly [low: number, high: number];
const signedHalves: Halves = (value) => halves(value, true);
const unsignedHalves: Halves = (value) => halves(value, false);

function varint64(name: string, split: Halves, text: (low: number, high: number) => string): Scalar {
  return {
    name,
    wireType: 0,
    isDefault: isZero64,
    write: (writer, value) => writer.varint64(...split(value)),
    read: (reader) => {
      reader.varint64();
      return text(reader.low, reader.high);
    },
  };
}

function fixed64(name: string, split: Halves, text: (low: number, high: number) => string): Scalar {
  return {
    name,
    wireType: 1,
    isDefault: isZero64,
    write: (writer, value) => writer.fixed64(...split(value)),
    read: (reader) => {
      reader.fixed64();
      return text(reader.low, reader.high);
    },
  };
}

const MAX_FLOAT = 3.4028235677973366e38;

/** By letter. */
export const SCALARS: Readonly<Record<string, Scalar>> = {
  d: {
    name: 'double',
    wireType: 1,
    isDefault: isZero,
    write: (writer, value) => writer.double(float(value, Number.MAX_VALUE)),
    read: (reader) => floatJson(reader.double()),
  },
  f: {
    name: 'float',
    wireType: 5,
    isDefault: isZero,
    write: (writer, value) => writer.float(float(value, MAX_FLOAT)),
    read: (reader) => floatJson(shortest(reader.float())),
  },
  i: {
    name: 'int32',
    wireType: 0,
    isDefault: isZero,
    write: (writer, value) => writer.int32(int32(value)),
    read: (reader) => reader.varint() | 0,
  },
  u: {
    name: 'uint32',
    wireType: 0,
    isDefault: isZero,
    write: (writer, value) => writer.varint(uint32(value)),
    read: (reader) => reader.varint(),
  },
  z: {
    name: 'sint32',
    wireType: 0,
    isDefault: isZero,
    write: (writer, value) => {
      const number = int32(value);
      writer.varint(((number << 1) ^ (number >> 31)) >>> 0);
    },
    read: (reader) => {
      const raw = reader.varint();
      return (raw >>> 1) ^ -(raw & 1);
    },
  },
  x: {
    name: 'fixed32',
    wireType: 5,
    isDefault: isZero,
    write: (writer, value) => writer.fixed32(uint32(value)),
    read: (reader) => reader.fixed32(),
  },
  y: {
    name: 'sfixed32',
    wireType: 5,
    isDefault: isZero,
    write: (writer, value) => writer.fixed32(int32(value) >>> 0),
    read: (reader) => reader.fixed32() | 0,
  },
  I: varint64('int64', signedHalves, signedText),
  U: varint64('uint64', unsignedHalves, unsignedText),
  Z: varint64('sint64', zigzagHalves, zigzagText),
  X: fixed64('fixed64', unsignedHalves, unsignedText),
  Y: fixed64('sfixed64', signedHalves, signedText),
  b: {
    name: 'bool',
    wireType: 0,
    isDefault: (value) => value === false,
    write: writeBool,
    read: (reader) => {
      reader.varint64();
      return reader.low !== 0 || reader.high !== 0;
    },
  },
  s: {
    name: 'string',
    wireType: 2,
    isDefault: (value) => value === '',
    write: writeString,
    read: (reader) => reader.text(),
  },
  B: {
    name: 'bytes',
    wireType: 2,
    isDefault: (value) => (typeof value === 'string' || value instanceof Uint8Array) && value.length === 0,
    write: writeBytes,
    read: (reader) => base64(reader.span()),
  },
};

/** The scalar of a letter. */
export function scalarOf(letter: string): Scalar {
  const scalar = SCALARS[letter];
  if (scalar === undefined) throw new CodecError('', `a scalar type, not ${letter}`);
  return scalar;
}
