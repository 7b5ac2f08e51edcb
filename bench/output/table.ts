// Reports as text: aligned columns, a heading for each suite.

import type { Figure, Report } from '../figures.ts';
import { median } from '../stats.ts';

/** Name, median and range of each figure. */
export function table({ figures, notes }: Report): string {
  const sections = bySuite(figures).map(([suite, group]) => {
    const rows = group.map(({ name, unit, values }) => [
      `  ${name}`,
      withUnit(median(values), unit),
      values.length === 1 ? '' : `${show(Math.min(...values))} to ${show(Math.max(...values))}`,
    ]);
    return aligned([[suite, 'median', 'range'], ...rows]);
  });
  return [...sections, ...notes.map((note) => `note: ${note}`)].join('\n\n');
}

export function bySuite(figures: readonly Figure[]): readonly (readonly [string, readonly Figure[]])[] {
  const suites = new Map<string, Figure[]>();
  for (const figure of figures) suites.set(figure.suite, [...(suites.get(figure.suite) ?? []), figure]);
  return [...suites];
}

export function withUnit(value: number, unit: string): string {
  return `${show(value)} ${unit}`.trimEnd();
}

/** Three digits that count, at least. */
export function show(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : value.toFixed(3);
}

export function aligned(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}
