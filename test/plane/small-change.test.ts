// What a small change costs those whom it doesn't concern: nothing. Told by counts: scopes that were looked at, and proxies.

import { describe, expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode, serviceManifests, trafficManifests } from '../../bench/mesh.ts';
import type { PlaneSession } from '../../src/plane/proxy-session.ts';
import { CLUSTER, Lab, objectsOf } from './lab.ts';

const NAMESPACES = 12;
const SHAPE: MeshShape = { services: 48, endpoints: 2, namespaces: NAMESPACES, routed: 0.5, flavour: 'kubernetes' };
const NAMES = Array.from({ length: NAMESPACES }, (_, i) => `ns-${i}`);

/** Each namespace sees its own services alone. */
const SIDECARS = NAMES.map((namespace) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name: 'default', namespace },
  spec: { egress: [{ hosts: ['./*'] }] },
}));

const node = (index: number, labels: object, zone = 'z') => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: `node-${index}`, labels: { 'topology.kubernetes.io/zone': zone, ...labels } },
  status: {
    addresses: [{ type: 'InternalIP', address: `172.16.0.${index}` }],
    nodeInfo: { kubeletVersion: 'v1.34.0' },
  },
});

/** The mesh with Pods spread over three Nodes, and a proxy of each namespace. */
async function lab(): Promise<Lab> {
  const mesh = new Lab().apply(
    objectsOf([...[0, 1, 2].map((i) => node(i, {})), ...spread(meshManifests(SHAPE)), ...SIDECARS]),
  );
  await mesh.settle();
  for (let i = 0; i < NAMESPACES; i++) mesh.connect(proxyNode(SHAPE, i));
  await mesh.settle();
  return mesh;
}

function spread(manifests: readonly Readonly<Record<string, unknown>>[]): readonly unknown[] {
  let pods = 0;
  return manifests.map((each) =>
    each['kind'] === 'Pod' ? { ...each, spec: { ...(each['spec'] as object), nodeName: `node-${pods++ % 3}` } } : each,
  );
}

interface Cost {
  readonly scopes: number;
  readonly relinks: number;
  readonly responses: number;
}

async function costOf(mesh: Lab, manifests: readonly unknown[]): Promise<Cost> {
  const counts = (): Cost => ({
    scopes: mesh.metrics.of('meltemi_scopes_total'),
    relinks: mesh.metrics.of('meltemi_relinks_total'),
    responses: mesh.proxies.reduce((sum, { received }) => sum + received.responses, 0),
  });
  const before = counts();
  mesh.apply(objectsOf(manifests));
  await mesh.settle();
  const after = counts();
  return {
    scopes: after.scopes - before.scopes,
    relinks: after.relinks - before.relinks,
    responses: after.responses - before.responses,
  };
}

describe('in a mesh with Sidecars', () => {
  it.each([
    ['an endpoint', serviceManifests(SHAPE, 1, { address: '10.99.0.1' })],
    ['a route', trafficManifests(SHAPE, 2, { weight: 77 })],
  ])('%s is looked at for the one namespace that sees it', async (_name, manifests) => {
    const mesh = await lab();
    const { scopes, responses } = await costOf(mesh, manifests);
    expect({ scopes, responses }).toEqual({ scopes: 1, responses: 1 });
  });

  it('a service that comes is looked at for the one namespace that imports it', async () => {
    const mesh = await lab();
    const { scopes, relinks } = await costOf(mesh, serviceManifests({ ...SHAPE, services: 49 }, 48));
    expect(scopes).toBe(1);
    expect(relinks).toBeLessThanOrEqual(3);
  });

  it('a service that comes is seen where a VirtualService leads to it', async () => {
    const mesh = await lab();
    const route = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'late', namespace: 'ns-0' },
      spec: { hosts: ['svc-0'], http: [{ route: [{ destination: { host: 'svc-49.ns-1.svc.cluster.local' } }] }] },
    };
    mesh.apply(objectsOf([route]));
    await mesh.settle();
    const { scopes } = await costOf(mesh, serviceManifests({ ...SHAPE, services: 50 }, 49));
    expect(scopes).toBe(2);
    const seeing = mesh.proxies.filter((proxy) =>
      [...proxy.held(CLUSTER).keys()].some((name) => name.includes('svc-49.')),
    );
    expect(seeing.map(({ id }) => id.split('~')[3])).toEqual(['ns-0.svc.cluster.local', 'ns-1.svc.cluster.local']);
  });

  it('a policy of a namespace is looked at for its own proxies', async () => {
    const mesh = await lab();
    const policy = {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'p', namespace: 'ns-3' },
      spec: { rules: [{ to: [{ operation: { methods: ['GET'] } }] }] },
    };
    expect(await costOf(mesh, [policy])).toEqual({ scopes: 0, relinks: 1, responses: 1 });
  });

  it.each([
    ['EnvoyFilter', 'networking.istio.io/v1alpha3', {}],
    ['Telemetry', 'telemetry.istio.io/v1', { accessLogging: [{ disabled: true }] }],
    ['WasmPlugin', 'extensions.istio.io/v1alpha1', { url: 'oci://x/y:v1' }],
    ['PeerAuthentication', 'security.istio.io/v1', { mtls: { mode: 'STRICT' } }],
    ['Sidecar', 'networking.istio.io/v1', { egress: [{ hosts: ['./*', 'ns-1/*'] }] }],
    [
      'DestinationRule',
      'networking.istio.io/v1',
      { host: '*.svc.cluster.local', trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } },
    ],
  ])('a %s of the root namespace is looked at for all', async (kind, apiVersion, spec) => {
    const mesh = await lab();
    const object = { apiVersion, kind, metadata: { name: 'x', namespace: 'istio-system' }, spec };
    expect((await costOf(mesh, [object])).scopes).toBe(NAMESPACES);
  });

  it('a Sidecar with another listener of its own is told to the proxies of its namespace', async () => {
    const mesh = await lab();
    const [own] = SIDECARS;
    const ingress = [{ port: { number: 7000, protocol: 'HTTP', name: 'http' }, defaultEndpoint: '127.0.0.1:8080' }];
    const { relinks, responses } = await costOf(mesh, [{ ...own, spec: { ...own?.spec, ingress } }]);
    expect(relinks).toBe(1);
    expect(responses).toBeGreaterThanOrEqual(1);
  });

  it('a scope is looked at again when many changes have passed it by', async () => {
    const mesh = await lab();
    let scopes = 0;
    for (let i = 1; i <= 65; i++)
      scopes += (await costOf(mesh, serviceManifests(SHAPE, 1, { address: `10.99.0.${i}` }))).scopes;
    expect(scopes).toBe(65 + (NAMESPACES - 1));
  });
});

describe('a Node', () => {
  it('with other notes on it concerns nobody', async () => {
    const mesh = await lab();
    const { sequence } = mesh.plane.snapshot ?? {};
    const noted = node(1, {});
    const annotated = { ...noted, metadata: { ...noted.metadata, annotations: { a: 'b' } } };
    expect(await costOf(mesh, [annotated])).toEqual({ scopes: 0, relinks: 0, responses: 0 });
    expect(mesh.plane.snapshot?.sequence).toBe(sequence);
  });

  it('in another zone concerns the proxies on it, and those who see endpoints of it', async () => {
    const mesh = await lab();
    const { relinks } = await costOf(mesh, [node(1, {}, 'other')]);
    expect(relinks).toBe(NAMESPACES / 3);
    const moved = [...mesh.plane.sessions].filter(({ classState }) => classState?.proxyClass.locality === '/other');
    expect(moved).toHaveLength(NAMESPACES / 3);
  });
});

describe('a WorkloadEntry', () => {
  it('concerns proxies with its address', async () => {
    const mesh = await lab();
    const [address] = mesh.sessionOf(mesh.proxies[4] as (typeof mesh.proxies)[number]).proxy.addresses;
    const entry = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'WorkloadEntry',
      metadata: { name: 'vm', namespace: 'ns-4', labels: { app: 'vm' } },
      spec: { address, labels: { app: 'vm', version: 'of-vm' } },
    };
    const { relinks } = await costOf(mesh, [entry]);
    expect(relinks).toBeGreaterThanOrEqual(1);
    expect(relinks).toBeLessThan(NAMESPACES / 2);
    const [session] = [...mesh.plane.sessions].filter(({ proxy }) => proxy.namespace === 'ns-4');
    expect(session?.workload?.labels['version']).toBe('of-vm');
  });
});

describe('an endpoint that is written into a ServiceEntry', () => {
  it('concerns proxies with its address', async () => {
    const mesh = await lab();
    const session = (): PlaneSession => mesh.sessionOf(mesh.proxies[4] as (typeof mesh.proxies)[number]);
    const [own = ''] = session().proxy.addresses;
    const entry = (address: string) => ({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'written', namespace: 'ns-4' },
      spec: {
        hosts: ['written.example.com'],
        ports: [{ number: 9000, name: 'http', protocol: 'HTTP' }],
        resolution: 'STATIC',
        endpoints: [{ address }],
      },
    });
    mesh.apply(objectsOf([entry('10.99.9.9')]));
    await mesh.settle();
    const targets = (): readonly string[] => session().workload?.targets.map(({ service }) => service.hostname) ?? [];
    expect(targets()).not.toContain('written.example.com');
    const { relinks } = await costOf(mesh, [entry(own)]);
    expect(targets()).toContain('written.example.com');
    expect(relinks).toBeLessThan(NAMESPACES / 2);
  });
});
