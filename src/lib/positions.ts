// Where the objects of a list stood in the list before: both are in the same order, and nearly all of them are the same.
// In: two lists. Out: positions, so that what was made for an object is found without a map of all. Called wherever a
// list is walked with the difference to the one before.

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

/** Says of a position of `after` where the same object stood in `before`; -1 for what is new. */
export function formerPositions(before: readonly unknown[], after: readonly unknown[]): (position: number) => number {
  if (before === after) return (position) => position;
  const { start, end } = commonEnds(before, after);
  const shift = before.length - after.length;
  let moved: Map<unknown, number> | undefined;
  return (position) => {
    if (position < start) return position;
    if (position >= after.length - end) return position + shift;
    if (moved === undefined) {
      moved = new Map();
      for (let at = start; at < before.length - end; at++) moved.set(before[at], at);
    }
    return moved.get(after[position]) ?? -1;
  };
}
