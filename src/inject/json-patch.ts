// The JSON patch (RFC 6902) that turns one value into another.
// In: two plain JSON values. Out: operations, none when they are equal. Called by webhook.ts.

import { deepEqual } from '../lib/equal.ts';

export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

export function jsonPatch(before: unknown, after: unknown): readonly PatchOperation[] {
  const operations: PatchOperation[] = [];
  compare(before, after, '', operations);
  return operations;
}

type Bag = Readonly<Record<string, unknown>>;

function compare(before: unknown, after: unknown, path: string, out: PatchOperation[]): void {
  if (deepEqual(before, after)) return;
  if (Array.isArray(before) && Array.isArray(after)) return compareLists(before, after, path, out);
  if (isBag(before) && isBag(after)) return compareBags(before, after, path, out);
  out.push({ op: 'replace', path, value: after });
}

function compareBags(before: Bag, after: Bag, path: string, out: PatchOperation[]): void {
  for (const key of Object.keys(before)) {
    if (before[key] !== undefined && after[key] === undefined)
      out.push({ op: 'remove', path: `${path}/${escaped(key)}` });
  }
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    const at = `${path}/${escaped(key)}`;
    if (before[key] === undefined) out.push({ op: 'add', path: at, value });
    else compare(before[key], value, at, out);
  }
}

/** What both begin and end with is left alone; of the middle the common length is compared item by item. */
function compareLists(
  before: readonly unknown[],
  after: readonly unknown[],
  path: string,
  out: PatchOperation[],
): void {
  let head = 0;
  while (head < before.length && head < after.length && deepEqual(before[head], after[head])) head++;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && deepEqual(before[before.length - 1 - tail], after[after.length - 1 - tail])) tail++;
  const oldMiddle = before.slice(head, before.length - tail);
  const newMiddle = after.slice(head, after.length - tail);
  const common = Math.min(oldMiddle.length, newMiddle.length);
  for (let at = 0; at < common; at++) compare(oldMiddle[at], newMiddle[at], `${path}/${head + at}`, out);
  for (let at = oldMiddle.length - 1; at >= common; at--) out.push({ op: 'remove', path: `${path}/${head + at}` });
  for (let at = common; at < newMiddle.length; at++)
    out.push({ op: 'add', path: `${path}/${head + at}`, value: newMiddle[at] });
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

function isBag(value: unknown): value is Bag {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
