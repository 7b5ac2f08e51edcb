// Runs suites one after the other into a report.

import { cpus, platform } from 'node:os';
import { type Figure, Notebook, type Report } from './figures.ts';
import type { Options } from './options.ts';
import { type Suite, SUITES } from './suites.ts';

export interface Outcome {
  readonly report: Report;
  readonly passed: boolean;
}

export interface Watcher {
  /** A suite begins. */
  readonly started: (suite: string) => void;
  /** The report so far: a long run that is ended keeps what it has. */
  readonly advanced: (report: Report) => void;
}

export async function runSuites(options: Options, { started, advanced }: Watcher): Promise<Outcome> {
  const figures: Figure[] = [];
  const remarks: string[] = [];
  let passed = true;
  for (const suite of chosen(options)) {
    started(suite.name);
    const notes = new Notebook(suite.name);
    if ((await suite.run(options, notes)) === false) passed = false;
    figures.push(...notes.figures);
    remarks.push(...notes.notes);
    advanced(reportOf(options, figures, remarks));
  }
  return { report: reportOf(options, figures, remarks), passed };
}

function chosen({ only }: Options): readonly Suite[] {
  if (only === undefined) return SUITES.filter(({ usual }) => usual);
  return only.map((name) => {
    const suite = SUITES.find((each) => each.name === name);
    if (suite === undefined)
      throw new Error(`no suite is called ${name}: there are ${SUITES.map((each) => each.name).join(', ')}`);
    return suite;
  });
}

function reportOf(options: Options, figures: readonly Figure[], notes: readonly string[]): Report {
  const { shape, proxies, rounds, quick, full, tls } = options;
  const all = cpus();
  return {
    version: 1,
    node: process.version,
    machine: { platform: platform(), cpus: all.length, model: all[0]?.model ?? 'unknown' },
    settings: { ...shape, proxies, rounds, quick, full, tls, modes: options.modes.join(' and ') },
    figures,
    notes,
  };
}
