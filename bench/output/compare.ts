// Two reports side by side: medians, what the second is of the first, and a mark where that is more than noise.

import type { Figure, Report } from '../figures.ts';
import { median } from '../stats.ts';
import { aligned, bySuite, withUnit } from './table.ts';

export type Verdict = 'better' | 'worse' | 'same' | 'other';

export interface Compared {
  readonly figure: Figure;
  readonly first: number;
  readonly second: number;
  /** Of the second to the first; undefined when the first is nothing. */
  readonly ratio: number | undefined;
  readonly verdict: Verdict;
}

/** Figures that both reports have. `threshold`: a ratio of so much or more, either way, is a difference. */
export function compared(a: Report, b: Report, threshold: number): readonly Compared[] {
  const others = new Map(b.figures.map((figure) => [keyOf(figure), figure]));
  return a.figures.flatMap((figure) => {
    const other = others.get(keyOf(figure));
    if (other === undefined) return [];
    const [first, second] = [median(figure.values), median(other.values)];
    const ratio = first === 0 ? undefined : second / first;
    return [{ figure, first, second, ratio, verdict: verdictOf(figure, first, second, threshold) }];
  });
}

function keyOf({ suite, name, unit }: Figure): string {
  return `${suite}\n${name}\n${unit}`;
}

function verdictOf({ better }: Figure, first: number, second: number, threshold: number): Verdict {
  const [small, large] = [Math.min(first, second), Math.max(first, second)];
  if (large === small || large < small * threshold) return 'same';
  if (better === undefined) return 'other';
  return second < first === (better === 'less') ? 'better' : 'worse';
}

const MARKS: Readonly<Record<Verdict, string>> = { better: '+ better', worse: '! worse', same: '', other: '* differs' };

export function comparison(a: Report, b: Report, threshold: number): string {
  const rows = new Map(compared(a, b, threshold).map((row) => [row.figure, row]));
  const sections = bySuite([...rows.keys()]).map(([suite, figures]) =>
    aligned([
      [suite, 'first', 'second', 'ratio', ''],
      ...figures.flatMap((figure) => {
        const row = rows.get(figure);
        if (row === undefined) return [];
        const { first, second, ratio, verdict } = row;
        const { name, unit } = figure;
        const times = ratio === undefined ? '' : `x ${ratio.toFixed(2)}`;
        return [[`  ${name}`, withUnit(first, unit), withUnit(second, unit), times, MARKS[verdict]]];
      }),
    ]),
  );
  const left = [onlyIn(a, b, 'first'), onlyIn(b, a, 'second')].filter((text) => text !== '');
  return [...sections, ...left].join('\n\n');
}

function onlyIn(one: Report, other: Report, which: string): string {
  const known = new Set(other.figures.map(keyOf));
  const lost = one.figures.filter((figure) => !known.has(keyOf(figure)));
  return lost.length === 0
    ? ''
    : `only in the ${which}: ${lost.map(({ suite, name }) => `${suite}: ${name}`).join('; ')}`;
}
