// For each code a mesh that has the mistake and one that hasn't: `cases/CODE.yaml`. Every analyzer has one, and `meltemi
// analyze` is what runs them.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { FINDING_CODES } from '../../src/config/codes.ts';
import { commandLine, type Outcome } from '../cli/support.ts';

interface Case {
  /** `KIND NAMESPACE/NAME PATH`; `-` for what is not known. */
  readonly expect: readonly string[];
  readonly bad: readonly (object | string)[];
  readonly good: readonly object[];
  readonly mesh?: object;
  readonly networks?: object;
  readonly goodNetworks?: object;
}

interface Message {
  readonly code: string;
  readonly level: string;
  readonly origin: string;
  readonly path?: string;
  readonly message: string;
}

interface Settings {
  readonly mesh?: object | undefined;
  readonly networks?: object | undefined;
}

const folder = mkdtempSync(join(tmpdir(), 'meltemi-analyze-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

function write(objects: readonly (object | string)[]): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, objects.map((each) => (typeof each === 'string' ? each : stringify(each))).join('\n---\n'));
  return path;
}

async function messages(
  objects: readonly (object | string)[],
  { mesh, networks }: Settings,
): Promise<readonly Message[]> {
  const settings = (value: object | undefined, flag: string): readonly string[] =>
    value === undefined ? [flag, join(folder, 'none')] : [flag, write([value])];
  const args = [...settings(mesh, '--meshConfig'), ...settings(networks, '--networksConfig')];
  const { out } = await commandLine('analyze', write(objects), '-o', 'json', ...args);
  return JSON.parse(out) as readonly Message[];
}

const CASES = join(import.meta.dirname, 'cases');
const codes = readdirSync(CASES).map((name) => name.replace('.yaml', ''));
const cases = codes.flatMap((code) =>
  (parse(readFileSync(join(CASES, `${code}.yaml`), 'utf8')) as readonly Case[]).map(
    (each, i) => [code, i, each] as const,
  ),
);

describe('what each code stands for', () => {
  it.each(cases)('%s (%i) is found where it is, and not where it is not', async (code, _index, each) => {
    const about = (all: readonly Message[]): readonly string[] =>
      all
        .filter((found) => found.code === code)
        .map(({ origin, path }) => `${origin === '' ? '-' : origin} ${path ?? '-'}`);
    expect(about(await messages(each.bad, each))).toEqual(each.expect);
    expect(about(await messages(each.good, { ...each, networks: each.goodNetworks ?? each.networks }))).toEqual([]);
  });

  it('has a case for every code of istioctl', () => {
    expect(Object.keys(FINDING_CODES).filter((code) => code.startsWith('IST') && !codes.includes(code))).toEqual([]);
  });
});

const BROKEN = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'v', namespace: 'shop' },
    spec: { hosts: ['x.example.com'], http: [{ route: [{ destination: { host: 'gone' } }] }] },
  },
];

const analyze = (...args: string[]): Promise<Outcome> => commandLine('analyze', ...args);

describe('meltemi analyze', () => {
  it('writes lines as istioctl does, and exits with 79', async () => {
    const path = write(BROKEN);
    expect(await analyze(path)).toEqual({
      code: 79,
      out: [
        `Info [IST0102] (Namespace shop ${path}:1) metadata.labels: is not enabled for injection (expected: istio-injection=enabled, or =disabled to say that this is meant)`,
        `Error [IST0101] (VirtualService shop/v ${path}:7) spec.http[0].route[0].destination: host gone.shop.svc.cluster.local is not a known service`,
        '',
      ].join('\n'),
      err: 'Error: 1 findings reach the failure threshold.\n',
    });
  });

  it('has thresholds, namespaces and suppressions', async () => {
    const path = write(BROKEN);
    const codesOf = async (...args: string[]): Promise<readonly string[]> => {
      const { out } = await analyze(path, '-o', 'json', ...args);
      return (JSON.parse(out) as readonly Message[]).map((each) => each.code);
    };
    expect(await codesOf('--output-threshold', 'Error')).toEqual(['IST0101']);
    expect(await codesOf('-S', 'IST0101=VirtualService v.*')).toEqual(['IST0102']);
    expect(await codesOf('-S', '*=Namespace *', '-S', 'IST0101=VirtualService other.shop')).toEqual(['IST0101']);
    expect(await codesOf('-n', 'other')).toEqual([]);
    expect(await codesOf('-n', 'other', '-A')).toHaveLength(2);
    expect(await codesOf('--analyzer', 'injection.namespaces')).toEqual(['IST0102']);
    expect((await analyze(path, '-S', 'IST0101=*')).code).toBe(0);
    expect((await analyze(path, '-S', 'IST0101=*', '--failure-threshold', 'info')).code).toBe(79);
  });

  it('believes objects that say what they mean', async () => {
    const meant = {
      ...BROKEN[1],
      metadata: { name: 'v', namespace: 'shop', annotations: { 'galley.istio.io/analyze-suppress': 'IST0101' } },
    };
    expect(await analyze(write([meant]))).toMatchObject({ code: 0, out: '\n' });
  });

  it.each([
    [['analyze'], 64, 'nothing to analyze'],
    [['analyze', '/nowhere.yaml'], 65, ''],
    [['analyze', 'x', '-S', 'IST0101'], 64, '--suppress'],
    [['analyze', 'x', '--failure-threshold', 'much'], 64, '--failure-threshold much'],
    [['analyze', 'x', '--analyzer', 'much'], 64, 'see --list-analyzers'],
    [['analyze', '--server', '127.0.0.1:1'], 1, 'no control plane answers'],
  ])('%j exits with %i', async (args, code, text) => {
    const outcome = await commandLine(...args);
    expect(outcome).toMatchObject({ code, err: expect.stringContaining(text) });
  });

  it('lists its analyzers', async () => {
    expect((await analyze('-L')).out).toContain('virtualservice.hosts\n');
  });
});
