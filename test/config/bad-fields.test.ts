// Every kind with every field wrong in turn, as the schema tells what is wrong: a type, a value that is not in the list, a
// number out of range, a duration that is none, a field that does not exist, null in a list, two of a oneof. Each is named
// by its path, with what was expected, and nothing of it gets past parsing: the last good version stays in force.

import { describe, expect, it } from 'vitest';
import { KINDS } from '../../src/config/kinds.ts';
import type { Kind } from '../../src/config/object.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import { istioSchema } from '../../src/config/parse/istio.ts';
import type { Schema } from '../../src/config/schema/schema.ts';
import { formatPath, type PathStep } from '../../src/lib/field-path.ts';

interface Wrong {
  readonly what: string;
  readonly value: unknown;
  /** Below the field, where the mistake is further in. */
  readonly at?: readonly PathStep[];
  readonly unknown?: true;
}

const NUMBER = ['integer', 'number'];

/** Values that a field of the schema can't have. */
function* wrongValues(schema: Schema): Generator<Wrong> {
  const { type } = schema;
  if (schema.intOrString === true) {
    yield { what: 'a list where a number or text is needed', value: [] };
    return;
  }
  if (type === 'string') {
    yield { what: 'a number where text is needed', value: 7 };
    yield { what: 'an object where text is needed', value: {} };
    if (schema.enum !== undefined) yield { what: 'a value that is not in the list', value: 'NONE_OF_THESE' };
    else if (schema.format === 'duration') yield { what: 'no duration', value: 'soon' };
    if (schema.maxLength !== undefined)
      yield { what: 'text that is too long', value: 'x'.repeat(schema.maxLength + 1) };
    if ((schema.minLength ?? 0) > 0) yield { what: 'empty text', value: '' };
  } else if (NUMBER.includes(type ?? '')) {
    yield { what: 'text where a number is needed', value: 'many' };
    if (type === 'integer') yield { what: 'a fraction', value: 1.5 };
    yield { what: 'a number that is none', value: Number.NaN };
    if (schema.maximum !== undefined) yield { what: 'too large a number', value: schema.maximum + 1 };
    if (schema.minimum !== undefined) yield { what: 'too small a number', value: schema.minimum - 1 };
    if (schema.format === 'uint32') yield { what: 'a negative number', value: -1 };
    if (schema.format === 'int32') yield { what: 'a number of more than 32 bits', value: 2 ** 40 };
  } else if (type === 'boolean') yield { what: 'text where a boolean is needed', value: 'yes' };
  else if (type === 'array') {
    yield { what: 'an object where a list is needed', value: {} };
    yield { what: 'null in a list', value: [null], at: [0] };
    const { maxItems, items } = schema;
    if (maxItems !== undefined && items?.type === 'string')
      yield { what: 'too many items', value: Array(maxItems + 1).fill('x') };
  } else if (type === 'object') {
    yield { what: 'a list where an object is needed', value: [] };
    yield { what: 'text where an object is needed', value: 'x' };
    if (schema.properties !== undefined)
      yield { what: 'an unknown field', value: { noSuchField: 1 }, at: ['noSuchField'], unknown: true };
    for (const [first, second] of schema.exclusive ?? []) {
      if (first !== undefined && second !== undefined && schema.properties !== undefined)
        yield {
          what: 'two of a oneof',
          value: { [first]: sample(schema.properties[first]), [second]: sample(schema.properties[second]) },
        };
    }
  }
}

/** Some value that the schema takes. */
function sample(schema: Schema | undefined): unknown {
  if (schema?.enum !== undefined) return schema.enum[0];
  if (schema?.format === 'duration') return '1s';
  if (schema?.type === 'string') return 'x'.repeat(Math.max(1, schema.minLength ?? 1));
  if (NUMBER.includes(schema?.type ?? '')) return Math.max(1, schema?.minimum ?? 1);
  if (schema?.type === 'boolean') return true;
  return schema?.type === 'array' ? [] : {};
}

interface Place {
  readonly steps: readonly PathStep[];
  readonly schema: Schema;
}

function* places(schema: Schema, steps: readonly PathStep[]): Generator<Place> {
  yield { steps, schema };
  for (const [name, member] of Object.entries(schema.properties ?? {})) yield* places(member, [...steps, name]);
  if (schema.items !== undefined) yield* places(schema.items, [...steps, 0]);
  const values = schema.additionalProperties;
  if (typeof values === 'object') yield* places(values, [...steps, 'key']);
}

/** The least object that has the value at the place. */
function around(steps: readonly PathStep[], value: unknown): unknown {
  return steps.reduceRight((inner: unknown, step) => (typeof step === 'number' ? [inner] : { [step]: inner }), value);
}

function problemWith(kind: Kind, apiVersion: string, place: Place, wrong: Wrong): string | undefined {
  const raw = {
    apiVersion,
    kind,
    metadata: { name: 'bad', namespace: 'shop' },
    spec: around(place.steps, wrong.value),
  };
  const where = formatPath(['spec', ...place.steps, ...(wrong.at ?? [])]);
  const told = `${where}: ${wrong.what}`;
  const [parsed] = parseDocument(raw, { unknownFields: 'error' });
  if (parsed?.kind !== 'invalid') return `${told} is accepted`;
  const finding = parsed.findings.find(({ path }) => path === where);
  if (finding === undefined) return `${told} is found elsewhere: ${parsed.findings.map(({ path }) => path).join(', ')}`;
  if (finding.severity !== 'error' || finding.ref?.name !== 'bad') return `${told} is told of nobody`;
  if (finding.message === '') return `${told} has no message`;
  return finding.expected === undefined && wrong.unknown !== true
    ? `${told} does not say what was expected`
    : undefined;
}

const described = KINDS.flatMap(({ kind, group, versions }) => {
  const schema = istioSchema(kind);
  return schema === undefined ? [] : versions.map((version) => [kind, `${group}/${version}`, schema] as const);
});

describe('a wrong field', () => {
  it.each(described)('of %s in %s is refused, with its path and what was expected', (kind, apiVersion, schema) => {
    const problems: string[] = [];
    let tried = 0;
    for (const place of places(schema, [])) {
      for (const wrong of wrongValues(place.schema)) {
        tried++;
        const problem = problemWith(kind, apiVersion, place, wrong);
        if (problem !== undefined) problems.push(problem);
      }
    }
    expect(problems).toEqual([]);
    expect(tried).toBeGreaterThan(10);
  });
});
