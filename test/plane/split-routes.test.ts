// Virtual hosts that travel one by one, in counts: a change of one is sent alone. And classes that differ in place alone:
// what depends on no place is linked and rendered once for them.

import { beforeAll, describe, expect, it } from 'vitest';
import { hostOf, type MeshShape, meshManifests, proxyNode, trafficManifests } from '../../bench/mesh.ts';
import { decode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { member } from '../../src/translate/ondemand/split-routes.ts';
import { CLUSTER, ENDPOINT, Lab, type LabProxy, objectsOf, ROUTE } from './lab.ts';

const { virtualHost: HOST } = TYPE_URL;
const SHAPE: MeshShape = { services: 100, endpoints: 2, namespaces: 2, routed: 0.1, flavour: 'kubernetes' };
const SPLIT = { MELTEMI_SPLIT_ROUTES: 'true' };

function node(index: number, metadata: object = {}, zone = 'a', release = 40): object {
  const base = proxyNode(SHAPE, index);
  const version = { majorNumber: 1, minorNumber: release };
  return {
    ...base,
    metadata: { ...base.metadata, ...metadata },
    userAgentBuildVersion: { version },
    locality: { region: 'r', zone },
  };
}

const nameOf = (index: number): string => `80/${hostOf(SHAPE, index)}:80`;
const weights = (weight: number): object[] => objectsOf(trafficManifests(SHAPE, 20, { weight }));

function hostsIn(proxy: LabProxy): number {
  const bytes = proxy.held(ROUTE).get('80')?.bytes ?? Buffer.alloc(0);
  return decode('envoy.config.route.v3.RouteConfiguration', bytes).virtualHosts?.length ?? 0;
}

describe('virtual hosts that travel one by one', () => {
  const lab = new Lab();
  let proxy: LabProxy;
  let twin: LabProxy;
  let plain: LabProxy;
  let old: LabProxy;
  const change = async (weight: number): Promise<void> => {
    for (const each of lab.proxies) each.reset();
    lab.apply(weights(weight) as never);
    await lab.settle();
  };
  const sent = (of: LabProxy): readonly string[] =>
    [...of.byType].map(([type, { resources, removed }]) => `${type.split('.').pop()} ${resources} ${removed}`);

  beforeAll(async () => {
    lab.apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    proxy = lab.connect(node(0, SPLIT));
    twin = lab.connect(node(2, SPLIT, 'b'));
    plain = lab.connect(node(4));
    old = lab.connect(node(6, SPLIT, 'a', 36));
    await lab.settle();
    // As Envoy does when it has the RouteConfiguration.
    for (const each of [proxy, twin]) each.stream.request(each.client.subscribe(HOST));
    await lab.settle();
  }, 60_000);

  it('are all there, under the name of their RouteConfiguration', () => {
    expect(hostsIn(proxy)).toBe(0);
    expect(hostsIn(plain)).toBeGreaterThan(SHAPE.services);
    expect(hostsIn(old)).toBe(hostsIn(plain));
    expect(proxy.held(HOST).size).toBe(hostsIn(plain));
    const { name } = decode('envoy.config.route.v3.VirtualHost', proxy.held(HOST).get(nameOf(20))?.bytes as Buffer);
    expect(name).toBe(nameOf(20));
  });

  it('are sent alone when they change, rendered once for all', async () => {
    const { runs } = member.counts;
    await change(70);
    expect(sent(proxy)).toEqual(['VirtualHost 1 0']);
    expect(sent(twin)).toEqual(['VirtualHost 1 0']);
    expect(member.counts.runs - runs).toBe(1);
    expect(sent(plain)).toEqual(['RouteConfiguration 1 0']);
    expect(proxy.received.bytes).toBeLessThan(plain.received.bytes / 20);
  });

  it('go with their service', async () => {
    for (const each of lab.proxies) each.reset();
    lab.apply([], [{ kind: 'Service', namespace: 'ns-1', name: 'svc-1' }]);
    await lab.settle();
    expect(sent(proxy)).toContain('VirtualHost 0 1');
    expect(sent(proxy)).not.toContain('RouteConfiguration 1 0');
    expect(proxy.held(HOST).has(nameOf(1))).toBe(false);
  });

  it('are not sent again to a proxy that comes back', async () => {
    for (const each of lab.proxies) each.reset();
    proxy.reconnect();
    await lab.settle();
    expect(proxy.received).toMatchObject({ resources: 0, removed: 0 });
    await change(60);
    expect(sent(proxy)).toEqual(['VirtualHost 1 0']);
  });
});

describe('classes that differ in place alone', () => {
  it('share clusters, listeners and routes, and what they were made from', async () => {
    const lab = new Lab();
    lab.apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    for (const zone of ['a', 'b', 'c']) lab.connect(node(0, {}, zone));
    await lab.settle();
    const classes = [...lab.plane.classes.values()];
    expect(classes).toHaveLength(3);
    const parts = (): readonly unknown[] => classes.map(({ views }) => views?.resources.parts.placeless);
    expect(new Set(parts()).size).toBe(1);
    expect(new Set(classes.map(({ views }) => views?.scope.placeless)).size).toBe(1);
    const before = parts()[0];
    lab.apply(weights(50) as never);
    await lab.settle();
    expect(new Set(parts()).size).toBe(1);
    expect(parts()[0]).not.toBe(before);
    for (const typeUrl of [CLUSTER, ENDPOINT, ROUTE])
      expect(new Set(classes.map(({ views }) => views?.tables.get(typeUrl))).size).toBe(1);
  });

  it('have clusters of their own where these carry addresses, before and after a change', async () => {
    const dns = (address: string): never =>
      objectsOf([
        {
          apiVersion: 'networking.istio.io/v1',
          kind: 'ServiceEntry',
          metadata: { name: 'dns', namespace: 'ns-0' },
          spec: {
            hosts: ['dns.example.com'],
            resolution: 'DNS',
            ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
            endpoints: [
              { address: 'a.example.com', locality: 'r/a' },
              { address, locality: 'r/b' },
            ],
          },
        },
        {
          apiVersion: 'networking.istio.io/v1',
          kind: 'DestinationRule',
          metadata: { name: 'dns', namespace: 'ns-0' },
          spec: { host: 'dns.example.com', trafficPolicy: { outlierDetection: { consecutive5xxErrors: 5 } } },
        },
      ]) as never;
    const zones = ['a', 'b'];
    const clustersOf = (lab: Lab): readonly (string | undefined)[] =>
      lab.proxies.map((proxy) => proxy.held(CLUSTER).get('outbound|80||dns.example.com')?.bytes.toString('base64'));
    const labOf = async (address: string, only: readonly string[]): Promise<Lab> => {
      const lab = new Lab();
      lab.apply(dns(address));
      await lab.settle();
      for (const zone of only) lab.connect(node(0, {}, zone));
      await lab.settle();
      return lab;
    };
    const lab = await labOf('b.example.com', zones);
    expect(new Set(clustersOf(lab)).size).toBe(2);
    lab.apply(dns('c.example.com'));
    await lab.settle();
    const alone = await Promise.all(zones.map(async (zone) => clustersOf(await labOf('c.example.com', [zone]))[0]));
    expect(clustersOf(lab)).toEqual(alone);
  });
});
