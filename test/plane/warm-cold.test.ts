// Warm equals cold: whatever changes a running plane has seen, its proxies have what a fresh one gives them, byte for byte.
// And a preview says beforehand what a change will do, and changes nothing itself.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { meshManifests, proxyNode } from '../../bench/mesh.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { refKey } from '../../src/config/object.ts';
import type { ProposedChange } from '../../src/plane/preview.ts';
import { Lab, objectsOf } from './lab.ts';
import { given, ofKind, ofWorkload, selectorless, SHAPE, type Step, steps } from './mesh-steps.ts';

/** Proxies that see all these changes have in the end what they would have if they came then. */
async function equalsFresh(sequence: readonly Step[]): Promise<void> {
  const nodes = [0, 1, 2, 3, 7].map((index) => proxyNode(SHAPE, index));
  const objects = new Map<string, ConfigObject>();
  const warm = new Lab({ freeze: true });
  const put = (list: readonly ConfigObject[]): void => {
    for (const object of list) objects.set(refKey(object), object);
    warm.apply(list);
  };
  put(objectsOf(meshManifests(SHAPE)));
  await warm.settle();
  for (const node of nodes) warm.connect(node);
  await warm.settle();
  for (const step of sequence) {
    if ('put' in step) put(objectsOf(step.put));
    else {
      const gone = objectsOf(step.drop);
      for (const object of gone) objects.delete(refKey(object));
      warm.apply([], gone);
    }
    await warm.settle();
  }
  const cold = new Lab().apply([...objects.values()]);
  await cold.settle();
  for (const node of nodes) cold.connect(node);
  await cold.settle();
  expect(given(warm, nodes)).toEqual(given(cold, nodes));
}

describe('a plane after random changes', () => {
  it.each([
    { kind: 'any', step: steps, maxLength: 12, numRuns: 32 },
    { kind: 'those of single workloads', step: ofWorkload, maxLength: 6, numRuns: 16 },
  ])(
    'gives every proxy what a fresh one gives: $kind',
    async ({ step, maxLength, numRuns }) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength }), (sequence) => equalsFresh(sequence)),
        { numRuns },
      );
    },
    120_000,
  );

  it('gives a Pod the services whose endpoints alone name it', async () => {
    const [service, slice] = selectorless(0);
    await equalsFresh([{ drop: ofKind(0, 'Service') }, { put: [service] }, { put: [slice] }]);
    await equalsFresh([{ drop: ofKind(0, 'Service') }, { put: [service, slice] }, { drop: [slice] }]);
  });

  it('does what a preview said, and a preview does nothing', async () => {
    const nodes = [0, 1, 2, 3, 7].map((index) => proxyNode(SHAPE, index));
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 8 }), async (sequence) => {
        const lab = new Lab({ freeze: true }).apply(objectsOf(meshManifests(SHAPE)));
        await lab.settle();
        for (const node of nodes) lab.connect(node);
        await lab.settle();
        for (const step of sequence) {
          const change = changeOf(step);
          const before = given(lab, nodes);
          const { snapshot } = lab.plane;
          const { proxies } = await lab.plane.preview(change);
          expect(lab.plane.snapshot).toBe(snapshot);
          expect(given(lab, nodes)).toEqual(before);
          const said = proxies.flatMap(({ session, changes }) => {
            const at = lab.proxies.findIndex((proxy) => lab.sessionOf(proxy) === session);
            return changes.map(
              (each) => `${at} ${each.typeUrl} ${each.name} ${each.before?.version} ${each.after?.version}`,
            );
          });
          lab.apply(change.upserts, change.deletes);
          await lab.settle();
          expect(said.sort()).toEqual(differences(before, given(lab, nodes)));
        }
      }),
      { numRuns: 12 },
    );
  }, 120_000);
});

function changeOf(step: Step): ProposedChange {
  return 'put' in step ? { upserts: objectsOf(step.put), deletes: [] } : { upserts: [], deletes: objectsOf(step.drop) };
}

/** From lists of `PROXY TYPE NAME VERSION`. */
function differences(before: readonly string[], after: readonly string[]): readonly string[] {
  const byName = (list: readonly string[]): ReadonlyMap<string, string> =>
    new Map(list.map((line) => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' ') + 1)]));
  const [old, now] = [byName(before), byName(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((name) => old.get(name) !== now.get(name))
    .map((name) => `${name} ${old.get(name)} ${now.get(name)}`)
    .sort();
}
