// Lines over a numeric axis: sweeps (both axes logarithmic) and courses over time.

import type { Point } from '../stats.ts';
import { COLOURS, fixed, page, PLOT, segment, text, yAt } from './frame.ts';
import { linearScale, logScale, type Scale, tickText } from './scale.ts';

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface LineChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  readonly log: boolean;
}

export function lineChart({ title, xLabel, yLabel, series, log }: LineChart): string {
  const points = series.flatMap((each) => each.points);
  const scaleOf = log ? logScale : linearScale;
  const [x, y] = [scaleOf(points.map((point) => point.x)), scaleOf(points.map((point) => point.y))];
  const xAt = (value: number): number => PLOT.left + x.at(value) * (PLOT.right - PLOT.left);
  return page({ title, xLabel, yLabel, legend: series.map(({ name }) => name) }, y, [
    ...xTicks(x, xAt),
    ...series.flatMap(({ points: own }, index) => {
      const places = [...own].sort((a, b) => a.x - b.x).map((point) => [xAt(point.x), yAt(y, point.y)] as const);
      const colour = index % COLOURS;
      const path = places.map(([px, py]) => `${fixed(px)},${fixed(py)}`).join(' ');
      // A course over time has too many points to mark each.
      const dots = places.length > 24 ? [] : places;
      return [
        `<polyline class="line s${colour}" points="${path}"/>`,
        ...dots.map(([px, py]) => `<circle class="f${colour}" cx="${fixed(px)}" cy="${fixed(py)}" r="3"/>`),
      ];
    }),
  ]);
}

function xTicks(scale: Scale, xAt: (value: number) => number): readonly string[] {
  return scale.ticks.flatMap((tick) => [
    segment(xAt(tick), PLOT.bottom, xAt(tick), PLOT.bottom + 5, 'axis'),
    text(xAt(tick), PLOT.bottom + 20, tickText(tick), 'dim', 'middle'),
  ]);
}
