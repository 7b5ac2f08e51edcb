// The fields of a kind's schema, and those of an object, by one spelling: `http[].route[].weight`, `subsets[].labels`.
// Messages that stand in several places of a kind are listed at one of them, see FOLDS.

import { istioSchema } from '../../src/config/parse/istio.ts';
import type { Kind } from '../../src/config/object.ts';
import type { Schema } from '../../src/config/schema/schema.ts';
import type { PathStep } from '../../src/lib/field-path.ts';

/** Where a message stands again: the place, and the one at which it is listed. */
const FOLDS: readonly (readonly [kind: Kind, place: RegExp, listed: string])[] = [
  ['DestinationRule', /^subsets\[\]\.trafficPolicy\.portLevelSettings\[\]\.(?!port\b)/, 'trafficPolicy.'],
  [
    'DestinationRule',
    /^subsets\[\]\.trafficPolicy\.portLevelSettings\[\]\.port/,
    'trafficPolicy.portLevelSettings[].port',
  ],
  ['DestinationRule', /^subsets\[\]\.trafficPolicy\./, 'trafficPolicy.'],
  ['DestinationRule', /^trafficPolicy\.portLevelSettings\[\]\.(?!port\b)/, 'trafficPolicy.'],
  ['Sidecar', /^ingress\[\]\.connectionPool\./, 'inboundConnectionPool.'],
];

export function folded(kind: Kind, field: string): string {
  for (const [of, place, listed] of FOLDS) if (of === kind && place.test(field)) return field.replace(place, listed);
  return field;
}

/** Sentences that say which fields are listed once for several places. */
export function folds(kind: Kind): readonly string[] {
  const TEXTS: Partial<Record<Kind, readonly string[]>> = {
    DestinationRule: [
      'What stands in `trafficPolicy` may stand in `subsets[].trafficPolicy` too, and most of it in `portLevelSettings[]` of both; it is listed once',
    ],
    Sidecar: ['`ingress[].connectionPool` has the fields of `inboundConnectionPool`; they are listed once'],
  };
  return TEXTS[kind] ?? [];
}

/** Every field of the schema once, in its order. */
export function schemaFields(kind: Kind): readonly string[] {
  const schema = istioSchema(kind);
  return schema === undefined ? [] : [...new Set([...fieldsOf(schema, '')].map((field) => folded(kind, field)))];
}

export function* fieldsOf(schema: Schema, path: string): Generator<string> {
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    const field = path === '' ? name : `${path}.${name}`;
    yield field;
    yield* within(member, field);
  }
}

function* within(schema: Schema, path: string): Generator<string> {
  if (schema.properties !== undefined) yield* fieldsOf(schema, path);
  else if (schema.items !== undefined) yield* within(schema.items, `${path}[]`);
  else if (typeof schema.additionalProperties === 'object') yield* within(schema.additionalProperties, `${path}{}`);
}

export interface PresentField {
  readonly field: string;
  readonly steps: readonly PathStep[];
  readonly schema: Schema;
}

/** The fields that an object has, with where they stand. */
export function* presentFields(
  schema: Schema,
  value: unknown,
  field = '',
  steps: readonly PathStep[] = [],
): Generator<PresentField> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      if (schema.items !== undefined) yield* presentFields(schema.items, item, `${field}[]`, [...steps, index]);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [name, item] of Object.entries(value)) {
    const member = schema.properties?.[name];
    if (member !== undefined) {
      const path = field === '' ? name : `${field}.${name}`;
      yield { field: path, steps: [...steps, name], schema: member };
      yield* presentFields(member, item, path, [...steps, name]);
    } else if (schema.properties === undefined && typeof schema.additionalProperties === 'object')
      yield* presentFields(schema.additionalProperties, item, `${field}{}`, [...steps, name]);
  }
}

/** A copy with another value at a place; undefined takes the field away. */
export function withValue(value: unknown, [step, ...rest]: readonly PathStep[], next: unknown): unknown {
  if (step === undefined) return next;
  if (Array.isArray(value)) return value.map((item, index) => (index === step ? withValue(item, rest, next) : item));
  const fields = value as Readonly<Record<string, unknown>>;
  const changed = withValue(fields[step], rest, next);
  if (changed !== undefined) return { ...fields, [step]: changed };
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== step));
}
