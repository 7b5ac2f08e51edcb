// The charts of a report: every figure that has a place in one. In: a report. Out: SVG by file name.

import type { Figure, Place, Report } from '../figures.ts';
import { median } from '../stats.ts';
import { barChart } from '../svg/bar-chart.ts';
import { lineChart, type Series } from '../svg/line-chart.ts';

interface Placed {
  readonly at: Place;
  readonly figure: Figure;
}

const TITLES: Readonly<Record<string, readonly [title: string, xLabel: string, yLabel: string]>> = {
  shapes: ['Generation by shape of mesh', '', 'time, ms'],
  soak: ['Memory over time, at rest between cycles', 'minutes', 'MB'],
  'growth, by services': ['CPU of one change, by services', 'services', 'CPU, ms'],
  'growth, by proxies': ['CPU of one change, by proxies', 'connected proxies', 'CPU, ms'],
  'growth, by endpoints': ['CPU of one change, by endpoints', 'endpoints of each service', 'CPU, ms'],
};

export function charts({ figures }: Report): ReadonlyMap<string, string> {
  const placed = new Map<string, Placed[]>();
  for (const figure of figures) {
    const { at } = figure;
    if (at !== undefined) placed.set(at.chart, [...(placed.get(at.chart) ?? []), { at, figure }]);
  }
  return new Map([...placed].map(([name, parts]) => [`${fileName(name)}.svg`, drawn(name, parts)]));
}

function fileName(chart: string): string {
  return chart.toLowerCase().replace(/[^a-z0-9]+/g, '-');
}

function drawn(name: string, parts: readonly Placed[]): string {
  const [title, xLabel, yLabel] = TITLES[name] ?? [name, '', parts[0]?.figure.unit ?? ''];
  const names = [...new Set(parts.map(({ at }) => at.series))];
  if (parts.every(({ at }) => typeof at.x === 'number')) {
    const series = names.map((each) => seriesOf(each, parts));
    return lineChart({ title, xLabel, yLabel, series, log: name.startsWith('growth') });
  }
  const groups = [...new Set(parts.map(({ at }) => String(at.x)))].map((group) => ({
    name: group,
    values: names.map((each) => {
      const found = parts.find(({ at }) => at.series === each && String(at.x) === group);
      return found === undefined ? undefined : median(found.figure.values);
    }),
  }));
  return barChart({ title, xLabel, yLabel, series: names, groups });
}

function seriesOf(name: string, parts: readonly Placed[]): Series {
  const own = parts.filter(({ at }) => at.series === name);
  return { name, points: own.map(({ at, figure }) => ({ x: Number(at.x), y: median(figure.values) })) };
}
