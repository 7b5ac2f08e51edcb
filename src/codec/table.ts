// Message and enum descriptors, unpacked from SCHEMA when first asked for.
// In: the packed table of src/messages. Out: one MessageInfo per message, one EnumInfo per enum, always the same objects.
// Called by every other file of the codec.
import { SCHEMA } from '../messages/index.ts';

/** The JSON form of a message: its fields, or one of the special forms of the well-known types. */
export type Form =
  | 'fields'
  | 'any'
  | 'duration'
  | 'timestamp'
  | 'fieldMask'
  | 'struct'
  | 'value'
  | 'listValue'
  | 'wrapper';

export interface FieldInfo {
  readonly name: string;
  readonly jsonName: string;
  readonly number: number;
  readonly shape: 'one' | 'repeated' | 'packed' | 'map';
  /** a scalar's letter; '' for enums and messages */
  readonly scalar: string;
  /** a map key's scalar letter */
  readonly key: string;
  readonly enumName: string;
  readonly messageName: string;
  /** position of its oneof in the message; -1 for none */
  readonly oneof: number;
  /** whether a default value differs from an absent one */
  readonly presence: boolean;
  readonly deprecated: boolean;
}

export interface MessageInfo {
  readonly name: string;
  readonly form: Form;
  /** ascending by number */
  readonly fields: readonly FieldInfo[];
  readonly byJsonName: ReadonlyMap<string, FieldInfo>;
  readonly byName: ReadonlyMap<string, FieldInfo>;
}

export interface EnumInfo {
  readonly name: string;
  readonly numbers: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<number, string>;
}

const FORMS: ReadonlyMap<string, Form> = new Map<string, Form>([
  ['google.protobuf.Any', 'any'],
  ['google.protobuf.Duration', 'duration'],
  ['google.protobuf.Timestamp', 'timestamp'],
  ['google.protobuf.FieldMask', 'fieldMask'],
  ['google.protobuf.Struct', 'struct'],
  ['google.protobuf.Value', 'value'],
  ['google.protobuf.ListValue', 'listValue'],
  ...['Bool', 'String', 'Bytes', 'Double', 'Float', 'Int32', 'UInt32', 'Int64', 'UInt64'].map(
    (name): [string, Form] => [`google.protobuf.${name}Value`, 'wrapper'],
  ),
]);

const messageIndex: ReadonlyMap<string, number> = new Map(SCHEMA.messages.map((name, index) => [name, index]));
const enumIndex: ReadonlyMap<string, number> = new Map(SCHEMA.enums.map((name, index) => [name, index]));
const messages = new Map<string, MessageInfo>();
const enums = new Map<string, EnumInfo>();

function jsonNameOf(name: string): string {
  return name.replace(/_+([a-z0-9]?)/g, (_, next: string) => next.toUpperCase());
}

function shapeOf(mark: string): FieldInfo['shape'] {
  return mark === '*' ? 'repeated' : mark === '+' ? 'packed' : mark === '%' ? 'map' : 'one';
}

function fieldInfo(row: string): FieldInfo {
  const [name = '', number = '', type = '', ...marks] = row.split(' ');
  const shape = shapeOf(type.charAt(0));
  const reference = type.slice(shape === 'one' ? 0 : shape === 'map' ? 2 : 1);
  const target = parseInt(reference.slice(1), 36);
  const oneof = marks.find((mark) => mark.startsWith('o'));
  return {
    name,
    jsonName: jsonNameOf(name),
    number: Number(number),
    shape,
    scalar: reference.length === 1 ? reference : '',
    key: shape === 'map' ? type.charAt(1) : '',
    enumName: reference.length > 1 && reference.startsWith('e') ? (SCHEMA.enums[target] ?? '') : '',
    messageName: reference.length > 1 && reference.startsWith('m') ? (SCHEMA.messages[target] ?? '') : '',
    oneof: oneof === undefined ? -1 : Number(oneof.slice(1)),
    presence: oneof !== undefined || marks.includes('p'),
    deprecated: marks.includes('x'),
  };
}

/** Whether the codec knows a message of this full name. */
export function hasType(name: string): boolean {
  return messageIndex.has(name);
}

/** The descriptor of a message, or undefined when there is none of this name. */
export function messageInfo(name: string): MessageInfo | undefined {
  const known = messages.get(name);
  if (known !== undefined) return known;
  const index = messageIndex.get(name);
  if (index === undefined) return undefined;
  const packed = SCHEMA.fields[index] ?? '';
  const fields = packed === '' ? [] : packed.split(',').map(fieldInfo);
  const info: MessageInfo = {
    name,
    form: FORMS.get(name) ?? 'fields',
    fields,
    byJsonName: new Map(fields.map((field) => [field.jsonName, field])),
    byName: new Map(fields.map((field) => [field.name, field])),
  };
  messages.set(name, info);
  return info;
}

/** The descriptor of an enum; of one unknown, an enum without members. */
export function enumInfo(name: string): EnumInfo {
  const known = enums.get(name);
  if (known !== undefined) return known;
  const packed = SCHEMA.values[enumIndex.get(name) ?? -1] ?? '';
  const numbers = new Map<string, number>();
  const names = new Map<number, string>();
  for (const member of packed.split(',')) {
    const [label = '', number = ''] = member.split('=');
    numbers.set(label, Number(number));
    if (!names.has(Number(number))) names.set(Number(number), label);
  }
  const info = { name, numbers, names };
  enums.set(name, info);
  return info;
}

/** The message type that an Any's `@type` names. */
export function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}
