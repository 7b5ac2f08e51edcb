// Compares what Meltemi gives with dumps of a reference control plane, and refuses to be less alike than it was.
//
//   PARITY_CORPUS=DIR PARITY_SCORER=CMD npm run parity [-- SCENARIO…] [--update] [--live] [--out DIR]
//
// CORPUS holds a folder per scenario (input.yaml, proxies.yaml, maybe mesh.yaml and meshNetworks.yaml, and reference/PROXY.json);
// CMD knows `dump` and `score`. What is equal of what there is, per scenario, is kept in test/parity/score.json.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from './command.ts';
import { compareScores, type Scores } from './scores.ts';
import { dumpScenario } from './scenario.ts';

const RECORD = join(import.meta.dirname, '../../test/parity/score.json');
/** Scenarios at once: each is a server in this process and a client beside it. */
const AT_ONCE = 3;
/** Kinds that are not translated yet. */
const NOT_COUNTED = /^(gwapi-.*|ingress|mcs)$/;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    update: { type: 'boolean', default: false },
    live: { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    diff: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
});

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    console.error(`parity: ${name} is not set (see scripts/parity/main.ts)`);
    process.exit(2);
  }
  return resolve(value);
}

const corpus = setting('PARITY_CORPUS');
const scorer = setting('PARITY_SCORER');
const scenarios = readdirSync(corpus, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(corpus, entry.name, 'proxies.yaml')))
  .map(({ name }) => name)
  .filter((name) => (positionals.length > 0 ? positionals.includes(name) : flags.all || !NOT_COUNTED.test(name)));

const out = flags.out === undefined ? mkdtempSync(join(tmpdir(), 'meltemi-parity-')) : resolve(flags.out);
mkdirSync(out, { recursive: true });
const problems: string[] = [];
const waiting = [...scenarios];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const note = await dumpScenario({ scorer, corpus, name, out: join(out, name), live: flags.live });
      if (note !== '') problems.push(`${name}: ${note}`);
    }
  }),
);

const report = join(out, 'score.json');
const text = await run(scorer, [
  'score',
  '-diff',
  flags.diff,
  '-json',
  report,
  '-only',
  scenarios.join(','),
  corpus,
  out,
]);
console.log(text);
const scores = scoresOf(JSON.parse(readFileSync(report, 'utf8')) as Report);
const recorded = existsSync(RECORD) ? (JSON.parse(readFileSync(RECORD, 'utf8')) as Scores) : {};
if (flags.update) {
  mkdirSync(join(RECORD, '..'), { recursive: true });
  writeFileSync(RECORD, `${JSON.stringify(sorted({ ...recorded, ...scores }), undefined, 2)}\n`);
} else {
  problems.push(...compareScores(recorded, scores, positionals.length === 0));
}
for (const problem of problems.sort()) console.error(`parity: ${problem}`);
if (flags.out === undefined) rmSync(out, { recursive: true, force: true });
process.exit(problems.length > 0 ? 1 : 0);

function sorted(scores: Scores): Scores {
  return Object.fromEntries(Object.entries(scores).sort(([a], [b]) => (a < b ? -1 : 1)));
}

interface Report {
  readonly scenarios: readonly {
    readonly scenario: string;
    readonly total: { readonly Both: number; readonly Missing: number; readonly Extra: number; readonly Equal: number };
  }[];
}

function scoresOf(report: Report): Scores {
  const entries = report.scenarios.map(
    ({ scenario, total }) =>
      [scenario, { equal: total.Equal, union: total.Both + total.Missing + total.Extra }] as const,
  );
  return Object.fromEntries(entries);
}
