// On-demand discovery in counts: who is in which class, what is sent for what, what is shared.

import { beforeAll, describe, expect, it } from 'vitest';
import {
  hostOf,
  type MeshShape,
  meshManifests,
  proxyNode,
  serviceManifests,
  trafficManifests,
} from '../../bench/mesh.ts';
import { decode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { onDemandListener } from '../../src/translate/ondemand/listener.ts';
import { renamedHost } from '../../src/translate/ondemand/routes.ts';
import { manualTime } from '../ca/support.ts';
import { CLUSTER, ENDPOINT, Lab, type LabProxy, LISTENER, objectsOf, ROUTE } from './lab.ts';

const { virtualHost: HOST } = TYPE_URL;
const SHAPE: MeshShape = { services: 1000, endpoints: 2, namespaces: 2, routed: 0.1, flavour: 'kubernetes' };
const HOUR = 3_600_000;
const ON = { MELTEMI_ON_DEMAND: 'true' };

const time = manualTime(10 * HOUR);

function node(index: number, metadata: object = {}, release = 40): object {
  const base = proxyNode(SHAPE, index);
  const version = { majorNumber: 1, minorNumber: release };
  return { ...base, metadata: { ...base.metadata, ...metadata }, userAgentBuildVersion: { version } };
}

const clusterOf = (index: number): string => `outbound|80||${hostOf(SHAPE, index)}`;
const nameOf = (index: number): string => `80/${hostOf(SHAPE, index)}`;
const outbound = (proxy: LabProxy): string[] =>
  [...proxy.held(CLUSTER).keys()].filter((name) => name.startsWith('outbound|')).sort();

function ask(proxy: LabProxy, typeUrl: string, ...names: string[]): void {
  proxy.stream.request(proxy.client.subscribe(typeUrl, names));
}

/** As Envoy calls a service for the first time. */
async function use(lab: Lab, proxy: LabProxy, ...services: number[]): Promise<void> {
  if (proxy.held(HOST).size === 0) proxy.stream.request(proxy.client.subscribe(HOST));
  ask(proxy, HOST, ...services.map(nameOf));
  await lab.settle();
  ask(proxy, CLUSTER, ...services.map(clusterOf));
  await lab.settle();
}

const LABELS = new Map<string, string>([
  [CLUSTER, 'CDS'],
  [ENDPOINT, 'EDS'],
  [LISTENER, 'LDS'],
  [ROUTE, 'RDS'],
  [HOST, 'VHDS'],
]);

/** What it was sent since its last reset, by type. */
function resources(proxy: LabProxy): Record<string, number> {
  return Object.fromEntries(
    [...proxy.byType]
      .filter(([, got]) => got.resources + got.removed > 0)
      .map(([type, got]) => [LABELS.get(type), got.resources]),
  );
}

async function change(lab: Lab, manifests: readonly unknown[]): Promise<void> {
  for (const proxy of lab.proxies) proxy.reset();
  lab.apply(objectsOf(manifests));
  await lab.settle();
}

describe('a sidecar on demand among 1,000 services', () => {
  const lab = new Lab({ now: time.clock.now, timers: time.timers });
  let proxy: LabProxy;
  let twin: LabProxy;
  let plain: LabProxy;

  beforeAll(async () => {
    lab.apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    proxy = lab.connect(node(0, ON));
    twin = lab.connect(node(2, ON));
    plain = lab.connect(node(4));
    await lab.settle();
  }, 120_000);

  it('is of a class of its own, and starts with no cluster that leads out', () => {
    expect(lab.plane.classes.size).toBe(2);
    expect(outbound(proxy)).toEqual([]);
    expect(outbound(plain).length).toBeGreaterThan(SHAPE.services);
    expect([...proxy.held(CLUSTER).keys()]).toContain('PassthroughCluster');
    expect(proxy.received.bytes).toBeLessThan(plain.received.bytes / 40);
  });

  it('is given what it asks for, once rendered for all who ask', async () => {
    await use(lab, proxy, 6, 7, 20);
    expect(outbound(proxy)).toEqual([6, 7, 20].map(clusterOf).sort());
    const { runs } = renamedHost.counts;
    await use(lab, twin, 6, 7, 20);
    expect(renamedHost.counts.runs).toBe(runs);
    const [a, b] = [lab.sessionOf(proxy), lab.sessionOf(twin)];
    expect(a.view(HOST)).toBe(b.view(HOST));
    expect(a.view(CLUSTER)?.parts[0]).toBe(b.view(CLUSTER)?.parts[0]);
    expect(a.view(ROUTE)).toBe(b.view(ROUTE));
    const bytes = proxy.held(HOST).get(nameOf(20))?.bytes ?? Buffer.alloc(0);
    const { name, domains, routes } = decode('envoy.config.route.v3.VirtualHost', bytes);
    expect([name, domains]).toEqual([nameOf(20), [hostOf(SHAPE, 20)]]);
    expect(routes).toHaveLength(2);
  });

  it('is sent nothing for services that it does not use', async () => {
    const { runs } = onDemandListener.counts;
    await change(lab, serviceManifests(SHAPE, 8, { address: '10.99.0.1' }));
    expect([resources(proxy), resources(plain)]).toEqual([{}, { EDS: 1 }]);
    await change(lab, trafficManifests(SHAPE, 30, { weight: 60 }));
    expect([resources(proxy), resources(plain)]).toEqual([{}, { RDS: 1 }]);
    expect(onDemandListener.counts.runs).toBe(runs);
    await change(lab, serviceManifests({ ...SHAPE, services: 1001 }, 1000));
    expect([resources(proxy), resources(plain)]).toEqual([{}, { CDS: 1, EDS: 1, RDS: 1 }]);
  });

  it('is sent the one resource that changes of a service that it uses', async () => {
    await change(lab, serviceManifests(SHAPE, 6, { address: '10.99.0.2' }));
    expect(resources(proxy)).toEqual({ EDS: 1 });
    const { runs } = renamedHost.counts;
    await change(lab, trafficManifests(SHAPE, 20, { weight: 60 }));
    expect(resources(proxy)).toEqual({ VHDS: 1 });
    expect(resources(twin)).toEqual({ VHDS: 1 });
    expect(renamedHost.counts.runs).toBe(runs + 1);
  });

  it('is told what the traffic policy says of unknown hosts, until they are known', async () => {
    const grown = { ...SHAPE, services: 1003 };
    const name = `80/${hostOf(grown, 1002)}`;
    ask(proxy, HOST, name);
    await lab.settle();
    const bytesOf = (): Buffer => proxy.held(HOST).get(name)?.bytes ?? Buffer.alloc(0);
    expect(bytesOf().includes('PassthroughCluster')).toBe(true);
    await change(lab, serviceManifests(grown, 1002));
    expect(resources(proxy)).toEqual({ VHDS: 1 });
    expect(bytesOf().includes(`outbound|80||${hostOf(grown, 1002)}`)).toBe(true);
    lab.apply([], objectsOf(serviceManifests(grown, 1002)));
    await lab.settle();
    expect(bytesOf().includes('PassthroughCluster')).toBe(true);
  });

  it('says at once that a cluster does not exist, and brings it when it does', async () => {
    const grown = { ...SHAPE, services: 1005 };
    const name = `outbound|80||${hostOf(grown, 1004)}`;
    proxy.reset();
    ask(proxy, CLUSTER, name);
    await lab.settle();
    expect(proxy.byType.get(CLUSTER)).toMatchObject({ resources: 0, removed: 1 });
    await change(lab, serviceManifests(grown, 1004));
    expect(proxy.held(CLUSTER).has(name)).toBe(true);
  });

  it('is sent nothing when it reconnects', async () => {
    proxy.reset();
    proxy.reconnect();
    await lab.settle();
    expect(resources(proxy)).toEqual({});
    await change(lab, serviceManifests(SHAPE, 6, { address: '10.99.0.3' }));
    expect(resources(proxy)).toEqual({ EDS: 1 });
  });

  it('is sent the other form of its routes in each term, and loses clusters of virtual hosts that it let go of', async () => {
    proxy.reset();
    await lab.settle();
    expect(resources(proxy)).toEqual({});
    time.advance(HOUR);
    await lab.settle();
    expect(resources(proxy)).toMatchObject({ RDS: 1 });
    // The virtual host of 20 leads to its subsets, and nothing led to the cluster of 1004.
    expect(outbound(proxy)).toEqual([6, 7].map(clusterOf));
    // Envoy lets go of all and asks again for what it needs.
    proxy.stream.request(proxy.client.unsubscribe(HOST, [...proxy.client.names(HOST)]));
    ask(proxy, HOST, nameOf(6));
    await lab.settle();
    expect(outbound(proxy)).toContain(clusterOf(7));
    time.advance(HOUR);
    await lab.settle();
    expect(outbound(proxy)).toEqual([clusterOf(6)]);
    // What it needs again comes with the virtual host: Envoy doesn't ask twice for a cluster.
    proxy.reset();
    ask(proxy, HOST, nameOf(7));
    await lab.settle();
    expect(outbound(proxy)).toEqual([6, 7].map(clusterOf));
  });
});

describe('who is on demand', () => {
  const lab = new Lab({ mesh: { defaultConfig: { proxyMetadata: { MELTEMI_ON_DEMAND: 'true' } } } });
  const namespace = (name: string, labels: object): object => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  const service = serviceManifests(SHAPE, 0);

  beforeAll(async () => {
    lab.apply(objectsOf([namespace('ns-0', {}), namespace('ns-1', { 'meltemi.io/on-demand': 'false' }), ...service]));
    await lab.settle();
  });

  const onDemand = async (made: object, mode: 'delta' | 'sotw' = 'delta'): Promise<unknown> => {
    const proxy = lab.connect(made, mode);
    await lab.settle();
    const found = lab.sessionOf(proxy).classState?.proxyClass.onDemand;
    lab.disconnect(proxy);
    return found;
  };

  it('is said by the nearest: the proxy, its namespace, the mesh', async () => {
    const hosts = { hosts: true, idle: HOUR };
    expect(await onDemand(node(0))).toEqual(hosts);
    expect(await onDemand(node(1))).toBeUndefined();
    expect(await onDemand(node(1, ON))).toEqual(hosts);
    expect(await onDemand(node(1, { ANNOTATIONS: { 'meltemi.io/on-demand': 'true' } }))).toEqual(hosts);
    expect(await onDemand(node(0, { ANNOTATIONS: { 'meltemi.io/on-demand': 'false' } }))).toBeUndefined();
    expect(
      await onDemand(node(0, { PROXY_CONFIG: { proxyMetadata: { MELTEMI_ON_DEMAND: 'false' } } })),
    ).toBeUndefined();
  });

  it('has virtual hosts on demand from Envoy 1.40 on', async () => {
    expect(await onDemand(node(0, {}, 39))).toMatchObject({ hosts: false });
    expect(await onDemand(proxyNode(SHAPE, 0))).toMatchObject({ hosts: false });
  });

  it('takes the idle time where it is said', async () => {
    expect(await onDemand(node(0, { MELTEMI_ON_DEMAND_IDLE: '90s' }))).toMatchObject({ idle: 90_000 });
    expect(await onDemand(node(0, { MELTEMI_ON_DEMAND_IDLE: '0' }))).toMatchObject({ idle: 0 });
    expect(await onDemand(node(0, { MELTEMI_ON_DEMAND_IDLE: 'soon' }))).toMatchObject({ idle: HOUR });
  });

  it('is nobody who speaks the other variant of the protocol, and no gateway', async () => {
    expect(await onDemand(node(0), 'sotw')).toBeUndefined();
    const { id = '' } = node(0) as { id?: string };
    expect(await onDemand({ ...node(0), id: id.replace('sidecar', 'router') })).toBeUndefined();
  });

  it('may change while a proxy is connected', async () => {
    const proxy = lab.connect(node(0, {}));
    await lab.settle();
    expect(outbound(proxy)).toEqual([]);
    lab.apply(objectsOf([namespace('ns-0', { 'meltemi.io/on-demand': 'false' })]));
    await lab.settle();
    expect(outbound(proxy)).toHaveLength(1);
    lab.apply(objectsOf([namespace('ns-0', {})]));
    await lab.settle();
    expect(outbound(proxy)).toEqual([]);
  });
});
