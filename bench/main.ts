// `npm run bench`: every benchmark as a table.
//
//   --json FILE       also as JSON
//   --compare A B     two such files side by side, nothing is run
//   --services N --proxies N --rounds N
//   --only startup,codec,changes,sync   and ondemand, which needs Envoys

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { changes } from './changes.ts';
import { codec } from './codec.ts';
import { SMALL_MESH } from './mesh.ts';
import { onDemand } from './on-demand.ts';
import { comparison, type Figure, type Report, table } from './report.ts';
import { startup } from './startup.ts';
import { sync } from './sync.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    compare: { type: 'boolean', default: false },
    services: { type: 'string', default: '1000' },
    proxies: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'startup,codec,changes,sync' },
  },
});

const readReport = (file = ''): Report => JSON.parse(readFileSync(file, 'utf8')) as Report;

if (values.compare) {
  console.log(comparison(readReport(positionals[0]), readReport(positionals[1])));
} else {
  const rounds = Number(values.rounds);
  const shape = { ...SMALL_MESH, services: Number(values.services) };
  const proxies = Number(values.proxies);
  const suites: Readonly<Record<string, () => Promise<readonly Figure[]> | readonly Figure[]>> = {
    startup: () => startup(rounds),
    codec: () => codec(rounds),
    changes: () => changes({ shape, proxies, rounds }),
    ondemand: () => onDemand({ ...shape, endpoints: 2, flavour: 'entries' }),
    sync: async () => [
      ...(await sync({ shape, proxies, rounds, mode: 'delta' })),
      ...(await sync({ shape, proxies, rounds, mode: 'sotw' })),
    ],
  };
  const figures: Figure[] = [];
  for (const name of values.only.split(',')) {
    const suite = suites[name];
    if (suite === undefined) throw new Error(`no suite is called ${name}: ${Object.keys(suites).join(', ')}`);
    figures.push(...(await suite()));
  }
  const report: Report = { node: process.version, figures };
  console.log(table(report));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
}
