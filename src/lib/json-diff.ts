// What differs between two JSON values, field by field. Lists whose items have names (or another telling key) are compared
// by it, so that one inserted item isn't a change of all behind it; other lists by position.

import { deepEqual } from './equal.ts';

export interface FieldChange {
  /** `virtualHosts["web:80"].routes[0].route.timeout`; empty for the whole value. */
  readonly path: string;
  /** Undefined: the field comes. */
  readonly before?: unknown;
  /** Undefined: the field goes. */
  readonly after?: unknown;
}

export function fieldChanges(before: unknown, after: unknown): readonly FieldChange[] {
  const found: FieldChange[] = [];
  compare(before, after, '', found);
  return found;
}

type Fields = Readonly<Record<string, unknown>>;

function compare(before: unknown, after: unknown, path: string, found: FieldChange[]): void {
  if (deepEqual(before, after)) return;
  if (isFields(before) && isFields(after)) return compareFields(before, after, path, found);
  if (Array.isArray(before) && Array.isArray(after)) return compareLists(before, after, path, found);
  found.push({
    path,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  });
}

function compareFields(before: Fields, after: Fields, path: string, found: FieldChange[]): void {
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
    compare(before[key], after[key], memberPath(path, key), found);
}

function compareLists(before: readonly unknown[], after: readonly unknown[], path: string, found: FieldChange[]): void {
  const key = KEYS.find((each) => isKeyed(before, each) && isKeyed(after, each));
  if (key === undefined) {
    for (let i = 0; i < Math.max(before.length, after.length); i++)
      compare(before[i], after[i], `${path}[${i}]`, found);
    return;
  }
  const [old, now] = [byKey(before, key), byKey(after, key)];
  for (const name of new Set([...old.keys(), ...now.keys()]))
    compare(old.get(name), now.get(name), `${path}[${JSON.stringify(name)}]`, found);
  const kept = (all: ReadonlyMap<string, unknown>, others: ReadonlyMap<string, unknown>): readonly string[] =>
    [...all.keys()].filter((name) => others.has(name));
  const [order, newOrder] = [kept(old, now), kept(now, old)];
  if (!deepEqual(order, newOrder)) found.push({ path: `${path} (order)`, before: order, after: newOrder });
}

/** What tells items of a list apart, the first that all of them have. */
const KEYS = ['name', 'clusterName', 'statPrefix'] as const;

function isKeyed(list: readonly unknown[], key: string): boolean {
  const names = new Set(list.map((item) => (isFields(item) ? item[key] : undefined)));
  return names.size === list.length && [...names].every((name) => typeof name === 'string' && name !== '');
}

function byKey(list: readonly unknown[], key: string): ReadonlyMap<string, unknown> {
  return new Map(list.map((item) => [String((item as Fields)[key]), item]));
}

const PLAIN = /^[A-Za-z_@$][\w$@-]*$/;

function memberPath(path: string, key: string): string {
  if (!PLAIN.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
