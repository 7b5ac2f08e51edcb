// Writes src/config/generated: the schemas of Istio's kinds (schemas.ts) and their specs as readonly types (types.ts).
import { addNewer } from './istio-additions.ts';
import { givenName } from './istio-names.ts';
import { type ConfigSchema, packagedSpecs } from './istio-source.ts';

const KINDS = [
  'AuthorizationPolicy',
  'DestinationRule',
  'EnvoyFilter',
  'Gateway',
  'PeerAuthentication',
  'ProxyConfig',
  'RequestAuthentication',
  'ServiceEntry',
  'Sidecar',
  'Telemetry',
  'TrafficExtension',
  'VirtualService',
  'WasmPlugin',
  'WorkloadEntry',
  'WorkloadGroup',
];

const SCHEMA_HEAD = `// Written by \`npm run generate\`; do not edit.

/** What a spec may hold. Properties that are not listed are unknown; \`null\` counts as absent, as it does in Kubernetes. */
export interface ConfigSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly properties?: { readonly [name: string]: ConfigSchema };
  readonly items?: ConfigSchema;
  /** a map's values; \`true\`: anything at all */
  readonly additionalProperties?: ConfigSchema | true;
  readonly enum?: readonly string[];
  readonly required?: readonly string[];
  /** at most one field of each group may be set */
  readonly exclusive?: readonly (readonly string[])[];
  /** 'int32' and the like */
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}
`;

const STRING_MATCH = 'exact,prefix,regex';

/** Every kind's spec schema, up to date. */
export function istioSpecs(): Record<string, ConfigSchema> {
  const specs = packagedSpecs();
  addNewer(specs);
  return Object.fromEntries(KINDS.map((kind) => [kind, specs[kind] ?? missing(kind)]));
}

function missing(kind: string): never {
  throw new Error(`no schema for ${kind}`);
}

/** The text of schemas.ts. */
export function istioSchemas(specs: Record<string, ConfigSchema>): string {
  const json = JSON.stringify(JSON.stringify(specs));
  const type = '{ readonly [kind: string]: ConfigSchema }';
  return `${SCHEMA_HEAD}\n/** By kind. */\nexport const ISTIO_SCHEMAS = JSON.parse(${json}) as ${type};\n`;
}

class TypeWriter {
  readonly interfaces = new Map<string, string>();

  /** The type expression of a schema; objects become interfaces of their own. */
  typeOf(schema: ConfigSchema, kind: string, path: string, parent: string): string {
    if (schema.enum !== undefined) return schema.enum.map((value) => `'${value}'`).join(' | ');
    if (schema.items !== undefined) {
      const item = this.typeOf(schema.items, kind, `${path}[]`, parent);
      return item.includes('|') ? `readonly (${item})[]` : `readonly ${item}[]`;
    }
    if (schema.properties !== undefined) return this.interfaceOf(schema, kind, path, parent);
    if (typeof schema.additionalProperties === 'object') {
      const value = this.typeOf(schema.additionalProperties, kind, `${path}{}`, parent);
      return `{ readonly [key: string]: ${value} }`;
    }
    if (schema.type === 'object') return '{ readonly [key: string]: unknown }';
    return schema.type === 'integer' ? 'number' : (schema.type ?? 'unknown');
  }

  interfaceOf(schema: ConfigSchema, kind: string, path: string, parent: string): string {
    const properties = Object.entries(schema.properties ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    const name = this.nameOf(properties, kind, path, parent);
    const lines = properties.map(([field, property]) => {
      const type = this.typeOf(property, kind, path === '' ? field : `${path}.${field}`, name);
      return `  readonly ${field}?: ${type} | undefined;`;
    });
    const text = `export interface ${name} {\n${lines.join('\n')}\n}\n`;
    const known = this.interfaces.get(name);
    if (known !== undefined && known !== text)
      throw new Error(`${kind} ${path}: two shapes of ${name}\n${known}${text}`);
    this.interfaces.set(name, text);
    return name;
  }

  nameOf(properties: readonly (readonly [string, unknown])[], kind: string, path: string, parent: string): string {
    if (path === '') return `${kind}Spec`;
    const fields = properties.map(([field]) => field);
    if (fields.join() === STRING_MATCH) return 'StringMatch';
    const field = /([A-Za-z_]+)(?:\[\]|\{\})*$/.exec(path)?.[1] ?? '';
    const given = givenName(kind, path);
    if (given !== undefined) return given;
    return `${parent.replace(/Spec$/, '')}${field.charAt(0).toUpperCase()}${field.slice(1)}`;
  }
}

/** The text of types.ts. */
export function istioTypes(specs: Record<string, ConfigSchema>): string {
  const writer = new TypeWriter();
  for (const [kind, spec] of Object.entries(specs)) writer.typeOf(spec, kind, '', '');
  const sorted = [...writer.interfaces].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  return `// Written by \`npm run generate\`; do not edit.\n\n${sorted.join('\n')}`;
}
