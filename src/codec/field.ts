// How the fields of a message are written: what the descriptors say, laid out for the encoder.
// In: FieldInfos. Out: one Field for each. Called by key-paths.ts and encode.ts.
import { refuse } from './error.ts';
import type { MessageType } from './message-type.ts';
import { type Scalar, scalarOf } from './scalars.ts';
import { enumInfo, type FieldInfo } from './table.ts';
import type { Put } from './writer.ts';

/** What one value of a field is; the most frequent scalars are told apart from the others. */
export type ElementKind = 'text' | 'bool' | 'enum' | 'message' | 'scalar';

/** One shape for all fields, so that the code that writes them stays monomorphic. */
export interface Field {
  readonly number: number;
  readonly name: string;
  readonly shape: FieldInfo['shape'];
  readonly kind: ElementKind;
  /** of the field, or of each of its elements */
  readonly tag: number;
  /** bit of its oneof; 0 for none */
  readonly oneof: number;
  /** whether a value is written whatever it is */
  readonly presence: boolean;
  readonly messageName: string;
  /** the type of that name, once a value was written: types refer to each other in circles */
  type: MessageType | undefined;
  readonly enumName: string;
  readonly enumNumbers: ReadonlyMap<string, number>;
  /** the enum's member that is left out */
  readonly enumZero: string | undefined;
  readonly put: Put;
  readonly isDefault: (value: unknown) => boolean;
  readonly putKey: Put;
  readonly keyTag: number;
  readonly valueTag: number;
}

const NO_NUMBERS: ReadonlyMap<string, number> = new Map();

const nothing: Put = () => undefined;
const neverDefault = (): boolean => false;

const KINDS: Readonly<Record<string, ElementKind>> = { s: 'text', b: 'bool' };

const writeNull: Put = (out, value) => (value === null ? out.varint(0) : refuse('null'));

/** A map key's scalar from the text that JSON holds it as. */
function keyPut(letter: string): Put {
  const { write } = scalarOf(letter);
  if (letter === 's') return (out, key) => out.text(String(key));
  if (letter === 'b') return (out, key) => write(out, key === 'true' ? true : key === 'false' ? false : key);
  if ('IUZXY'.includes(letter)) return write;
  return (out, key) => write(out, /^-?\d+$/.test(String(key)) ? Number(key) : key);
}

interface Element {
  readonly kind: ElementKind;
  readonly wireType: Scalar['wireType'];
  readonly put: Put;
  readonly isDefault: (value: unknown) => boolean;
}

function elementOf({ scalar, enumName }: FieldInfo): Element {
  if (scalar !== '') {
    const { wireType, write, isDefault } = scalarOf(scalar);
    return { kind: KINDS[scalar] ?? 'scalar', wireType, put: write, isDefault };
  }
  if (enumName === 'google.protobuf.NullValue') {
    return { kind: 'scalar', wireType: 0, put: writeNull, isDefault: (value) => value === 0 || value === 'NULL_VALUE' };
  }
  if (enumName !== '') return { kind: 'enum', wireType: 0, put: nothing, isDefault: neverDefault };
  return { kind: 'message', wireType: 2, put: nothing, isDefault: neverDefault };
}

export function fieldOf(info: FieldInfo): Field {
  const { number, shape } = info;
  const { kind, wireType, put, isDefault } = elementOf(info);
  const members = kind === 'enum' ? enumInfo(info.enumName) : undefined;
  return {
    number,
    name: info.jsonName,
    shape,
    kind,
    tag: ((number << 3) | (shape === 'packed' || shape === 'map' ? 2 : wireType)) >>> 0,
    oneof: info.oneof < 0 ? 0 : 1 << info.oneof,
    presence: info.presence || kind === 'message',
    messageName: info.messageName,
    type: undefined,
    enumName: info.enumName,
    enumNumbers: members?.numbers ?? NO_NUMBERS,
    enumZero: members?.names.get(0),
    put,
    isDefault,
    putKey: shape === 'map' ? keyPut(info.key) : nothing,
    keyTag: shape === 'map' ? 8 | scalarOf(info.key).wireType : 0,
    valueTag: 16 | wireType,
  };
}
