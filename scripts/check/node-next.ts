// The same build under a newer Node, whose binary the npm package `node` carries: the whole unit suite, then a start.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const VERSION = process.argv[2] ?? '24';

const work = mkdtempSync(join(tmpdir(), 'meltemi-node-'));
try {
  writeFileSync(join(work, 'package.json'), '{"name":"node-next","private":true}');
  execFileSync('npm', ['install', '--no-fund', '--no-audit', `node@${VERSION}`], { cwd: work, stdio: 'inherit' });
  const node = join(work, 'node_modules', 'node', 'bin', 'node');
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
  ];
  execFileSync(node, [vitest, 'run', ...folders], { env, stdio: 'inherit' });
} finally {
  rmSync(work, { recursive: true, force: true });
}
