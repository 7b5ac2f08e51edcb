// The same build under a newer Node: the unit tests of what has most to do with it.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { installNode } from './node-binary.ts';

const VERSION = process.argv[2] ?? '24';

const work = mkdtempSync(join(tmpdir(), 'meltemi-node-'));
try {
  const node = installNode(VERSION, work);
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env['PATH'] ?? ''}` };
  console.log(`Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`);
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  const folders = [
    'test/lib',
    'test/config',
    'test/codec',
    'test/ca',
    'test/registry',
    'test/snapshot',
    'test/translate',
    'test/xds',
    'test/store',
    'test/sources',
    'test/plane',
    'test/cli/engine.test.ts',
  ];
  execFileSync(node, [vitest, 'run', ...folders], { env, stdio: 'inherit' });
} finally {
  rmSync(work, { recursive: true, force: true });
}
