// Reads the schemas of Istio's kinds out of @kubernetes-models/istio: for each kind its newest version's `spec`, tidied.
// Called by istio-schemas.ts, which adds what is newer than the package.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A schema as this project uses it; see the generated module for what each field means. */
export interface ConfigSchema {
  type?: string;
  properties?: Record<string, ConfigSchema>;
  items?: ConfigSchema;
  additionalProperties?: ConfigSchema | true;
  enum?: string[];
  required?: string[];
  exclusive?: string[][];
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
}

interface RawSchema extends Omit<ConfigSchema, 'properties' | 'items' | 'additionalProperties' | 'enum'> {
  properties?: Record<string, RawSchema>;
  items?: RawSchema;
  additionalProperties?: RawSchema | boolean;
  enum?: (string | null)[];
  oneOf?: RawSchema[];
  allOf?: RawSchema[];
}

const GROUPS = ['networking', 'security', 'telemetry', 'extensions'].map((name) => `${name}.istio.io`);
const VERSIONS = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha1'];

/**
 * The package keeps its schemas inside its modules and hands them to a validator when a model is validated; its
 * `register` and `validate` are replaced for that moment.
 */
function captureSchemas(): ReadonlyMap<string, RawSchema> {
  const require = createRequire(import.meta.url);
  const home = dirname(require.resolve('@kubernetes-models/istio'));
  const inside = createRequire(join(home, 'index.js'));
  const validator = inside('@kubernetes-models/validate') as Record<string, unknown>;
  const captured = new Map<string, RawSchema>();
  validator['register'] = (id: string, schema: RawSchema) => captured.set(id, schema);
  validator['validate'] = () => undefined;
  for (const group of GROUPS) {
    for (const version of VERSIONS) {
      const folder = join(home, group, version);
      if (!existsSync(folder)) continue;
      for (const file of readdirSync(folder).filter((name) => /^[A-Z]\w*\.js$/.test(name))) {
        const kind = file.slice(0, -3);
        const module = inside(join(folder, file)) as Record<string, new (data: object) => { validate(): void }>;
        const Model = module[kind];
        if (Model !== undefined) new Model({}).validate();
      }
    }
  }
  return captured;
}

/** `oneOf` in these schemas always says: at most one of these fields; some say it about a child. */
function exclusiveGroups(raw: RawSchema, child?: string): string[][] {
  const groups: string[][] = [];
  for (const choices of [raw.oneOf, ...(raw.allOf ?? []).map((part) => part.oneOf)]) {
    if (choices === undefined) continue;
    if (child === undefined) groups.push(choices.flatMap((choice) => choice.required ?? []));
    else groups.push(...choices.flatMap((choice) => exclusiveGroups(choice.properties?.[child] ?? {})));
  }
  return groups.filter((group) => group.length > 0);
}

function tidyObject(raw: RawSchema, out: ConfigSchema): void {
  const properties = Object.entries(raw.properties ?? {});
  if (properties.length > 0) out.properties = {};
  for (const [name, property] of properties) {
    const groups = exclusiveGroups(raw, name);
    if (out.properties !== undefined) out.properties[name] = tidy(property, groups);
  }
  if (typeof raw.additionalProperties === 'object') out.additionalProperties = tidy(raw.additionalProperties, []);
  else if (properties.length === 0) out.additionalProperties = true;
}

function tidy(raw: RawSchema, groupsFromParent: string[][]): ConfigSchema {
  const out: ConfigSchema = {};
  if (raw.type !== undefined) out.type = raw.type;
  if (raw.enum !== undefined) out.enum = raw.enum.filter((value) => value !== null);
  if (raw.required !== undefined) out.required = raw.required;
  for (const key of ['minimum', 'maximum', 'minLength', 'maxLength', 'minItems', 'maxItems'] as const) {
    if (raw[key] !== undefined) out[key] = raw[key];
  }
  for (const key of ['pattern', 'format'] as const) if (raw[key] !== undefined) out[key] = raw[key];
  const exclusive = [...exclusiveGroups(raw), ...groupsFromParent];
  if (exclusive.length > 0) out.exclusive = exclusive;
  if (raw.type === 'object') tidyObject(raw, out);
  if (raw.items !== undefined) out.items = tidy(raw.items, []);
  return out;
}

/** The `spec` schema of each kind that the package knows. */
export function packagedSpecs(): Record<string, ConfigSchema> {
  const captured = captureSchemas();
  const specs: Record<string, ConfigSchema> = {};
  for (const version of VERSIONS) {
    for (const [id, schema] of captured) {
      const kind = id.slice(id.lastIndexOf('.') + 1);
      const spec = schema.properties?.['spec'];
      if (id.includes(`.${version}.`) && spec !== undefined) specs[kind] ??= tidy(spec, []);
    }
  }
  return specs;
}
