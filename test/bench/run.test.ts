// The whole way once, on a tiny mesh: the built server, fake proxies in their own process, a report as JSON.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Report } from '../../bench/figures.ts';
import { readCommand } from '../../bench/options.ts';
import { median } from '../../bench/stats.ts';

const run = promisify(execFile);
const BENCH = ['--import', 'tsx', '--import', './bench/built.mjs', 'bench/main.ts'];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'meltemi-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('npm run bench', () => {
  it('measures a tiny mesh and writes what it found as JSON', async () => {
    const file = join(folder, 'report.json');
    const sizes = ['--quick', '--services', '8', '--endpoints', '2', '--proxies', '4'];
    await run(process.execPath, [...BENCH, ...sizes, 'engine', 'propagation', '--json', file], { timeout: 110_000 });
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    expect(report).toMatchObject({ version: 1, settings: { services: 8, proxies: 4 }, notes: [] });
    expect(new Set(report.figures.map(({ suite }) => suite))).toEqual(new Set(['engine', 'propagation']));
    const value = (name: string): number | undefined => {
      const figure = report.figures.find((each) => each.name === name);
      return figure === undefined ? undefined : median(figure.values);
    };
    // The counts of one change, which no busy machine alters.
    expect(value('endpoint: rendered')).toBe(1);
    expect(value('endpoint: pushes')).toBe(4);
    expect(value('delta, endpoint: responses per proxy')).toBe(1);
    expect(value('delta, route weight: responses per proxy')).toBe(1);
    expect(value('delta, scale: needless bytes')).toBe(0);
    for (const { values } of report.figures) for (const each of values) expect(Number.isFinite(each)).toBe(true);
  }, 120_000);

  it('lets the proxies connect over TLS, each with a certificate', async () => {
    const file = join(folder, 'tls.json');
    const sizes = ['--quick', '--tls', '--services', '8', '--endpoints', '2', '--proxies', '4'];
    await run(process.execPath, [...BENCH, ...sizes, 'sync', '--json', file], { timeout: 110_000 });
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    expect(report.settings).toMatchObject({ tls: true });
    const value = (name: string) => report.figures.find((each) => each.name === name)?.values;
    expect(value('delta, cold: responses per proxy')).toEqual([4]);
    expect(value('delta, cold: streams lost')).toEqual([0]);
  }, 120_000);

  it('says what is wrong with its arguments', () => {
    expect(() => readCommand(['--services', 'many'])).toThrow('--services many: expected a number above 0');
    expect(() => readCommand(['--mode', 'x'])).toThrow('--mode x: expected delta, sotw or both');
    expect(() => readCommand(['--compare', 'a'])).toThrow('--compare needs two files');
    expect(() => readCommand(['--nonsense'])).toThrow('--nonsense');
    expect(readCommand(['sync', '--only', 'boot,churn'])).toMatchObject({
      options: { only: ['sync', 'boot', 'churn'] },
    });
  });
});
