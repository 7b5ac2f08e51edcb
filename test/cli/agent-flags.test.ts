import { Command } from 'commander';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addAgentFlags, readAgentFlags } from '../../src/cli/agent-flags.ts';

/** As the whole program reads it; undefined where that refuses, or answers by itself. */
function byCommander(args: readonly string[]): { role: string | undefined; flags: object } | undefined {
  const silent = { writeErr: () => undefined, writeOut: () => undefined };
  const command = addAgentFlags(new Command('agent').argument('[role]')).exitOverride().configureOutput(silent);
  try {
    command.parse([...args], { from: 'user' });
  } catch {
    return undefined;
  }
  return { role: command.args[0], flags: command.opts() };
}

const NAMES = [
  'domain',
  'statusPort',
  'concurrency',
  'log_as_json',
  'log_output_level',
  'envoyPath',
  'help',
  'nonsense',
];

describe("an agent's arguments, without a library", () => {
  it('are read as with it, or left to it', () => {
    const word = fc.constantFrom('sidecar', 'router', '', '8', '-', '--', '-1', '-h', 'a=b', 'shop.svc.cluster.local');
    const flag = fc.constantFrom(...NAMES).map((name) => `--${name}`);
    const inline = fc.tuple(flag, word).map(([name, value]) => `${name}=${value}`);
    fc.assert(
      fc.property(fc.array(fc.oneof(word, flag, inline), { maxLength: 6 }), (args) => {
        const read = readAgentFlags(args);
        if (read !== undefined) expect(read).toEqual(byCommander(args));
      }),
      { numRuns: 2000 },
    );
  });

  it('of an injected proxy are read here', () => {
    const args = ['sidecar', '--domain', 'shop.svc.cluster.local', '--proxyLogLevel=warning', '--log_as_json'];
    expect(readAgentFlags([...args, '--concurrency', '2'])).toEqual({
      role: 'sidecar',
      flags: { domain: 'shop.svc.cluster.local', proxyLogLevel: 'warning', log_as_json: true, concurrency: 2 },
    });
  });
});
