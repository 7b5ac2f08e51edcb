// What stays of proxies that came and went, and what two runs over the same objects have in common.

import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode, serviceManifests } from '../../bench/mesh.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { CLUSTER, ENDPOINT, Lab, type LabProxy, LISTENER, objectsOf, ROUTE } from './lab.ts';

const SHAPE: MeshShape = { services: 40, endpoints: 2, namespaces: 4, routed: 0.25, flavour: 'kubernetes' };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function started(objects: readonly ConfigObject[] = objectsOf(meshManifests(SHAPE))): Promise<Lab> {
  const lab = new Lab().apply(objects);
  await lab.settle();
  return lab;
}

/** Changes that concern everybody, so that tables of what is in use are swept. */
async function generations(lab: Lab, count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    lab.apply(objectsOf(serviceManifests(SHAPE, 0, { address: `10.99.0.${1 + round}` })));
    await lab.settle();
  }
}

/** In a function of its own, whose variables are gone when it ends. */
async function comeAndGo(lab: Lab): Promise<void> {
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 50; i++) lab.connect(proxyNode(SHAPE, round * 50 + i), i % 2 === 0 ? 'delta' : 'sotw');
    await lab.settle();
    expect(lab.plane.sessions.size).toBe(50);
    for (const proxy of [...lab.proxies]) lab.disconnect(proxy);
  }
}

describe('a thousand proxies that come and go', () => {
  it('leave no session, class, workload or set of names behind', async () => {
    const lab = await started();
    await comeAndGo(lab);
    await generations(lab, 4);
    expect(lab.plane.sessions.size).toBe(0);
    expect(lab.plane.classes.size).toBe(0);
    expect(lab.plane.remembered).toBe(0);
    // Sets of names are held weakly, by streams alone.
    for (let turn = 0; turn < 50 && lab.pool.size > 0; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      collectGarbage();
    }
    expect(lab.pool.size).toBe(0);
  }, 60_000);

  it('that leave before they were served leave nothing either', async () => {
    let now = 0;
    // Time flies, so that the first slice of work is over at once.
    const lab = new Lab({ now: () => (now += 100) }).apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    for (let i = 0; i < 100; i++) lab.disconnect(lab.connect(proxyNode(SHAPE, i)));
    await lab.settle();
    await generations(lab, 4);
    expect([lab.plane.sessions.size, lab.plane.classes.size, lab.plane.remembered]).toEqual([0, 0, 0]);
  });
});

/** A hash of all bytes that a proxy was ever sent. */
function fingerprint(proxy: LabProxy): string {
  const hash = createHash('sha256');
  for (const { typeUrl, version, resources, removed } of proxy.updates) {
    hash.update(`${typeUrl} ${version} ${removed.join()}`);
    for (const { name, version: own, bytes } of resources) hash.update(`${name} ${own}`).update(bytes);
  }
  return hash.digest('hex');
}

describe('two runs', () => {
  const run = async (order: (objects: ConfigObject[]) => ConfigObject[]): Promise<Lab> => {
    const objects = order(objectsOf(meshManifests(SHAPE)));
    const lab = await started(objects.slice(0, objects.length / 2));
    lab.apply(objects.slice(objects.length / 2));
    await lab.settle();
    for (let i = 0; i < 8; i++) lab.connect(proxyNode(SHAPE, i), i % 2 === 0 ? 'delta' : 'sotw').keep = true;
    await lab.settle();
    await generations(lab, 3);
    return lab;
  };

  it('send the same bytes', async () => {
    const [first, second] = [await run((objects) => objects), await run((objects) => objects)];
    expect(second.proxies.map(fingerprint)).toEqual(first.proxies.map(fingerprint));
  });

  it('give the same resources in whatever order the objects came', async () => {
    const [first, second] = [await run((objects) => objects), await run((objects) => objects.reverse())];
    for (const typeUrl of [CLUSTER, ENDPOINT, LISTENER, ROUTE]) {
      for (const [i, proxy] of first.proxies.entries()) {
        const sorted = (one: LabProxy | undefined): readonly string[] =>
          [...(one?.held(typeUrl) ?? [])].map(([name, { bytes }]) => `${name} ${bytes.toString('base64')}`).sort();
        expect(sorted(second.proxies[i])).toEqual(sorted(proxy));
        expect(sorted(proxy).length).toBeGreaterThan(0);
      }
    }
  });
});
