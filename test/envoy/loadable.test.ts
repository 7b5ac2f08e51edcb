// Everything that is recorded of Meltemi's output is loaded by real Envoys: each golden case, and with PARITY_CORPUS each
// scenario of a corpus (a folder per scenario: input.yaml, proxies.yaml, maybe mesh.yaml and meshNetworks.yaml).

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { envoysForTests } from '../support/envoy.ts';
import { bootstrapsOf, complaintsOf, loadableMesh } from '../support/loadable.ts';

type Json = Readonly<Record<string, unknown>>;

interface Case {
  readonly name: string;
  readonly files: readonly string[];
  readonly nodes: readonly Json[];
  readonly meshConfig?: string | undefined;
  readonly networksConfig?: string | undefined;
}

const foldersIn = (root: string): readonly string[] =>
  readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

function goldenCases(): readonly Case[] {
  const root = fileURLToPath(new URL('../golden', import.meta.url));
  return foldersIn(root).flatMap((feature) =>
    foldersIn(join(root, feature)).map((name) => {
      const folder = join(root, feature, name);
      const nodes = parse(readFileSync(join(folder, 'proxies.yaml'), 'utf8')) as Readonly<Record<string, Json>>;
      return { name: `${feature}/${name}`, files: [join(folder, 'in.yaml')], nodes: Object.values(nodes) };
    }),
  );
}

function corpusCases(root: string): readonly Case[] {
  const ambient = join(root, '..', 'ambient.yaml');
  return foldersIn(root)
    .filter((name) => existsSync(join(root, name, 'proxies.yaml')))
    .map((name) => {
      const at = (file: string): string => join(root, name, file);
      const { proxies } = parse(readFileSync(at('proxies.yaml'), 'utf8')) as { readonly proxies: readonly Json[] };
      return {
        name,
        files: [...(existsSync(ambient) ? [ambient] : []), at('input.yaml')],
        nodes: proxies.map(nodeOf),
        meshConfig: at('mesh.yaml'),
        networksConfig: at('meshNetworks.yaml'),
      };
    });
}

function nodeOf({ id, cluster, metadata, locality }: Json): Json {
  const { region, zone, subzone } = (locality ?? {}) as Json;
  return { id, cluster, metadata, locality: { region, zone, subZone: subzone } };
}

const corpus = process.env['PARITY_CORPUS'] ?? '';
const cases = [...goldenCases(), ...(corpus === '' ? [] : corpusCases(corpus))];

describe.each(envoysForTests())('Envoy $version loads', ({ version, envoy }) => {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-loadable-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  /** What a proxy of this release says of itself, by which it is given the fields that it knows. */
  const [majorNumber, minorNumber, patch] = version.split('.').map(Number);
  const build = { userAgentName: 'envoy', userAgentBuildVersion: { version: { majorNumber, minorNumber, patch } } };

  it.skipIf(envoy === '').each(cases)(
    'the case $name',
    async ({ files, nodes, meshConfig, networksConfig }) => {
      const documents = files.flatMap((file) =>
        parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as unknown),
      );
      const built = nodes.map((node) => ({ ...node, ...build }));
      const mesh = await loadableMesh({ documents, nodes: built, meshConfig, networksConfig });
      const complaints: string[] = [];
      for (const [id, bootstrap] of bootstrapsOf(mesh))
        for (const line of await complaintsOf(envoy, bootstrap, folder)) complaints.push(`${id}: ${line}`);
      mesh.stop();
      expect(complaints).toEqual([]);
    },
    30_000,
  );
});
