// Services that share a listener and are not in its bytes: they cost nothing when they come, and are told of when somebody asks.

import { describe, expect, it } from 'vitest';
import { hostOf, type MeshShape, meshManifests, proxyNode, serviceManifests } from '../../bench/mesh.ts';
import type { Resource } from '../../src/resources/resource.ts';
import { viewGet } from '../../src/resources/view.ts';
import { resourceOrigins } from '../../src/plane/explain.ts';
import { CLUSTER, ENDPOINT, Lab, type LabProxy, LISTENER, objectsOf, ROUTE } from './lab.ts';

const SHAPE: MeshShape = { services: 3, endpoints: 1, namespaces: 1, routed: 0, flavour: 'kubernetes' };
const NAME = '0.0.0.0_80';

async function connected(): Promise<{ readonly lab: Lab; readonly proxy: LabProxy }> {
  const lab = new Lab();
  lab.apply(objectsOf(meshManifests(SHAPE)));
  await lab.settle();
  const proxy = lab.connect(proxyNode(SHAPE, 0));
  await lab.settle();
  return { lab, proxy };
}

function sharedListener(lab: Lab, proxy: LabProxy): Resource {
  const view = lab.sessionOf(proxy).view(LISTENER);
  const resource = view && viewGet(view, NAME);
  if (resource === undefined) throw new Error(`no ${NAME}`);
  return resource;
}

function servicesBehind(lab: Lab, proxy: LabProxy): readonly string[] {
  const { snapshot } = lab.plane;
  if (snapshot === undefined) throw new Error('no snapshot');
  const { byKind } = lab.store.state();
  const origins = resourceOrigins(lab.sessionOf(proxy), sharedListener(lab, proxy), snapshot, (kind) => byKind[kind]);
  return origins.filter(({ kind }) => kind === 'Service').map(({ name }) => name);
}

describe('services that share a listener', () => {
  it('leave it the same object when they come and go', async () => {
    const { lab, proxy } = await connected();
    const before = sharedListener(lab, proxy);
    proxy.reset();
    lab.apply(objectsOf(serviceManifests({ ...SHAPE, services: 4 }, 3)));
    await lab.settle();
    expect(sharedListener(lab, proxy)).toBe(before);
    expect([...proxy.byType.keys()].sort()).toEqual([CLUSTER, ENDPOINT, ROUTE].sort());
  });

  it('leave it the same object when a rule of theirs changes', async () => {
    const { lab, proxy } = await connected();
    const before = sharedListener(lab, proxy);
    proxy.reset();
    const spec = { host: hostOf(SHAPE, 1), trafficPolicy: { outlierDetection: { interval: '5s' } } };
    const metadata = { name: 'rule', namespace: 'ns-0' };
    lab.apply(objectsOf([{ apiVersion: 'networking.istio.io/v1', kind: 'DestinationRule', metadata, spec }]));
    await lab.settle();
    expect(sharedListener(lab, proxy)).toBe(before);
    expect([...proxy.byType.keys()].sort()).toEqual([CLUSTER, ENDPOINT].sort());
  });

  it('are told of all the same, as they are now', async () => {
    const { lab, proxy } = await connected();
    const three = servicesBehind(lab, proxy);
    expect(three).toHaveLength(3);
    lab.apply(objectsOf(serviceManifests({ ...SHAPE, services: 4 }, 3)));
    await lab.settle();
    const four = servicesBehind(lab, proxy);
    expect(four).toEqual(expect.arrayContaining([...three]));
    expect(four).toHaveLength(4);
    const [first = ''] = three;
    lab.apply([], [{ kind: 'Service', namespace: 'ns-0', name: first }]);
    await lab.settle();
    expect(servicesBehind(lab, proxy)).toEqual(four.filter((name) => name !== first));
  });

  it('are suspected when a proxy refuses it', async () => {
    const { lab, proxy } = await connected();
    lab.plane.refused(lab.sessionOf(proxy), LISTENER, 'no', [sharedListener(lab, proxy)]);
    const named = lab.plane.findings().map(({ ref }) => ref?.name);
    expect(named.sort()).toEqual([...servicesBehind(lab, proxy)].sort());
  });
});
