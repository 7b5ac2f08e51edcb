// Needs root and network namespaces: a namespace with rules and one without.

import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoPods } from '../support/netns.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const obstacle = whyNoPods();
if (obstacle !== undefined) {
  if (process.env['CI'] === 'true') throw new Error(`capture can not be proven: ${obstacle}`);
  console.warn(`the test of --run-validation is skipped: ${obstacle}`);
}

describe.skipIf(obstacle !== undefined)('iptables --run-validation', () => {
  const namespace = `mt-val-${process.pid}`;

  /** As the validation container runs it: as the proxy's user, whose own traffic the rules leave alone but for this. */
  const run = (user: readonly string[], ...args: readonly string[]) => {
    const command = [process.execPath, '--import', 'tsx', 'src/main.ts', 'iptables', ...args];
    const all = ['netns', 'exec', namespace, ...user, ...command];
    return spawnSync('ip', all, { cwd: ROOT, encoding: 'utf8' });
  };
  const PROXY = ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups'];

  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', namespace]);
    execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  });
  afterAll(() => {
    execFileSync('ip', ['netns', 'del', namespace]);
  });

  it('fails with status 126 where no rules are, and says so; passes where they are', () => {
    const without = run(PROXY, '--run-validation', '--skip-rule-apply');
    expect(without.status, without.stderr).toBe(126);
    expect(without.stderr).toContain('no capture rules are in force');
    // Somebody else sets the rules, as the CNI plugin does.
    expect(run([], '-p', '15001', '-z', '15006').status).toBe(0);
    const within = run(PROXY, '--run-validation', '--skip-rule-apply');
    expect(within.status, within.stderr).toBe(0);
    expect(within.stdout).toContain('traffic capture is in force');
  }, 30_000);
});
