// Lists that are walked with the difference to the one before: both are in the same order, and nearly all of what is in them
// is the same. In: two lists. Out: what they have in common, and what was made for the objects of one, taken over for the other.

import { compareStrings } from './order.ts';
import { keepList, sameList } from './table.ts';

/** How many objects two lists have in common at their starts, and behind that at their ends. */
export interface Common {
  readonly start: number;
  readonly end: number;
}

export function commonEnds(before: readonly unknown[], after: readonly unknown[]): Common {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  return { start, end };
}

/** What is in one of two lists alone, each in its order. */
export interface Difference<T> {
  readonly gone: readonly T[];
  readonly come: readonly T[];
}

/** All between their common ends, where what else they share stands in another order. */
export function differenceOf<T>(before: readonly T[], after: readonly T[]): Difference<T> {
  if (before === after) return { gone: [], come: [] };
  const common = commonEnds(before, after);
  const [old, now] = [middleOf(before, common), middleOf(after, common)];
  if (old.length === 0 || now.length === 0) return { gone: old, come: now };
  const [there, were] = [new Set(now), new Set(old)];
  const gone = old.filter((each) => !there.has(each));
  const come = now.filter((each) => !were.has(each));
  const [stayed, stay] = [old.filter((each) => there.has(each)), now.filter((each) => were.has(each))];
  return sameList(stayed, stay) ? { gone, come } : { gone: old, come: now };
}

/** The part of a list between what it has in common with another one at its start and its end. */
export function middleOf<T>(list: readonly T[], { start, end }: Common): readonly T[] {
  return list.slice(start, list.length - end);
}

/**
 * What belongs to the objects of `after`, in their order. `made` is what was made for those of `before`; `make` is asked for the
 * others, and may get what was made for the same object elsewhere in the list.
 */
export function carriedOver<A, B>(
  before: readonly A[],
  made: readonly B[],
  after: readonly A[],
  make: (object: A, before: B | undefined) => B,
): readonly B[] {
  const { start, end } = commonEnds(before, after);
  if (start === after.length && start === before.length) return made;
  const known = new Map<A, B>();
  for (let at = start; at < before.length - end; at++) known.set(before[at] as A, made[at] as B);
  const next = made.slice(0, start);
  for (let at = start; at < after.length - end; at++) next.push(make(after[at] as A, known.get(after[at] as A)));
  append(next, made, made.length - end, made.length);
  return next;
}

/** Adds a part of one list to another. Apart from what calls it, so that it is short enough to be optimised. */
export function append<T>(to: T[], list: readonly T[], from: number, end: number): void {
  for (let at = from; at < end; at++) to.push(list[at] as T);
}

/**
 * A list in order of names, each there once, in which whatever has one of the names `gone` gives way to `come`: whose names are
 * among those, or not in the list. What comes equal (by `same`) to what was there is the object that was there.
 */
export function replacedByName<T>(
  list: readonly T[],
  nameOf: (each: T) => string,
  gone: Iterable<string>,
  come: readonly T[],
  same: (before: T, now: T) => boolean = (before, now) => before === now,
): readonly T[] {
  const now = new Map(come.map((each) => [nameOf(each), each]));
  const names = new Set(gone);
  for (const name of now.keys()) names.add(name);
  const next: T[] = [];
  let from = 0;
  for (const name of [...names].sort(compareStrings)) {
    const at = placeOf(name, list, nameOf, from);
    append(next, list, from, at);
    from = at;
    const old = list[at];
    const there = old !== undefined && nameOf(old) === name;
    const each = now.get(name);
    if (each !== undefined) next.push(there && same(old, each) ? old : each);
    if (there) from++;
  }
  append(next, list, from, list.length);
  return keepList(list, next);
}

/** Where the name stands in a list in order of names, or would, from a position on. */
export function placeOf<T>(name: string, list: readonly T[], nameOf: (each: T) => string, from = 0): number {
  let low = from;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareStrings(nameOf(list[middle] as T), name) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
