// A case is a folder: `in.yaml` (objects), `proxies.yaml` (nodes), maybe `mesh.yaml`, `out/PROXY.yaml` (what each proxy is given, decoded, and
// what was found wrong). `npm run golden` rewrites every `out`; the diff is the review.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { decodeJson, typeNameOf } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { compareStrings } from '../../src/lib/order.ts';
import { viewResources } from '../../src/resources/view.ts';
import { Lab, objectsOf } from '../plane/lab.ts';

const ROOT = import.meta.dirname;
const SECTIONS = [
  ['clusters', TYPE_URL.cluster],
  ['endpoints', TYPE_URL.endpoint],
  ['listeners', TYPE_URL.listener],
  ['routes', TYPE_URL.route],
] as const;

const cases = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap((feature) => readdirSync(join(ROOT, feature.name)).map((name) => join(feature.name, name)));

async function rendered(folder: string): Promise<ReadonlyMap<string, string>> {
  const objects = parseAllDocuments(readFileSync(join(folder, 'in.yaml'), 'utf8')).map(
    (document) => document.toJS() as unknown,
  );
  const nodes = parse(readFileSync(join(folder, 'proxies.yaml'), 'utf8')) as Readonly<Record<string, object>>;
  const meshFile = join(folder, 'mesh.yaml');
  const mesh = existsSync(meshFile) ? (parse(readFileSync(meshFile, 'utf8')) as Readonly<Record<string, unknown>>) : {};
  const lab = new Lab({ mode: 'files', freeze: true, mesh }).apply(objectsOf(objects));
  await lab.settle();
  const out = new Map<string, string>();
  for (const [name, node] of Object.entries(nodes)) {
    const session = lab.sessionOf(lab.connect(node));
    const sections = SECTIONS.map(([section, typeUrl]) => {
      const view = session.view(typeUrl);
      const resources =
        view === undefined ? [] : [...viewResources(view)].sort((a, b) => compareStrings(a.name, b.name));
      const decoded = resources.map((resource) => [resource.name, decodeJson(typeNameOf(typeUrl), resource.bytes)]);
      return [section, Object.fromEntries(decoded)];
    });
    const findings = lab.plane
      .findings()
      .map(({ severity, code, path, message }) => ({ severity, code, path, message }));
    out.set(
      name,
      stringify({ ...Object.fromEntries(sections), findings }, { lineWidth: 120, aliasDuplicateObjects: false }),
    );
  }
  return out;
}

describe.each(cases)('%s', (name) => {
  it('is translated as recorded, twice over', async () => {
    const folder = join(ROOT, name);
    const out = await rendered(folder);
    expect([...(await rendered(folder))]).toEqual([...out]);
    for (const [proxy, text] of out) {
      const file = join(folder, 'out', `${proxy}.yaml`);
      if (process.env['UPDATE_GOLDEN'] === '1') {
        mkdirSync(join(folder, 'out'), { recursive: true });
        writeFileSync(file, text);
      }
      expect(existsSync(file), `${file} is missing: npm run golden`).toBe(true);
      expect(text).toBe(readFileSync(file, 'utf8'));
    }
  });
});
