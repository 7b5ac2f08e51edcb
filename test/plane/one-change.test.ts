// What one change costs, in counts: responses, resources, bytes, renderer runs. Never in seconds.

import { beforeAll, describe, expect, it } from 'vitest';
import {
  addressOf,
  hostOf,
  type MeshShape,
  meshManifests,
  proxyNode,
  serviceManifests,
  trafficManifests,
} from '../../bench/mesh.ts';
import { renderRuns } from '../../src/translate/counts.ts';
import { workloadResources } from '../../src/translate/index.ts';
import { NAMED } from '../../src/translate/routes/needed-names.ts';
import { CLUSTER, ENDPOINT, Lab, LISTENER, objectsOf, ROUTE } from './lab.ts';

const SHAPE: MeshShape = { services: 1000, endpoints: 2, namespaces: 10, routed: 0.1, flavour: 'kubernetes' };
const PROXIES = 200;
const CHANGED = 20;

const lab = new Lab();

/** Renderer runs between two moments, by kind, without those that didn't run. */
async function runsOf(work: () => Promise<void>): Promise<Readonly<Record<string, number>>> {
  const before = renderRuns();
  await work();
  const grown = Object.entries(renderRuns()).map(([kind, runs]) => [kind, runs - (before[kind] ?? 0)] as const);
  return Object.fromEntries(grown.filter(([, runs]) => runs > 0));
}

async function change(manifests: readonly unknown[]): Promise<Readonly<Record<string, number>>> {
  for (const proxy of lab.proxies) proxy.reset();
  return runsOf(async () => {
    lab.apply(objectsOf(manifests));
    await lab.settle();
  });
}

/** Resources by type that each proxy was sent, once for each different answer. */
function sent(): readonly string[] {
  const names = new Map<string, string>([
    [CLUSTER, 'CDS'],
    [ENDPOINT, 'EDS'],
    [LISTENER, 'LDS'],
    [ROUTE, 'RDS'],
  ]);
  const each = lab.proxies.map((proxy) =>
    [...proxy.byType]
      .map(([typeUrl, got]) => `${names.get(typeUrl)} ${got.resources}`)
      .sort()
      .join(', '),
  );
  return [...new Set(each)];
}

beforeAll(async () => {
  lab.apply(objectsOf(meshManifests(SHAPE)));
  await lab.settle();
  for (let i = 0; i < PROXIES; i++) lab.connect(proxyNode(SHAPE, i));
  await lab.settle();
}, 120_000);

describe('a mesh of 1,000 services and 200 proxies', () => {
  it('is in ten classes, one for each namespace', () => {
    expect(lab.plane.sessions.size).toBe(PROXIES);
    expect(lab.plane.classes.size).toBe(SHAPE.namespaces);
  });

  it('sends one EDS resource to each proxy for one changed endpoint, rendered for all', async () => {
    const runs = await change(serviceManifests(SHAPE, CHANGED + 1, { address: '10.99.0.1' }));
    expect(sent()).toEqual(['EDS 1']);
    expect(runs).toEqual({ assignment: 1 });
    const bytes = lab.proxies.map((proxy) => proxy.received.bytes);
    expect(Math.max(...bytes)).toBeLessThan(1024);
    const name = `outbound|80||${hostOf(SHAPE, CHANGED + 1)}`;
    for (const proxy of lab.proxies)
      expect(Buffer.from(proxy.held(ENDPOINT).get(name)?.bytes ?? []).includes('10.99.0.1')).toBe(true);
    await change(serviceManifests(SHAPE, CHANGED + 1, { address: addressOf(SHAPE, CHANGED + 1, 0) }));
  });

  it('does not look at what workloads have of their own when an endpoint changes', async () => {
    const before = { ...workloadResources.counts };
    await change(serviceManifests(SHAPE, CHANGED + 1, { address: '10.99.0.2' }));
    expect(sent()).toEqual(['EDS 1']);
    expect(workloadResources.counts).toEqual(before);
    await change(serviceManifests(SHAPE, CHANGED + 1, { address: addressOf(SHAPE, CHANGED + 1, 0) }));
  });

  it('sends one RouteConfiguration for one changed weight, with one virtual host of it rendered anew', async () => {
    const runs = await change(trafficManifests(SHAPE, CHANGED, { weight: 70 }));
    expect(sent()).toEqual(['RDS 1']);
    expect(runs['virtual_service_routes']).toBe(1);
    // Its domains differ between its own namespace and the others.
    expect(runs['virtual_host']).toBeLessThanOrEqual(2);
    expect(Object.keys(runs).sort()).toEqual(['virtual_host', 'virtual_service_routes']);
  });

  it('sends nothing for what no proxy can see', async () => {
    const runs = await change([
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', namespace: 'ns-0' }, data: { a: 'b' } },
    ]);
    expect(sent()).toEqual(['']);
    expect(runs).toEqual({});
  });

  it('sends nothing for objects that come again as they were', async () => {
    const runs = await change(
      meshManifests(SHAPE)
        .slice(0, 500)
        .filter((manifest) => manifest['kind'] !== 'VirtualService'),
    );
    expect(sent()).toEqual(['']);
    expect(runs).toEqual({});
  });

  it('sends an added service alone: its cluster, its endpoints, and the routes of its port', async () => {
    const grown = { ...SHAPE, services: SHAPE.services + 1 };
    const named = NAMED.services;
    const own = workloadResources.counts.runs;
    const runs = await change(serviceManifests(grown, SHAPE.services));
    // The listener of its port names each workload, and shows nothing of the services on it.
    expect(workloadResources.counts.runs).toBe(own);
    // By each class: nothing of the thousand that stand before it.
    expect(NAMED.services - named).toBe(SHAPE.namespaces);
    expect(sent()).toEqual(['CDS 1, EDS 1, RDS 1']);
    expect(runs['cluster']).toBe(1);
    expect(runs['assignment']).toBe(1);
  });

  it('sends nothing again to proxies that reconnect', async () => {
    for (const proxy of lab.proxies) proxy.reset();
    for (const proxy of lab.proxies) proxy.reconnect();
    await lab.settle();
    expect(lab.proxies.reduce((sum, proxy) => sum + proxy.received.resources, 0)).toBe(0);
  });

  it('keeps nothing of proxies that left', async () => {
    for (const proxy of [...lab.proxies]) lab.disconnect(proxy);
    await lab.settle();
    expect(lab.plane.sessions.size).toBe(0);
    expect(lab.plane.classes.size).toBe(0);
  });
});
