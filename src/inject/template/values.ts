// What Go does with values in templates: truth, text, fields, order. A missing value is `undefined` throughout and stands
// for Go's zero value, since nothing here knows of what type it would be.

/** Arguments that a function can't work with. The evaluator adds the template's name and line. */
export class ArgumentError extends Error {}

export type Bag = Readonly<Record<string, unknown>>;

export function isBag(value: unknown): value is Bag {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** False, 0, empty and missing are false. */
export function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isBag(value)) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== 0 && value !== '';
}

/** As fmt.Print writes it; nothing for a missing value. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return `[${value.map(textOf).join(' ')}]`;
  if (isBag(value)) {
    const entries = sortedEntries(value).map(([key, item]) => `${key}:${textOf(item)}`);
    return `map[${entries.join(' ')}]`;
  }
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** Entries in the order in which Go's templates walk maps: by key. */
export function sortedEntries(bag: Bag): [string, unknown][] {
  return Object.entries(bag).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/**
 * A field by Go's name or by the one in YAML: `.ObjectMeta.Labels`, `.Spec.DNSPolicy`, `.Values.global.hub`. Getters of
 * generated Go code (`GetTracing`, `GetValue`) and `String` are understood, and find nothing in nothing.
 */
export function fieldOf(value: unknown, name: string): unknown {
  if (isBag(value)) {
    const found = memberOf(value, name);
    if (found !== undefined) return found;
  }
  if (name === 'String' || name === 'GetValue' || name === 'AsInterface') return value;
  const getter = /^Get([A-Z]\w*)$/.exec(name)?.[1];
  if (getter !== undefined) return isBag(value) ? memberOf(value, getter) : undefined;
  if (isBag(value)) return undefined;
  throw new ArgumentError(
    value === undefined || value === null
      ? `there is nothing to take field ${name} of`
      : `${JSON.stringify(value)?.slice(0, 80)} has no field ${name}`,
  );
}

function memberOf(bag: Bag, name: string): unknown {
  if (Object.hasOwn(bag, name)) return bag[name] ?? undefined;
  if (!/^[A-Z]/.test(name)) return undefined;
  const camel = name.charAt(0).toLowerCase() + name.slice(1);
  if (Object.hasOwn(bag, camel)) return bag[camel] ?? undefined;
  const folded = name.toLowerCase();
  const key = Object.keys(bag).find((each) => each.toLowerCase() === folded);
  return key === undefined ? undefined : (bag[key] ?? undefined);
}

/** Equality of scalars; a missing value equals any zero value. */
export function same(a: unknown, b: unknown): boolean {
  const left = a ?? undefined;
  const right = b ?? undefined;
  if (left === undefined || right === undefined) return !truth(left) && !truth(right);
  if (typeof left === 'object' || typeof right === 'object')
    throw new ArgumentError('lists and maps can not be compared');
  return left === right;
}

/** Less than, of two numbers or two texts. */
export function less(a: unknown, b: unknown): boolean {
  if (typeof a === 'number' && typeof b === 'number') return a < b;
  if (typeof a === 'string' && typeof b === 'string') return a < b;
  throw new ArgumentError(`${textOf(a)} and ${textOf(b)} can not be ordered: expected two numbers or two texts`);
}

/** The elements of a list; of a text or map there are none. */
export function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new ArgumentError(`${textOf(value).slice(0, 80)} is no list`);
}

export function bagOf(value: unknown): Bag {
  if (value === undefined || value === null) return {};
  if (isBag(value)) return value;
  throw new ArgumentError(`${textOf(value).slice(0, 80)} is no map`);
}

export function numberOf(value: unknown): number {
  const number = typeof value === 'number' ? value : typeof value === 'boolean' ? Number(value) : Number(textOf(value));
  return Number.isFinite(number) ? number : 0;
}
