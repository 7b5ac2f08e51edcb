// What is replaced goes: views, plans and drafts of earlier configurations are held by nothing.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode, serviceManifests, trafficManifests } from '../../bench/mesh.ts';
import { viewResources } from '../../src/resources/view.ts';
import { CLUSTER, Lab, LISTENER, objectsOf, ROUTE } from './lab.ts';

const SHAPE: MeshShape = { services: 40, endpoints: 1, namespaces: 2, routed: 0.1, flavour: 'kubernetes' };
const ROUNDS = 12;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

it.each([
  ['routes', (round: number) => trafficManifests(SHAPE, 0, { weight: 20 + round })],
  ['services', (round: number) => serviceManifests(SHAPE, SHAPE.services + round)],
])('of %s that changed, one after the other', async (_name, change) => {
  const lab = new Lab({ lean: true });
  lab.apply(objectsOf(meshManifests(SHAPE)));
  await lab.settle();
  const sessions = [0, 1, 2].map((index) => lab.sessionOf(lab.connect(proxyNode(SHAPE, index))));
  await lab.settle();
  const tables: WeakRef<object>[] = [];
  const note = (): void => {
    for (const type of [CLUSTER, LISTENER, ROUTE]) {
      const view = sessions[0]?.view(type);
      for (const part of view?.parts ?? []) tables.push(new WeakRef(part));
      if (view !== undefined && type === ROUTE) for (const each of viewResources(view)) tables.push(new WeakRef(each));
    }
  };
  for (let round = 0; round < ROUNDS; round++) {
    lab.apply(objectsOf(change(round)));
    await lab.settle();
    note();
    // What a WeakRef was made of or asked for stays until the turn is over.
    await new Promise((resolve) => setImmediate(resolve));
  }
  collect();
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  const alive = new Set(tables.flatMap((ref) => ref.deref() ?? []));
  const now = [CLUSTER, LISTENER, ROUTE].flatMap((type) => sessions[0]?.view(type)?.parts ?? []);
  const resources = sessions[0]?.view(ROUTE);
  const standing = now.length + (resources === undefined ? 0 : [...viewResources(resources)].length);
  // Those before the present ones are what the next change starts from.
  expect(alive.size).toBeLessThanOrEqual(2 * standing);
});
