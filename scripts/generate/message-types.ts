// Writes src/messages/generated/types.ts: the canonical proto3-JSON form of every message as readonly interfaces.
import type { EnumModel, FieldModel, MessageModel, Model } from './model.ts';

const SCALARS: Readonly<Record<string, string>> = {
  double: 'number',
  float: 'number',
  int32: 'number',
  uint32: 'number',
  sint32: 'number',
  fixed32: 'number',
  sfixed32: 'number',
  int64: 'number | string',
  uint64: 'number | string',
  sint64: 'number | string',
  fixed64: 'number | string',
  sfixed64: 'number | string',
  bool: 'boolean',
  string: 'string',
  bytes: 'Uint8Array | string',
};

/** Messages that have a JSON form of their own. */
const WELL_KNOWN: Readonly<Record<string, string>> = {
  'google.protobuf.Any': 'AnyMessage | Encoded',
  'google.protobuf.Duration': 'string',
  'google.protobuf.Timestamp': 'string',
  'google.protobuf.FieldMask': 'string',
  'google.protobuf.Empty': 'EmptyMessage | Encoded',
  'google.protobuf.Struct': 'JsonObject | Encoded',
  'google.protobuf.Value': 'JsonValue',
  'google.protobuf.ListValue': 'readonly JsonValue[]',
  'google.protobuf.BoolValue': 'boolean',
  'google.protobuf.StringValue': 'string',
  'google.protobuf.BytesValue': 'Uint8Array | string',
  'google.protobuf.DoubleValue': 'number',
  'google.protobuf.FloatValue': 'number',
  'google.protobuf.Int32Value': 'number',
  'google.protobuf.UInt32Value': 'number',
  'google.protobuf.Int64Value': 'number | string',
  'google.protobuf.UInt64Value': 'number | string',
};

const HEAD = `// Written by \`npm run generate\` from the protos; do not edit.
import type { Encoded } from '../encoded.ts';
import type { AnyMessage, EmptyMessage, JsonObject, JsonValue } from '../json.ts';
`;

const identifier = (name: string): string => name.replaceAll('.', '_');

function elementType(field: FieldModel): string {
  if (field.kind === 'scalar') return SCALARS[field.type] ?? 'never';
  if (field.type === 'google.protobuf.NullValue') return 'null';
  if (field.kind === 'enum') return identifier(field.type);
  return WELL_KNOWN[field.type] ?? `${identifier(field.type)} | Encoded`;
}

function fieldType(field: FieldModel): string {
  const element = elementType(field);
  if (field.shape === 'one') return element;
  if (field.shape === 'map') return `{ readonly [key: string]: ${element} }`;
  return element.startsWith('readonly ') || element.includes('|') ? `readonly (${element})[]` : `readonly ${element}[]`;
}

function fieldLine(field: FieldModel): string {
  return `${field.deprecated ? '  /** @deprecated */\n' : ''}  readonly ${field.jsonName}?: ${fieldType(field)} | undefined;`;
}

function interfaceOf(message: MessageModel): string {
  const name = identifier(message.name);
  if (message.fields.length === 0) return `export type ${name} = EmptyMessage;`;
  return `export interface ${name} {\n${message.fields.map(fieldLine).join('\n')}\n}`;
}

function enumOf(found: EnumModel): string {
  return `export type ${identifier(found.name)} = ${found.values.map(([name]) => `'${name}'`).join(' | ')};`;
}

/** Lower wins; a short name goes to the only candidate of the best rank. */
function aliasRank(name: string): number {
  if (name.startsWith('envoy.config.')) return 0;
  if (name.startsWith('envoy.type.')) return 1;
  if (name.startsWith('envoy.extensions.')) return 2;
  if (name.startsWith('envoy.service.')) return 4;
  if (name.startsWith('envoy.')) return 5;
  return name.startsWith('google.') ? 6 : 3;
}

function aliases(model: Model): string[] {
  const candidates = new Map<string, string[]>();
  for (const { name, local } of [...model.messages, ...model.enums]) {
    if (WELL_KNOWN[name] !== undefined) continue;
    const alias = identifier(local);
    candidates.set(alias, [...(candidates.get(alias) ?? []), name]);
  }
  const lines: string[] = [];
  for (const [alias, names] of [...candidates].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const best = Math.min(...names.map(aliasRank));
    const [name, ...others] = names.filter((candidate) => aliasRank(candidate) === best);
    if (name !== undefined && others.length === 0) lines.push(`export type ${alias} = ${identifier(name)};`);
  }
  return lines;
}

/** The text of types.ts. */
export function messageTypes(model: Model): string {
  const own = model.messages.filter((message) => WELL_KNOWN[message.name] === undefined);
  const enums = model.enums.filter((found) => found.name !== 'google.protobuf.NullValue');
  const rows = model.messages.map(
    ({ name }) => `  '${name}': ${(WELL_KNOWN[name] ?? identifier(name)).replace(' | Encoded', '')};`,
  );
  return [
    HEAD,
    ...enums.map(enumOf),
    ...own.map(interfaceOf),
    `/** Every message by its full name. */\nexport interface Messages {\n${rows.join('\n')}\n}`,
    '// Short names.',
    ...aliases({ messages: own, enums }),
    '',
  ].join('\n');
}
