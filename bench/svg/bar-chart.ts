// Bars in groups, one colour for each series; logarithmic where the values lie far apart.

import { COLOURS, fixed, page, PLOT, text, yAt } from './frame.ts';
import { linearScale, logScale } from './scale.ts';

export interface BarChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly string[];
  readonly groups: readonly {
    readonly name: string;
    /** One for each series; undefined draws nothing. */
    readonly values: readonly (number | undefined)[];
  }[];
}

/** From where on a common linear axis hides the small ones. */
const FAR_APART = 50;

/** Names longer than this are written aslant. */
const SHORT = 11;

export function barChart({ title, xLabel, yLabel, series, groups }: BarChart): string {
  const values = groups.flatMap((group) => group.values).filter((value) => value !== undefined);
  const positive = values.filter((value) => value > 0);
  const log = positive.length > 0 && Math.max(...positive) / Math.min(...positive) > FAR_APART;
  const y = log ? logScale(positive) : linearScale(values);
  const room = (PLOT.right - PLOT.left) / groups.length;
  const bar = Math.min(28, (room * 0.8) / series.length);
  const aslant = groups.length > 8 || groups.some(({ name }) => name.length > Math.max(SHORT, room / 7));
  const drawn = groups.flatMap((group, index) => {
    const centre = PLOT.left + room * (index + 0.5);
    const from = centre - (bar * series.length) / 2;
    return [
      ...group.values.flatMap((value, at) => {
        if (value === undefined || !(value > 0)) return [];
        const top = Math.min(yAt(y, value), PLOT.bottom - 1);
        const place = `x="${fixed(from + at * bar)}" y="${fixed(top)}"`;
        return [
          `<rect class="f${at % COLOURS}" ${place} width="${fixed(bar - 1)}" height="${fixed(PLOT.bottom - top)}"/>`,
        ];
      }),
      aslant
        ? `<g transform="translate(${fixed(centre)} ${PLOT.bottom + 14}) rotate(-18)">${text(0, 0, group.name, 'ink', 'end')}</g>`
        : text(centre, PLOT.bottom + 18, group.name, 'ink', 'middle'),
    ];
  });
  return page({ title, xLabel, yLabel: log ? `${yLabel}, logarithmic` : yLabel, legend: series }, y, drawn);
}
