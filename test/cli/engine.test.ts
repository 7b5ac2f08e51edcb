import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { engineFlags } from '../../src/cli/engine.ts';

// Everything that is allocated lives on, so that the young generation grows as far as it may; prints its size, MB.
const ALLOCATES = `
  import { getHeapSpaceStatistics } from 'node:v8';
  const kept = [];
  for (let i = 0; i < 4_000_000; i++) kept.push({ i, of: [i] });
  const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
  console.log(young.space_size / 1024 / 1024);
`;
const TWICE_16 = 33;

let home: string;
let program: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'meltemi-engine-'));
  mkdirSync(join(home, 'dist'));
  program = join(home, 'dist', 'main.js');
  writeFileSync(join(home, 'package.json'), JSON.stringify({ type: 'module' }));
  writeFileSync(program, ALLOCATES);
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

test('a worker holds its young generation small, whatever this version of Node.js takes by itself', () => {
  const printed = execFileSync(process.execPath, [...engineFlags(process.versions.node), program], {
    encoding: 'utf8',
  });
  expect(Number(printed)).toBeLessThanOrEqual(TWICE_16);
});

test('so does a control plane that the entry point of the image starts', () => {
  const path = `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`;
  const env = { ...process.env, PATH: path, MELTEMI_HOME: home };
  const printed = execFileSync('sh', ['image/meltemi', 'serve'], { encoding: 'utf8', env });
  expect(Number(printed)).toBeLessThanOrEqual(TWICE_16);
});
