// What commands print: tables as kubectl and istioctl align them, JSON, YAML. Pure but for the YAML library, which is
// loaded when it is asked for.

import { UsageError } from './program.ts';

/** Cells under each other; every cell but the last of a row is padded, by `gap` blanks beyond the widest of its column. */
export function textTable(rows: readonly (readonly string[])[], gap: number): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell));
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) + gap - widthOf(cell))))
      .join('');
  return rows.map((row) => `${line(row)}\n`).join('');
}

/** In characters, which may be two code units. */
function widthOf(cell: string): number {
  return Array.from(cell).length;
}

/** Checks `--output` against what a command can print. */
export function outputFormat<Format extends string>(given: string, formats: readonly Format[]): Format {
  const format = formats.find((candidate) => candidate === given);
  if (format !== undefined) return format;
  throw new UsageError(`--output ${given}: expected ${formats.slice(0, -1).join(', ')} or ${formats.at(-1)}`, 64);
}

/** A value as indented JSON, or as YAML with its keys in order. */
export async function structured(value: unknown, format: 'json' | 'yaml'): Promise<string> {
  if (format === 'json') return `${JSON.stringify(value, undefined, 4)}\n`;
  const { stringify } = await import('yaml');
  return stringify(value, {
    sortMapEntries: true,
    lineWidth: 0,
    indentSeq: false,
    aliasDuplicateObjects: false,
    singleQuote: true,
  });
}

/** A number given as a flag. */
export function portFlag(text: string | undefined): number {
  if (text === undefined) return 0;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new UsageError(`--port ${text}: expected a port`, 64);
  return port;
}

/** A flag that is on unless it says otherwise, such as `--verbose=false`. */
export function booleanFlag(name: string, value: string | boolean): boolean {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new UsageError(`--${name} ${value}: expected true or false`, 64);
}
