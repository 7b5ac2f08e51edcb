// The functions that every Go template has.

import type { TemplateFunction } from './evaluate.ts';
import { ArgumentError, isBag, less, same, textOf, truth } from './values.ts';

/** `and` and `or` are the evaluator's own when they are called by name. */
export const BUILTINS: Readonly<Record<string, TemplateFunction>> = {
  and: (...args) => args.find((each) => !truth(each)) ?? args.at(-1),
  or: (...args) => args.find(truth) ?? args.at(-1),
  not: (value) => !truth(value),
  eq: (first, ...others) => {
    if (others.length === 0) throw new ArgumentError('two values are needed');
    return others.some((other) => same(first, other));
  },
  ne: (a, b) => !same(a, b),
  lt: (a, b) => less(a, b),
  le: (a, b) => less(a, b) || same(a, b),
  gt: (a, b) => less(b, a),
  ge: (a, b) => !less(a, b),
  len: lengthOf,
  index: (value, ...keys) => keys.reduce(elementOf, value),
  slice: (value, from = 0, to) => {
    const end = to === undefined ? undefined : Number(to);
    if (typeof value === 'string' || Array.isArray(value)) return value.slice(Number(from), end);
    throw new ArgumentError('a text or list is needed');
  },
  print: (...args) => args.map(textOf).join(''),
  println: (...args) => `${args.map(textOf).join(' ')}\n`,
  printf: (format, ...args) => formatted(textOf(format), args),
  html: (...args) =>
    args
      .map(textOf)
      .join('')
      .replaceAll(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`),
  urlquery: (...args) => encodeURIComponent(args.map(textOf).join('')),
};

function lengthOf(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  if (isBag(value)) return Object.keys(value).length;
  throw new ArgumentError(`${textOf(value)} has no length`);
}

function elementOf(value: unknown, key: unknown): unknown {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) {
    const at = Number(key);
    if (!Number.isInteger(at) || at < 0 || at >= value.length)
      throw new ArgumentError(`index ${textOf(key)} is out of range of a list of ${value.length}`);
    return value[at];
  }
  if (!isBag(value)) throw new ArgumentError(`${textOf(value)} can not be indexed`);
  const name = textOf(key);
  return Object.hasOwn(value, name) ? (value[name] ?? undefined) : undefined;
}

const VERB = /%([-+0 #]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g;

/** fmt.Sprintf, for the verbs that mean something for text, numbers and booleans. */
function formatted(format: string, args: readonly unknown[]): string {
  let next = 0;
  return format.replaceAll(
    VERB,
    (whole, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      if (next >= args.length) return `%!${verb}(MISSING)`;
      const text = verbText(verb, args[next++], precision, whole);
      if (width === undefined) return text;
      if (flags.includes('-')) return text.padEnd(Number(width));
      return text.padStart(Number(width), flags.includes('0') ? '0' : ' ');
    },
  );
}

function verbText(verb: string, value: unknown, precision: string | undefined, whole: string): string {
  switch (verb) {
    case 's':
    case 'v':
      return precision === undefined ? textOf(value) : textOf(value).slice(0, Number(precision));
    case 'q':
      return JSON.stringify(textOf(value));
    case 'd':
      return String(Math.trunc(Number(value ?? 0)));
    case 't':
      return String(truth(value));
    case 'f':
      return Number(value ?? 0).toFixed(Number(precision ?? 6));
    case 'g':
      return String(Number(value ?? 0));
    case 'x':
      return typeof value === 'number' ? value.toString(16) : whole;
    default:
      return `%!${verb}(${textOf(value)})`;
  }
}
