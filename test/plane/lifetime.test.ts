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

describe('a proxy that comes back', () => {
  const labelled = (lab: Lab, label: string): LabProxy => {
    const node = proxyNode(SHAPE, 1) as { metadata: Record<string, unknown> };
    const labels = { ...(node.metadata['LABELS'] as object), extra: label };
    return lab.connect({ ...node, metadata: { ...node.metadata, LABELS: labels } });
  };
  const linkOf = (lab: Lab, proxy: LabProxy) => {
    const { proxy: parsed, workload, classState } = lab.sessionOf(proxy);
    return { parsed, workload, proxyClass: classState?.proxyClass };
  };
  /** Leaves, and is back with this label. */
  async function back(lab: Lab, proxy: LabProxy, label: string, between: () => Promise<void> = async () => {}) {
    const before = linkOf(lab, proxy);
    lab.disconnect(proxy);
    await between();
    const again = labelled(lab, label);
    await lab.settle();
    return { before, again, after: linkOf(lab, again) };
  }

  it('is what it was, and nothing is found out anew', async () => {
    const lab = await started();
    const proxy = labelled(lab, 'a');
    await lab.settle();
    const { before, after } = await back(lab, proxy, 'a');
    expect(after.parsed).toBe(before.parsed);
    expect(after.workload).toBe(before.workload);
    expect(after.proxyClass).toBe(before.proxyClass);
  });

  it('is something else when it says so, or when what it is part of has changed', async () => {
    const lab = await started();
    const proxy = labelled(lab, 'a');
    await lab.settle();
    const other = await back(lab, proxy, 'b');
    expect(other.after.parsed.labels['extra']).toBe('b');
    const strict = objectsOf([
      {
        apiVersion: 'security.istio.io/v1',
        kind: 'PeerAuthentication',
        metadata: { name: 'default', namespace: 'istio-system' },
        spec: { mtls: { mode: 'STRICT' } },
      },
    ]);
    const stricter = await back(lab, other.again, 'b', async () => {
      lab.apply(strict);
      await lab.settle();
    });
    expect(stricter.after.parsed).toBe(other.after.parsed);
    expect(stricter.after.workload).not.toBe(other.after.workload);
    const fresh = new Lab().apply([...objectsOf(meshManifests(SHAPE)), ...strict]);
    await fresh.settle();
    const anew = labelled(fresh, 'b');
    await fresh.settle();
    expect(contentsOf(stricter.again)).toEqual(contentsOf(anew));
  });

  it('after a while is a stranger, who shares with those that came meanwhile', async () => {
    const lab = await started();
    const proxy = labelled(lab, 'a');
    await lab.settle();
    const late = await back(lab, proxy, 'a', () => generations(lab, 4));
    expect(late.after.parsed).not.toBe(late.before.parsed);
    const twin = { ...(proxyNode(SHAPE, 41) as { id: string }) };
    const peer = lab.connect(twin);
    await lab.settle();
    expect(linkOf(lab, peer).proxyClass).toBe(late.after.proxyClass);
  });
});

const contentsOf = (proxy: LabProxy): Record<string, unknown> =>
  Object.fromEntries(
    [CLUSTER, ENDPOINT, LISTENER, ROUTE].map((type) => [
      type,
      Object.fromEntries([...proxy.held(type)].map(([name, { version }]) => [name, version])),
    ]),
  );

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
