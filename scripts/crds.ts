// Writes charts/base/files/crds: one CustomResourceDefinition a file, made from the schemas that validation uses too
// (scripts/generate). Run by `npm run crds` after those changed; a test refuses files that differ from what this makes.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { stringify } from 'yaml';
import { KINDS } from '../src/config/kinds.ts';
import { istioSpecs } from './generate/istio-schemas.ts';
import type { ConfigSchema } from './generate/istio-source.ts';
import { structural } from './crds/structural.ts';
import { STATUS } from './crds/status.ts';
import { CRD_FACTS, type CrdFacts } from './crds/facts.ts';

const FOLDER = fileURLToPath(new URL('../charts/base/files/crds/', import.meta.url));

function definition(kind: string, facts: CrdFacts, spec: ConfigSchema): object {
  const info = KINDS.find((candidate) => candidate.kind === kind);
  if (info === undefined) throw new Error(`${kind} is not read by the control plane`);
  const unread = facts.versions.filter((version) => !info.versions.includes(version));
  if (unread.length > 0) throw new Error(`${kind}: versions that nobody reads: ${unread.join(', ')}`);
  const { group, plural } = info;
  const schema = {
    openAPIV3Schema: {
      description: facts.about,
      type: 'object',
      ...(facts.needsSpec === true ? { required: ['spec'] } : {}),
      properties: { spec: structural(spec), status: STATUS[kind] ?? STATUS['*'] },
    },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(facts.shortNames === undefined ? {} : { shortNames: facts.shortNames }),
        categories: ['istio-io', `${group.replaceAll('.', '-')}`],
      },
      versions: facts.versions.map((name) => ({
        name,
        served: true,
        storage: name === (facts.storage ?? facts.versions[0]),
        subresources: { status: {} },
        additionalPrinterColumns: columns(facts),
        schema,
      })),
    },
  };
}

function columns({ columns: own = [] }: CrdFacts): object[] {
  const named = own.map(([name, jsonPath, description]) => ({ name, type: 'string', jsonPath, description }));
  return [...named, { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }];
}

/** File name to text. */
export function crdFiles(): Readonly<Record<string, string>> {
  const specs = istioSpecs();
  const files: Record<string, string> = {};
  for (const [kind, spec] of Object.entries(specs)) {
    const facts = CRD_FACTS[kind];
    if (facts === undefined) throw new Error(`no names and columns for ${kind}`);
    const text = stringify(definition(kind, facts, spec), { aliasDuplicateObjects: false, lineWidth: 120 });
    files[`${kind.toLowerCase()}.yaml`] = `# Written by \`npm run crds\`; do not edit.\n${text}`;
  }
  return files;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  mkdirSync(FOLDER, { recursive: true });
  for (const name of readdirSync(FOLDER)) rmSync(`${FOLDER}${name}`);
  for (const [name, text] of Object.entries(crdFiles())) writeFileSync(`${FOLDER}${name}`, text);
}
