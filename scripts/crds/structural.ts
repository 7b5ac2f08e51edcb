// A ConfigSchema as a structural schema of a CustomResourceDefinition.
// Called by crds.ts. What the API server can't say cheaply (durations, cross-field rules) is the validating webhook's.
import type { ConfigSchema } from '../generate/istio-source.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Formats that the API server knows; of others it warns whoever applies the definition. */
const FORMATS = new Set(['int32', 'int64', 'float', 'double', 'date-time']);

const LIMITS = ['minimum', 'maximum', 'minLength', 'maxLength', 'minItems', 'maxItems', 'pattern', 'enum'] as const;

export function structural(schema: ConfigSchema): JsonSchema {
  const out: Record<string, unknown> = { type: schema.type };
  for (const limit of LIMITS) if (schema[limit] !== undefined) out[limit] = schema[limit];
  if (schema.format !== undefined && FORMATS.has(schema.format)) out['format'] = schema.format;
  if (schema.required !== undefined) out['required'] = schema.required;
  if (schema.properties !== undefined) {
    const entries = Object.entries(schema.properties).sort(([a], [b]) => (a < b ? -1 : 1));
    out['properties'] = Object.fromEntries(entries.map(([name, property]) => [name, structural(property)]));
  }
  if (schema.items !== undefined) out['items'] = structural(schema.items);
  if (schema.additionalProperties === true) out['x-kubernetes-preserve-unknown-fields'] = true;
  else if (schema.additionalProperties !== undefined)
    out['additionalProperties'] = structural(schema.additionalProperties);
  const choices = (schema.exclusive ?? []).filter((group) => group.length > 1).map(atMostOne);
  if (choices.length === 1) Object.assign(out, choices[0]);
  else if (choices.length > 1) out['allOf'] = choices;
  return out;
}

function atMostOne(names: readonly string[]): JsonSchema {
  const each = names.map((name) => ({ required: [name] }));
  return { oneOf: [{ not: { anyOf: each } }, ...each] };
}
