// Writes src/messages/generated/schema.ts: the table that src/codec encodes and decodes by (see schema-shape.ts).
import type { Schema } from '../../src/messages/schema-shape.ts';
import type { FieldModel, Model } from './model.ts';

const LETTERS: Readonly<Record<string, string>> = {
  double: 'd',
  float: 'f',
  int32: 'i',
  uint32: 'u',
  sint32: 'z',
  fixed32: 'x',
  sfixed32: 'y',
  int64: 'I',
  uint64: 'U',
  sint64: 'Z',
  fixed64: 'X',
  sfixed64: 'Y',
  bool: 'b',
  string: 's',
  bytes: 'B',
};

function letterOf(type: string): string {
  const letter = LETTERS[type];
  if (letter === undefined) throw new Error(`unknown scalar ${type}`);
  return letter;
}

/** The table as a value. */
export function schemaOf(model: Model): Schema {
  const messageIndex = new Map(model.messages.map(({ name }, index) => [name, index.toString(36)]));
  const enumIndex = new Map(model.enums.map(({ name }, index) => [name, index.toString(36)]));
  const reference = (field: FieldModel): string => {
    if (field.kind === 'scalar') return letterOf(field.type);
    const index = (field.kind === 'enum' ? enumIndex : messageIndex).get(field.type);
    if (index === undefined) throw new Error(`unknown type ${field.type}`);
    return (field.kind === 'enum' ? 'e' : 'm') + index;
  };
  const marksOfShape = { one: '', repeated: '*', packed: '+' } as const;
  const row = (field: FieldModel): string => {
    const shape = field.shape === 'map' ? `%${letterOf(field.keyType)}` : marksOfShape[field.shape];
    const marks = [
      field.oneof >= 0 ? ` o${field.oneof}` : '',
      field.optional ? ' p' : '',
      field.deprecated ? ' x' : '',
    ];
    return `${field.name} ${field.number} ${shape}${reference(field)}${marks.join('')}`;
  };
  return {
    messages: model.messages.map(({ name }) => name),
    fields: model.messages.map(({ fields }) => fields.map(row).join(',')),
    enums: model.enums.map(({ name }) => name),
    values: model.enums.map(({ values }) => values.map(([name, number]) => `${name}=${number}`).join(',')),
  };
}

/** The text of schema.ts. */
export function messageSchema(model: Model): string {
  const json = JSON.stringify(schemaOf(model));
  if (/['\\\n]/.test(json)) throw new Error('the schema needs escaping');
  return [
    '// Written by `npm run generate` from the protos; do not edit.',
    "import type { Schema } from '../schema-shape.ts';",
    '',
    `export const SCHEMA: Schema = JSON.parse('${json}') as Schema;`,
    '',
  ].join('\n');
}
