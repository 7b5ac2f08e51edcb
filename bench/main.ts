// `npm run bench`: see help.ts.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tuneEngine } from '../src/cli/engine.ts';
import type { Report } from './figures.ts';
import { helpText } from './help.ts';
import { type Options, readCommand } from './options.ts';
import { charts } from './output/charts.ts';
import { comparison } from './output/compare.ts';
import { table } from './output/table.ts';
import { runSuites } from './run.ts';

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const command = readCommand(process.argv.slice(2));
  switch (command.kind) {
    case 'help':
      console.log(helpText());
      return;
    case 'compare':
      console.log(comparison(readReport(command.first), readReport(command.second), command.threshold));
      return;
    case 'draw':
      draw(readReport(command.from), command.folder);
      return;
    case 'run':
      await run(command.options);
  }
}

async function run(options: Options): Promise<void> {
  // What runs in this process is run as the server runs it.
  tuneEngine(process.versions.node);
  const { report, passed } = await runSuites(options, {
    started: (suite) => console.error(`${suite} …`),
    advanced: (soFar) => {
      if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(soFar, undefined, 1)}\n`);
    },
  });
  console.log(table(report));
  if (options.svg !== undefined) draw(report, options.svg);
  if (!passed) process.exitCode = 1;
}

function draw(report: Report, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, svg] of charts(report)) writeFileSync(join(folder, name), svg);
}

function readReport(file: string): Report {
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  if (report.version !== 1) throw new Error(`${file}: not a report of this version`);
  return report;
}
