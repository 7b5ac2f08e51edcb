// Checks a parsed YAML or JSON value against a schema and returns it projected: unknown fields and nulls are gone.
// In: schema and value. Out: the projected value and every problem with its path. Called by parse/ and mesh.ts.
// Wrong values are left out of the projection, so that a caller may keep the rest.

import { formatDuration, parseDuration } from '../../lib/duration.ts';
import { formatPath, type PathStep } from '../../lib/field-path.ts';
import type { Problem, Schema } from './schema.ts';

interface Walk {
  readonly path: PathStep[];
  readonly problems: Problem[];
}

export interface Conformed {
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/** A value nested deeper than any real object is refused before the stack gives out. */
const MAX_DEPTH = 64;

/** An object with more wrong fields than this is summed up by the first ones. */
const MAX_PROBLEMS = 64;

export function conform(schema: Schema, value: unknown, path: readonly PathStep[] = []): Conformed {
  const walk: Walk = { path: [...path], problems: [] };
  const projected = visit(walk, schema, value);
  return { value: projected, problems: walk.problems };
}

function visit(walk: Walk, schema: Schema, value: unknown): unknown {
  if (value === undefined || value === null) return undefined;
  if (walk.path.length > MAX_DEPTH) return wrong(walk, 'nested too deeply', `at most ${MAX_DEPTH} levels`);
  if (schema.intOrString === true) return visitIntOrString(walk, schema, value);
  switch (schema.type ?? (schema.properties === undefined ? undefined : 'object')) {
    case 'object':
      return visitObject(walk, schema, value);
    case 'array':
      return visitArray(walk, schema, value);
    case 'string':
      return visitString(walk, schema, value);
    case 'integer':
    case 'number':
      return visitNumber(walk, schema, value);
    case 'boolean':
      return typeof value === 'boolean'
        ? value
        : wrong(walk, `${describe(value)} where a boolean is needed`, 'true or false');
    case undefined:
    default:
      return value;
  }
}

function visitObject(walk: Walk, schema: Schema, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrong(walk, `${describe(value)} where an object is needed`, 'an object');
  }
  const result: Record<string, unknown> = {};
  const members = value as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(members)) visitMember(walk, schema, result, key, members[key]);
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(members, name) || members[name] === null) {
      walk.path.push(name);
      wrong(walk, 'missing', 'a value');
      walk.path.pop();
    }
  }
  checkExclusive(walk, schema, result);
  return result;
}

function visitMember(walk: Walk, schema: Schema, result: Record<string, unknown>, key: string, item: unknown): void {
  const properties = schema.properties;
  const member = properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : rest(schema);
  if (member === undefined) {
    // An unset unknown field says nothing and is no mistake worth telling.
    if (item !== null && item !== undefined && schema.open !== true) unknownField(walk, key, properties ?? {});
    return;
  }
  walk.path.push(key);
  const projected = member === true ? item : visit(walk, member, item);
  walk.path.pop();
  if (projected !== undefined) put(result, key, projected);
}

/** A plain assignment to `__proto__` would set the prototype. */
function put(result: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') result[key] = value;
  else Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true });
}

/** What describes the fields that are not listed: a schema, anything (true), or nothing (undefined). */
function rest(schema: Schema): Schema | true | undefined {
  if (schema.additionalProperties !== undefined) return schema.additionalProperties;
  return schema.properties === undefined ? true : undefined;
}

function visitArray(walk: Walk, schema: Schema, value: unknown): unknown {
  if (!Array.isArray(value)) return wrong(walk, `${describe(value)} where a list is needed`, 'a list');
  if (schema.minItems !== undefined && value.length < schema.minItems) {
    wrong(walk, `has ${value.length} items`, `at least ${schema.minItems}`);
  }
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    wrong(walk, `has ${value.length} items`, `at most ${schema.maxItems}`);
  }
  const items = schema.items;
  if (items === undefined) return value;
  const result: unknown[] = [];
  for (let i = 0; i < value.length; i++) {
    walk.path.push(i);
    const item: unknown = value[i];
    if (item === null || item === undefined) wrong(walk, 'null in a list', 'a value');
    else result.push(visit(walk, items, item));
    walk.path.pop();
  }
  return result;
}

function visitString(walk: Walk, schema: Schema, value: unknown): unknown {
  if (typeof value !== 'string') {
    const hint = typeof value === 'object' ? '' : ' (quote it)';
    return wrong(walk, `${describe(value)} where a string is needed`, `a string${hint}`);
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return wrong(walk, `${quote(value)} is not allowed`, `one of ${schema.enum.map(String).join(', ')}`);
  }
  if (schema.minLength !== undefined && value.length < schema.minLength) {
    return wrong(
      walk,
      value === '' ? 'is empty' : `${quote(value)} is too short`,
      `at least ${schema.minLength} characters`,
    );
  }
  if (schema.maxLength !== undefined && value.length > schema.maxLength) {
    return wrong(walk, `is ${value.length} characters long`, `at most ${schema.maxLength} characters`);
  }
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) {
    return wrong(walk, `${quote(value)} has a wrong form`, `text that matches ${schema.pattern}`);
  }
  return schema.format === 'duration' ? visitDuration(walk, value) : value;
}

/** Whatever the user's form, translators see the proto-JSON one. */
function visitDuration(walk: Walk, value: string): unknown {
  const duration = parseDuration(value);
  return duration === undefined
    ? wrong(walk, `${quote(value)} is no duration`, 'a duration such as 10s, 250ms or 1h30m')
    : formatDuration(duration);
}

const INTEGER_RANGES: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-2_147_483_648, 2_147_483_647],
  uint32: [0, 4_294_967_295],
};

function visitNumber(walk: Walk, schema: Schema, value: unknown): unknown {
  const wanted = schema.type === 'integer' ? 'an integer' : 'a number';
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    return wrong(walk, `${describe(value)} where ${wanted} is needed`, wanted);
  }
  if (schema.type === 'integer' && !Number.isSafeInteger(value)) return wrong(walk, `${value} is no integer`, wanted);
  const range = schema.type === 'integer' ? INTEGER_RANGES[schema.format ?? ''] : undefined;
  const minimum = schema.minimum ?? range?.[0] ?? Number.NEGATIVE_INFINITY;
  const maximum = schema.maximum ?? range?.[1] ?? Number.POSITIVE_INFINITY;
  if (value < minimum || value > maximum) {
    return wrong(walk, `${value} is out of range`, bounds(minimum, maximum));
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return wrong(walk, `${value} is not allowed`, `one of ${schema.enum.map(String).join(', ')}`);
  }
  return value;
}

function bounds(minimum: number, maximum: number): string {
  if (maximum === Number.POSITIVE_INFINITY) return `at least ${minimum}`;
  return minimum === Number.NEGATIVE_INFINITY ? `at most ${maximum}` : `${minimum} to ${maximum}`;
}

function visitIntOrString(walk: Walk, schema: Schema, value: unknown): unknown {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return visitNumber(walk, { ...schema, type: 'integer' }, value);
  return wrong(walk, `${describe(value)} where a number or a string is needed`, 'an integer or a string');
}

function checkExclusive(walk: Walk, schema: Schema, value: Readonly<Record<string, unknown>>): void {
  for (const group of schema.exclusive ?? []) {
    const set = group.filter((name) => value[name] !== undefined);
    if (set.length > 1) wrong(walk, `${set.join(' and ')} are set together`, `at most one of ${group.join(', ')}`);
  }
}

function unknownField(walk: Walk, key: string, properties: Readonly<Record<string, Schema>>): void {
  if (walk.problems.length >= MAX_PROBLEMS) return;
  const near = nearest(key, Object.keys(properties));
  walk.problems.push({
    kind: 'unknown-field',
    path: formatPath([...walk.path, key]),
    message: `unknown field ${quote(key)}`,
    expected: near === undefined ? undefined : `did you mean ${near}?`,
  });
}

/** Fields that differ in case, underscores or one letter: what a typing error or the protobuf name looks like. */
function nearest(key: string, names: readonly string[]): string | undefined {
  const plain = key.replaceAll('_', '').toLowerCase();
  return (
    names.find((name) => name.toLowerCase() === plain) ?? names.find((name) => oneEditApart(name.toLowerCase(), plain))
  );
}

function oneEditApart(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1 || a.length < 3) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  return endA - start <= 1 && endB - start <= 1;
}

function wrong(walk: Walk, message: string, expected: string): undefined {
  if (walk.problems.length >= MAX_PROBLEMS) return undefined;
  walk.problems.push({ kind: 'wrong', path: formatPath(walk.path), message, expected });
  return undefined;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return `the string ${quote(value)}`;
  if (typeof value === 'boolean') return `the boolean ${value}`;
  if (typeof value === 'number') return `the number ${value}`;
  return typeof value;
}

/** User text in messages is bounded: a pasted certificate should not fill the log. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
