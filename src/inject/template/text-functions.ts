// The functions on text and numbers that templates of charts and of istiod use, by the names of the sprig library.

import { base64OfText } from '../../lib/base64.ts';
import type { TemplateFunction } from './evaluate.ts';
import { ArgumentError, isBag, listOf, numberOf, textOf, truth } from './values.ts';

const trimSet = (set: string, text: string, left: boolean, right: boolean): string => {
  let from = 0;
  let to = text.length;
  while (left && from < to && set.includes(text.charAt(from))) from++;
  while (right && to > from && set.includes(text.charAt(to - 1))) to--;
  return text.slice(from, to);
};

const indented = (spaces: unknown, text: unknown): string => {
  const pad = ' '.repeat(Math.max(0, Number(spaces)));
  return pad + textOf(text).replaceAll('\n', `\n${pad}`);
};

const pattern = (text: unknown, flags = ''): RegExp => {
  try {
    return new RegExp(textOf(text), flags);
  } catch {
    throw new ArgumentError(`${JSON.stringify(textOf(text))} is no regular expression`);
  }
};

export const TEXT_FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  quote: (...args) =>
    args
      .filter((each) => each !== undefined && each !== null)
      .map((each) => JSON.stringify(textOf(each)))
      .join(' ') || (args.length === 1 ? '""' : ''),
  squote: (...args) => args.map((each) => `'${textOf(each)}'`).join(' '),
  trim: (text) => textOf(text).trim(),
  trimAll: (set, text) => trimSet(textOf(set), textOf(text), true, true),
  trimPrefix: (prefix, text) =>
    textOf(text).startsWith(textOf(prefix)) ? textOf(text).slice(textOf(prefix).length) : textOf(text),
  trimSuffix: (suffix, text) =>
    truth(suffix) && textOf(text).endsWith(textOf(suffix))
      ? textOf(text).slice(0, -textOf(suffix).length)
      : textOf(text),
  trunc: (length, text) =>
    Number(length) < 0 ? textOf(text).slice(Number(length)) : textOf(text).slice(0, Number(length)),
  substr: (from, to, text) => textOf(text).slice(Number(from), Number(to) < 0 ? undefined : Number(to)),
  upper: (text) => textOf(text).toUpperCase(),
  lower: (text) => textOf(text).toLowerCase(),
  title: (text) => textOf(text).replaceAll(/\b[a-z]/g, (char) => char.toUpperCase()),
  untitle: (text) => textOf(text).replaceAll(/\b[A-Z]/g, (char) => char.toLowerCase()),
  nospace: (text) => textOf(text).replaceAll(/\s/g, ''),
  repeat: (count, text) => textOf(text).repeat(Math.min(10_000, Math.max(0, Number(count)))),
  replace: (from, to, text) => textOf(text).replaceAll(textOf(from), () => textOf(to)),
  hasPrefix: (prefix, text) => textOf(text).startsWith(textOf(prefix)),
  hasSuffix: (suffix, text) => textOf(text).endsWith(textOf(suffix)),
  indent: indented,
  nindent: (spaces, text) => `\n${indented(spaces, text)}`,
  cat: (...args) => args.map(textOf).join(' '),
  join: (separator, list) => (Array.isArray(list) ? list : [list]).map(textOf).join(textOf(separator)),
  splitList: (separator, text) => textOf(text).split(textOf(separator)),
  split: (separator, text) =>
    Object.fromEntries(
      textOf(text)
        .split(textOf(separator))
        .map((part, index) => [`_${index}`, part]),
    ),
  toString: textOf,
  toStrings: (list) => listOf(list).map(textOf),
  b64enc: (text) => base64OfText(textOf(text)),
  regexMatch: (regex, text) => pattern(regex).test(textOf(text)),
  regexFind: (regex, text) => pattern(regex).exec(textOf(text))?.[0] ?? '',
  regexReplaceAll: (regex, text, to) =>
    textOf(text).replaceAll(
      pattern(regex, 'g'),
      textOf(to).replaceAll(/\$\{(\w+)\}/g, (_, name: string) => `$${name}`),
    ),
  int: (value) => Math.trunc(numberOf(value)),
  int64: (value) => Math.trunc(numberOf(value)),
  float64: numberOf,
  atoi: (value) => Math.trunc(numberOf(value)),
  add: (...args) => args.map(numberOf).reduce((sum, each) => sum + each, 0),
  add1: (value) => numberOf(value) + 1,
  sub: (a, b) => numberOf(a) - numberOf(b),
  mul: (...args) => args.map(numberOf).reduce((product, each) => product * each, 1),
  div: (a, b) => divided(a, b, (x, y) => Math.trunc(x / y)),
  mod: (a, b) => divided(a, b, (x, y) => x % y),
  max: (...args) => Math.max(...args.map(numberOf)),
  min: (...args) => Math.min(...args.map(numberOf)),
  until: (count) => Array.from({ length: Math.min(10_000, Math.max(0, numberOf(count))) }, (_, index) => index),
  kindOf,
  kindIs: (kind, value) => kindOf(value) === kind,
  fail: (message) => {
    throw new ArgumentError(textOf(message));
  },
};

function divided(a: unknown, b: unknown, operation: (x: number, y: number) => number): number {
  if (numberOf(b) === 0) throw new ArgumentError('division by zero');
  return operation(numberOf(a), numberOf(b));
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'invalid';
  if (Array.isArray(value)) return 'slice';
  if (isBag(value)) return 'map';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  return typeof value === 'boolean' ? 'bool' : 'string';
}
