// How the work of one change grows: with what it concerns, and with nothing else. Told by counts, the ones that the page of
// metrics shows.

import { describe, expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode, serviceManifests, trafficManifests } from '../../bench/mesh.ts';
import { ENCODED } from '../../src/resources/resource.ts';
import { renderRuns } from '../../src/translate/counts.ts';
import { Lab, objectsOf } from './lab.ts';

const NAMESPACES = 2;

interface Work {
  readonly rendered: Readonly<Record<string, number>>;
  readonly resources: number;
  readonly bytes: number;
  readonly links: number;
  readonly relinks: number;
  readonly pushes: number;
}

interface Sizes {
  readonly services: number;
  readonly proxies: number;
  readonly endpoints?: number;
}

type Change = (shape: MeshShape) => readonly unknown[];

const CHANGES: Readonly<Record<string, Change>> = {
  endpoint: (shape) => serviceManifests(shape, 1, { address: '10.99.0.1' }),
  weight: (shape) => trafficManifests(shape, 0, { weight: 70 }),
  'unseen object': () => [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', namespace: 'ns-0' }, data: { a: 'b' } },
  ],
  'unseen Pod': () => [
    {
      ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', namespace: 'ns-0' }, spec: { containers: [] } },
      status: { podIP: '10.99.0.1', podIPs: [{ ip: '10.99.0.1' }], phase: 'Running' },
    },
  ],
};

async function workOf(change: Change, { services, proxies, endpoints = 2 }: Sizes): Promise<Work> {
  const shape: MeshShape = { services, endpoints, namespaces: NAMESPACES, routed: 0.1, flavour: 'kubernetes' };
  const lab = new Lab().apply(objectsOf(meshManifests(shape)));
  await lab.settle();
  for (let i = 0; i < proxies; i++) lab.connect(proxyNode(shape, i));
  await lab.settle();
  const links = () => lab.metrics.of('meltemi_links_total');
  const relinks = () => lab.metrics.of('meltemi_relinks_total');
  const before = { runs: renderRuns(), ...ENCODED, links: links(), relinks: relinks() };
  const pushes = (): number =>
    ['cds', 'eds', 'lds', 'rds'].reduce((sum, type) => sum + lab.metrics.of(`meltemi_pushes_total{${type}}`), 0);
  const pushed = pushes();
  lab.apply(objectsOf(change(shape)));
  await lab.settle();
  const grown = Object.entries(renderRuns()).map(([kind, runs]) => [kind, runs - (before.runs[kind] ?? 0)] as const);
  return {
    rendered: Object.fromEntries(grown.filter(([, runs]) => runs > 0)),
    resources: ENCODED.resources - before.resources,
    bytes: ENCODED.bytes - before.bytes,
    links: links() - before.links,
    relinks: relinks() - before.relinks,
    pushes: pushes() - pushed,
  };
}

describe.each(Object.entries(CHANGES))('one change: %s', (name, change) => {
  it('is the same work with ten times the proxies, but for what each is sent', async () => {
    const few = await workOf(change, { services: 60, proxies: 6 });
    const many = await workOf(change, { services: 60, proxies: 60 });
    expect({ ...many, pushes: few.pushes * 10, relinks: 0 }).toEqual({ ...few, pushes: many.pushes, relinks: 0 });
    // Those whose Pods stand in the same places of the tables, of which there are 256.
    expect(many.relinks).toBeLessThanOrEqual(6);
    expect(few.pushes).toBe(name.startsWith('unseen') ? 0 : 6);
  });

  it('is the same work with eight times the services, but for the length of a RouteConfiguration', async () => {
    const small = await workOf(change, { services: 60, proxies: 6 });
    const large = await workOf(change, { services: 480, proxies: 6 });
    expect({ ...large, bytes: 0 }).toEqual({ ...small, bytes: 0 });
    if (name !== 'weight') expect(large.bytes).toBe(small.bytes);
  });
});

describe('what one change counts', () => {
  it('an endpoint: one assignment, rendered and encoded once for all', async () => {
    const work = await workOf(CHANGES['endpoint'] as Change, { services: 60, proxies: 20 });
    expect(work).toMatchObject({ rendered: { assignment: 1 }, resources: 1, pushes: 20 });
    expect(work.links).toBeLessThanOrEqual(NAMESPACES);
  });

  it('a weight: one RouteConfiguration for each class', async () => {
    const work = await workOf(CHANGES['weight'] as Change, { services: 60, proxies: 20 });
    expect(work).toMatchObject({ resources: NAMESPACES, pushes: 20 });
    expect(work.links).toBeLessThanOrEqual(NAMESPACES);
  });
});
