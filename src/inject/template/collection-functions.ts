// The functions on lists and maps that templates of charts and of istiod use, by the names of the sprig library.
// What a template is given is frozen: `set` and `unset` change only maps that the template made itself.

import { deepEqual } from '../../lib/equal.ts';
import type { TemplateFunction } from './evaluate.ts';
import { ArgumentError, type Bag, bagOf, isBag, listOf, textOf, truth } from './values.ts';

export const COLLECTION_FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  default: (fallback, value) => (truth(value) ? value : fallback),
  empty: (value) => !truth(value),
  coalesce: (...args) => args.find(truth),
  ternary: (yes, no, condition) => (truth(condition) ? yes : no),
  all: (...args) => args.every(truth),
  any: (...args) => args.some(truth),
  list: (...args) => args,
  tuple: (...args) => args,
  first: (list) => listOf(list)[0],
  last: (list) => listOf(list).at(-1),
  rest: (list) => listOf(list).slice(1),
  initial: (list) => listOf(list).slice(0, -1),
  append: (list, item) => [...listOf(list), item],
  prepend: (list, item) => [item, ...listOf(list)],
  concat: (...lists) => lists.flatMap(listOf),
  reverse: (list) => listOf(list).toReversed(),
  uniq: (list) => listOf(list).filter((item, index, all) => all.findIndex((each) => deepEqual(each, item)) === index),
  without: (list, ...items) => listOf(list).filter((each) => !items.some((item) => deepEqual(item, each))),
  compact: (list) => listOf(list).filter(truth),
  has: (item, list) => listOf(list).some((each) => deepEqual(each, item)),
  sortAlpha: (list) => listOf(list).map(textOf).toSorted(),
  dict: (...args) => pairs(args),
  get: (map, key) => (Object.hasOwn(bagOf(map), textOf(key)) ? bagOf(map)[textOf(key)] : ''),
  set: (map, key, value) => {
    const own = ownMap(map);
    own[textOf(key)] = value;
    return own;
  },
  unset: (map, key) => {
    const own = ownMap(map);
    delete own[textOf(key)];
    return own;
  },
  hasKey: (map, key) => Object.hasOwn(bagOf(map), textOf(key)),
  keys: (...maps) => maps.flatMap((map) => Object.keys(bagOf(map)).toSorted()),
  values: (...maps) => maps.flatMap((map) => Object.values(bagOf(map))),
  pick: (map, ...names) => {
    const wanted = names.map(textOf);
    return Object.fromEntries(Object.entries(bagOf(map)).filter(([key]) => wanted.includes(key)));
  },
  omit: (map, ...names) => without(bagOf(map), names.map(textOf)),
  merge: (...maps) => maps.reduce<Bag>((into, map) => merged(bagOf(map), into), {}),
  mergeOverwrite: (...maps) => maps.reduce<Bag>((into, map) => merged(into, bagOf(map)), {}),
  dig: (...args) => dug(args),
  deepEqual: (a, b) => deepEqual(a, b),
  deepCopy: (value) => value,
  toJson: (value) => JSON.stringify(value ?? null),
  toPrettyJson: (value) => JSON.stringify(value ?? null, undefined, 2),
  fromJson: (text) => parsedJson(text),
};

/** A map of alternating keys and values. */
function pairs(args: readonly unknown[]): Bag {
  const map: Record<string, unknown> = {};
  for (let at = 0; at < args.length; at += 2) map[textOf(args[at])] = args[at + 1] ?? '';
  return map;
}

function ownMap(map: unknown): Record<string, unknown> {
  const bag = bagOf(map);
  if (Object.isFrozen(bag))
    throw new ArgumentError('the pod and the values can not be changed: copy with merge (dict) …');
  return bag;
}

function without(map: Bag, names: readonly string[]): Bag {
  return Object.fromEntries(Object.entries(map).filter(([key]) => !names.includes(key)));
}

/** Two maps united at every depth; where both have a value that of `over` wins. */
export function merged(under: Bag, over: Bag): Bag {
  const result: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = result[key];
    result[key] = isBag(below) && isBag(value) ? merged(below, value) : value;
  }
  return result;
}

/** `dig "a" "b" DEFAULT map` */
function dug(args: readonly unknown[]): unknown {
  if (args.length < 3) throw new ArgumentError('at least a key, a default and a map are needed');
  let value: unknown = args.at(-1);
  for (const key of args.slice(0, -2)) {
    const name = textOf(key);
    if (!isBag(value) || !Object.hasOwn(value, name)) return args.at(-2);
    value = value[name];
  }
  return value;
}

export function parsedJson(text: unknown): unknown {
  try {
    return JSON.parse(textOf(text)) as unknown;
  } catch {
    return undefined;
  }
}
