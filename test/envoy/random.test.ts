// Whatever a user writes that validation lets through, Envoy takes: random objects of every kind with any of their fields.
// More by hand: RANDOM_MESHES=1000 RANDOM_SEED=17 npx vitest run test/envoy/random.test.ts

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { envoysForTests, NEWEST, newestEnvoy, OLDER } from '../support/envoy.ts';
import { bootstrapsOf, complaintsOf, loadableMesh } from '../support/loadable.ts';
import { Dice } from './random/dice.ts';
import { randomMesh } from './random/mesh.ts';

const count = Number(process.env['RANDOM_MESHES'] ?? 6);
const seed = Number(process.env['RANDOM_SEED'] ?? 1);

/** What Envoy says of files that are not on this machine: no mistake of the translation. */
const NOT_OURS = /does not exist|unable to read file/;

describe.skipIf(newestEnvoy() === '')('random meshes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-random-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const envoys = new Map(envoysForTests().map(({ version, envoy }) => [version, envoy]));

  it.each(Array.from({ length: count }, (_, index) => seed + index))(
    'of seed %i are loaded',
    async (of) => {
      const version = of % 3 === 0 && envoys.get(OLDER) !== '' ? OLDER : NEWEST;
      const { documents, nodes, meshConfig } = randomMesh(new Dice(of), version);
      const file = join(folder, 'mesh.json');
      writeFileSync(file, JSON.stringify(meshConfig));
      const mesh = await loadableMesh({ documents, nodes, meshConfig: file });
      const complaints: string[] = [];
      for (const [id, bootstrap] of bootstrapsOf(mesh)) {
        for (const line of await complaintsOf(envoys.get(version) ?? '', bootstrap, folder))
          if (!NOT_OURS.test(line)) complaints.push(`${id}: ${line}`);
      }
      mesh.stop();
      expect(complaints).toEqual([]);
    },
    60_000,
  );
});
