// Flattens the protobufjs root into plain lists that the two writers (types and schema) share.
import protobuf from 'protobufjs';

export interface FieldModel {
  readonly name: string;
  readonly jsonName: string;
  readonly number: number;
  /** a scalar's proto name, or the full name of a message or enum */
  readonly type: string;
  readonly kind: 'scalar' | 'enum' | 'message';
  readonly shape: 'one' | 'repeated' | 'packed' | 'map';
  readonly keyType: string;
  /** position among the message's oneofs; -1 when in none (proto3 optional included) */
  readonly oneof: number;
  readonly optional: boolean;
  readonly deprecated: boolean;
}

export interface MessageModel {
  readonly name: string;
  /** name without the package */
  readonly local: string;
  readonly fields: readonly FieldModel[];
}

export interface EnumModel {
  readonly name: string;
  readonly local: string;
  readonly values: readonly (readonly [name: string, number: number])[];
}

export interface Model {
  readonly messages: readonly MessageModel[];
  readonly enums: readonly EnumModel[];
}

/** The JSON name that protoc gives to a field. */
export function jsonNameOf(name: string): string {
  return name.replace(/_+([a-z0-9]?)/g, (_, next: string) => next.toUpperCase());
}

function bare(fullName: string): string {
  return fullName.startsWith('.') ? fullName.slice(1) : fullName;
}

function isProto3Optional(field: protobuf.Field): boolean {
  return field.options?.['proto3_optional'] === true;
}

function fieldModel(field: protobuf.Field, oneofs: readonly protobuf.OneOf[]): FieldModel {
  const resolved = field.resolvedType;
  const kind = resolved === null ? 'scalar' : resolved instanceof protobuf.Enum ? 'enum' : 'message';
  const packable = kind === 'enum' || (kind === 'scalar' && field.type !== 'string' && field.type !== 'bytes');
  const repeatedShape = packable && field.packed ? 'packed' : 'repeated';
  const optional = isProto3Optional(field);
  return {
    name: field.name,
    jsonName: jsonNameOf(field.name),
    number: field.id,
    type: resolved === null ? field.type : bare(resolved.fullName),
    kind,
    shape: field instanceof protobuf.MapField ? 'map' : field.repeated ? repeatedShape : 'one',
    keyType: field instanceof protobuf.MapField ? field.keyType : '',
    oneof: optional || field.partOf === null ? -1 : oneofs.indexOf(field.partOf),
    optional,
    deprecated: field.options?.['deprecated'] === true,
  };
}

function messageModel(type: protobuf.Type, local: string): MessageModel {
  const oneofs = type.oneofsArray.filter((oneof) => !oneof.fieldsArray.some(isProto3Optional));
  const fields = type.fieldsArray.map((field) => fieldModel(field, oneofs)).sort((a, b) => a.number - b.number);
  return { name: bare(type.fullName), local, fields };
}

function enumModel(found: protobuf.Enum, local: string): EnumModel {
  return { name: bare(found.fullName), local, values: Object.entries(found.values) };
}

/** Every message and enum, sorted by full name. */
export function modelOf(root: protobuf.Root): Model {
  const messages: MessageModel[] = [];
  const enums: EnumModel[] = [];
  const walk = (namespace: protobuf.NamespaceBase, prefix: string): void => {
    for (const object of namespace.nestedArray) {
      const local = prefix === '' ? object.name : `${prefix}.${object.name}`;
      if (object instanceof protobuf.Type) messages.push(messageModel(object, local));
      if (object instanceof protobuf.Enum) enums.push(enumModel(object, local));
      else if (object instanceof protobuf.Type) walk(object, local);
      else if (object instanceof protobuf.Namespace) walk(object, '');
    }
  };
  walk(root, '');
  const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
  return { messages: messages.sort(byName), enums: enums.sort(byName) };
}
