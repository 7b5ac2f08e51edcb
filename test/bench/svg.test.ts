import { describe, expect, it } from 'vitest';
import type { Figure, Place, Report } from '../../bench/figures.ts';
import { charts } from '../../bench/output/charts.ts';
import { barChart } from '../../bench/svg/bar-chart.ts';
import { lineChart } from '../../bench/svg/line-chart.ts';
import { linearScale, logScale, tickText } from '../../bench/svg/scale.ts';

describe('scales', () => {
  it('begin at zero and end at a round number', () => {
    const scale = linearScale([3, 87]);
    expect(scale.ticks).toEqual([0, 20, 40, 60, 80, 100]);
    expect(scale.at(50)).toBe(0.5);
    expect(linearScale([]).ticks.length).toBeGreaterThan(1);
  });

  it('by powers of ten take in all values', () => {
    const scale = logScale([3, 870]);
    expect(scale.ticks).toEqual([1, 10, 100, 1000]);
    expect(scale.at(1)).toBe(0);
    expect(scale.at(1000)).toBe(1);
    expect(logScale([0.002, 0.5]).ticks).toEqual([0.001, 0.01, 0.1, 1]);
    expect(logScale([10]).ticks).toEqual([10, 100]);
  });

  it('write short labels', () => {
    expect([0.5, 250, 1200, 5_000_000].map(tickText)).toEqual(['0.5', '250', '1.2k', '5M']);
  });
});

/** Every element opened is closed, in order; a document that isn't breaks the page that it stands in. */
function expectWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, closing, name, attributes = ''] of svg.matchAll(
    /<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(?:\/?)>/gi,
  )) {
    if (closing === '/') expect(open.pop()).toBe(name);
    else if (!svg.includes(`<${name}${attributes}/>`)) open.push(name ?? '');
  }
  expect(open).toEqual([]);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
}

describe('charts', () => {
  it('of lines: a polyline a series, labelled axes, a legend, both themes', () => {
    const svg = lineChart({
      title: 'Cost & size',
      xLabel: 'services',
      yLabel: 'CPU, ms',
      log: true,
      series: [
        { name: 'endpoint', points: [10, 100, 1000].map((x) => ({ x, y: 2 })) },
        { name: 'weight', points: [10, 100, 1000].map((x) => ({ x, y: x / 5 })) },
      ],
    });
    expectWellFormed(svg);
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg.match(/<circle/g)).toHaveLength(6);
    for (const text of ['Cost &amp; size', '>services<', '>CPU, ms<', '>endpoint<', 'prefers-color-scheme:dark'])
      expect(svg).toContain(text);
    // A flat line lies flat, a rising one rises.
    const [flat, rising] = [...svg.matchAll(/points="([^"]*)"/g)].map(([, points = '']) =>
      points.split(' ').map((point) => Number(point.split(',')[1])),
    );
    expect(new Set(flat).size).toBe(1);
    expect(rising).toEqual([...(rising ?? [])].sort((a, b) => b - a));
  });

  it('of bars: one for each value that there is, logarithmic where they lie far apart', () => {
    const svg = barChart({
      title: 'Shapes',
      xLabel: '',
      yLabel: 'ms',
      series: ['ours', 'theirs'],
      groups: [
        { name: 'http', values: [0.01, 5] },
        { name: 'tcp', values: [1, undefined] },
      ],
    });
    expectWellFormed(svg);
    expect(svg.match(/<rect class="f\d" x="[\d.]+" y="[\d.]+" width="[\d.]+" height="[\d.]+"\/>/g)).toHaveLength(3);
    expect(svg).toContain('ms, logarithmic');
  });

  it('of a report: one file for each chart that figures have a place in', () => {
    const figure = (name: string, at: Place): Figure => ({ suite: 's', name, unit: 'ms', values: [1, 2, 3], at });
    const report: Report = {
      version: 1,
      node: '',
      machine: { platform: '', cpus: 1, model: '' },
      settings: {},
      notes: [],
      figures: [
        figure('a', { chart: 'growth, by services', series: 'endpoint', x: 10 }),
        figure('b', { chart: 'growth, by services', series: 'endpoint', x: 100 }),
        figure('c', { chart: 'propagation, delta', series: 'p50', x: 'endpoint' }),
        { suite: 's', name: 'd', unit: 'ms', values: [1] },
      ],
    };
    const made = charts(report);
    expect([...made.keys()]).toEqual(['growth-by-services.svg', 'propagation-delta.svg']);
    for (const svg of made.values()) expectWellFormed(svg);
  });
});
