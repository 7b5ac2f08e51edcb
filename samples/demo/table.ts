// The live table. On a terminal it is drawn over itself, elsewhere once a second below the last one.

import type { Row, Tally } from './tally.ts';

let drawn = 0;

export function drawTable(tally: Tally, latencies: ReadonlyMap<string, number>, configDir: string): void {
  const lines = [
    ...header(),
    ...tally.rows().map(rowLine),
    '',
    pushLine(latencies),
    `edit ${configDir}/traffic.yaml and save: the split follows. Ctrl-C ends.`,
  ];
  const tty = process.stdout.isTTY === true;
  const over = tty && drawn > 0 ? `\x1b[${drawn}A` : '';
  const clear = tty ? '\x1b[K' : '';
  process.stdout.write(`${over}${lines.map((line) => `${clip(line, tty)}${clear}`).join('\n')}\n`);
  drawn = lines.length;
}

function clip(line: string, tty: boolean): string {
  return tty ? line.slice(0, Math.max(40, process.stdout.columns - 1)) : line;
}

function header(): readonly string[] {
  return [
    `${'SERVICE'.padEnd(13)}${'REQ/S'.padStart(7)}${'TOTAL'.padStart(8)}${'FAILED'.padStart(8)}  ${'VERSIONS'.padEnd(30)}CALLED BY (mTLS)`,
  ];
}

function rowLine(row: Row): string {
  const versions = [...row.versions].sort(([a], [b]) => (a < b ? -1 : 1)).filter(([version]) => version !== '');
  const split = versions.map(([version, share]) => `${version} ${Math.round(share * 100)}%`).join('  ');
  const callers = row.callers.map((caller) => caller.replace('spiffe://', '')).join(' ');
  const note = row.lastError === '' ? callers : `${callers}  last error: ${row.lastError}`;
  return `${row.name.padEnd(13)}${row.rate.toFixed(1).padStart(7)}${String(row.total).padStart(8)}${String(row.failed).padStart(8)}  ${split.padEnd(30)}${note}`;
}

function pushLine(latencies: ReadonlyMap<string, number>): string {
  const all = [...latencies.values()].sort((a, b) => a - b);
  if (all.length === 0) return 'pushes: none seen';
  const middle = all[Math.floor(all.length / 2)] ?? 0;
  return `pushes: ${all.length} proxies, last acknowledged after ${middle} ms (median), ${all.at(-1) ?? 0} ms (slowest)`;
}
