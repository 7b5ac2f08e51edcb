import { describe, expect, it } from 'vitest';
import type { Figure, Report } from '../../bench/figures.ts';
import { compared, comparison } from '../../bench/output/compare.ts';
import { table } from '../../bench/output/table.ts';

type Short = Pick<Figure, 'name' | 'better'> & { readonly values: readonly number[] };

function report(...figures: readonly Short[]): Report {
  return {
    version: 1,
    node: 'v20',
    machine: { platform: 'linux', cpus: 2, model: 'any' },
    settings: {},
    figures: figures.map((figure) => ({ suite: 'sync', unit: 'ms', ...figure })),
    notes: ['sync: a note'],
  };
}

const verdicts = (first: Short, second: Short): readonly string[] =>
  compared(report(first), report(second), 1.2).map(({ verdict }) => verdict);

describe('two reports', () => {
  it('are compared by medians, with the ratio of the second to the first', () => {
    const [row] = compared(
      report({ name: 'CPU', better: 'less', values: [10, 100, 12] }),
      report({ name: 'CPU', better: 'less', values: [6] }),
      1.2,
    );
    expect(row).toMatchObject({ first: 12, second: 6, ratio: 0.5, verdict: 'better' });
  });

  it.each([
    ['less', 10, 11, 'same'],
    ['less', 10, 12, 'worse'],
    ['less', 12, 10, 'better'],
    ['more', 10, 12, 'better'],
    ['more', 12, 10, 'worse'],
    [undefined, 10, 20, 'other'],
    ['less', 0, 0, 'same'],
    ['less', 0, 1, 'worse'],
    ['less', 1, 0, 'better'],
  ] as const)('better is %s: %d to %d is %s', (better, first, second, verdict) => {
    const of = (value: number): Short => ({ name: 'x', better, values: [value] });
    expect(verdicts(of(first), of(second))).toEqual([verdict]);
  });

  it('say which figures only one of them has, and mark what differs', () => {
    const a = report({ name: 'CPU', better: 'less', values: [1] }, { name: 'gone', better: 'less', values: [1] });
    const b = report({ name: 'CPU', better: 'less', values: [3] }, { name: 'come', better: 'less', values: [1] });
    const text = comparison(a, b, 1.2);
    expect(text).toMatch(/CPU\s+1 ms\s+3 ms\s+x 3\.00\s+! worse/);
    expect(text).toContain('only in the first: sync: gone');
    expect(text).toContain('only in the second: sync: come');
  });
});

describe('the table', () => {
  it('has a heading for each suite, medians with units, ranges of several values, and the notes', () => {
    const text = table(
      report({ name: 'CPU', better: 'less', values: [1, 2.5, 300] }, { name: 'count', better: 'less', values: [7] }),
    );
    expect(text.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
      'sync median range',
      ' CPU 2.50 ms 1 to 300',
      ' count 7 ms',
      '',
      'note: sync: a note',
    ]);
  });
});
