// The command line of `npm run bench`. In: arguments. Out: options, or what is wrong with them. No I/O.

import { parseArgs } from 'node:util';
import type { Mode } from '../src/xds/encode.ts';
import { type MeshShape, SMALL_MESH } from './mesh.ts';

export interface Options {
  readonly shape: MeshShape;
  readonly proxies: number;
  readonly rounds: number;
  readonly modes: readonly Mode[];
  readonly rate: number;
  readonly seconds: number;
  readonly minutes: number;
  readonly quick: boolean;
  readonly full: boolean;
  /** Proxies connect over TLS. */
  readonly tls: boolean;
  /** Names of suites; undefined: the usual ones. */
  readonly only: readonly string[] | undefined;
  readonly shapes: readonly string[] | undefined;
  /** What istiod's own benchmarks printed on this machine. */
  readonly istiod: string | undefined;
  readonly json: string | undefined;
  readonly svg: string | undefined;
}

export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'run'; readonly options: Options }
  | { readonly kind: 'compare'; readonly first: string; readonly second: string; readonly threshold: number }
  | { readonly kind: 'draw'; readonly from: string; readonly folder: string };

const FLAGS = {
  help: { type: 'boolean', short: 'h' },
  only: { type: 'string' },
  quick: { type: 'boolean' },
  full: { type: 'boolean' },
  tls: { type: 'boolean' },
  services: { type: 'string' },
  endpoints: { type: 'string' },
  namespaces: { type: 'string' },
  flavour: { type: 'string' },
  proxies: { type: 'string' },
  rounds: { type: 'string' },
  mode: { type: 'string' },
  rate: { type: 'string' },
  seconds: { type: 'string' },
  minutes: { type: 'string' },
  shape: { type: 'string', multiple: true },
  istiod: { type: 'string' },
  json: { type: 'string' },
  svg: { type: 'string' },
  from: { type: 'string' },
  compare: { type: 'boolean' },
  threshold: { type: 'string' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>['values'];

/** Throws an Error with one line for whoever typed it. */
export function readCommand(args: readonly string[]): Command {
  const { values, positionals } = parseArgs({ args: [...args], options: FLAGS, allowPositionals: true });
  if (values.help === true) return { kind: 'help' };
  if (values.compare === true) {
    const [first, second] = positionals;
    if (first === undefined || second === undefined) throw new Error('--compare needs two files: --compare A B');
    return { kind: 'compare', first, second, threshold: numberOf('threshold', values.threshold, 1.15) };
  }
  if (values.from !== undefined) {
    if (values.svg === undefined) throw new Error('--from FILE draws a stored report: it needs --svg DIR');
    return { kind: 'draw', from: values.from, folder: values.svg };
  }
  return { kind: 'run', options: optionsOf(values, positionals) };
}

function optionsOf(values: Values, positionals: readonly string[]): Options {
  const quick = values.quick === true;
  const { flavour = 'entries' } = values;
  if (flavour !== 'entries' && flavour !== 'kubernetes')
    throw new Error(`--flavour ${flavour}: expected entries or kubernetes`);
  const only = [...positionals, ...(values.only?.split(',') ?? [])];
  return {
    shape: {
      ...SMALL_MESH,
      services: numberOf('services', values.services, quick ? 50 : 1000),
      endpoints: numberOf('endpoints', values.endpoints, SMALL_MESH.endpoints),
      namespaces: numberOf('namespaces', values.namespaces, quick ? 2 : SMALL_MESH.namespaces),
      flavour,
    },
    proxies: numberOf('proxies', values.proxies, quick ? 10 : 200),
    rounds: numberOf('rounds', values.rounds, quick ? 1 : 5),
    modes: modesOf(values.mode ?? (quick ? 'delta' : 'both')),
    rate: numberOf('rate', values.rate, 10),
    seconds: numberOf('seconds', values.seconds, quick ? 2 : 8),
    minutes: numberOf('minutes', values.minutes, 30),
    quick,
    full: values.full === true,
    tls: values.tls === true,
    only: only.length === 0 ? undefined : only,
    shapes: values.shape,
    istiod: values.istiod,
    json: values.json,
    svg: values.svg,
  };
}

function modesOf(text: string): readonly Mode[] {
  if (text === 'both') return ['delta', 'sotw'];
  if (text === 'delta' || text === 'sotw') return [text];
  throw new Error(`--mode ${text}: expected delta, sotw or both`);
}

function numberOf(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new Error(`--${name} ${text}: expected a number above 0`);
  return value;
}
