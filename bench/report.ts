// Figures as a table, as JSON, and two of them side by side.

export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
}

export interface Report {
  readonly node: string;
  readonly figures: readonly Figure[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Name, median and range of each figure. */
export function table({ figures }: Report): string {
  const rows = figures.map(({ name, unit, values }) => [
    name,
    `${show(median(values))} ${unit}`,
    `${show(Math.min(...values))} to ${show(Math.max(...values))}`,
  ]);
  return aligned([['', 'median', 'range'], ...rows]);
}

/** Medians of two reports and what the second is of the first. */
export function comparison(a: Report, b: Report): string {
  const rows = a.figures.flatMap(({ name, unit, values }) => {
    const other = b.figures.find((figure) => figure.name === name);
    if (other === undefined) return [];
    const [first, second] = [median(values), median(other.values)];
    return [
      [
        name,
        `${show(first)} ${unit}`,
        `${show(second)} ${unit}`,
        first === 0 ? '' : `x ${(second / first).toFixed(2)}`,
      ],
    ];
  });
  return aligned([['', 'first', 'second', ''], ...rows]);
}

function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
        .join('')
        .trimEnd(),
    )
    .join('\n');
}
