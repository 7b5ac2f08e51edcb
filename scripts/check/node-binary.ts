// Another Node than the one at hand, whose binary the npm package `node` carries.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Installs the newest of a major version below a folder; gives the path of its binary. */
export function installNode(major: string, folder: string): string {
  writeFileSync(join(folder, 'package.json'), '{"name":"node-next","private":true}');
  execFileSync('npm', ['install', '--no-fund', '--no-audit', `node@${major}`], { cwd: folder, stdio: 'inherit' });
  return join(folder, 'node_modules', 'node', 'bin', 'node');
}
