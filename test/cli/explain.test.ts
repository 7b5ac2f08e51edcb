import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Explanation } from '../../src/console/explain.ts';
import { type CommandMesh, commandMesh, istio, kubeService, sidecarNode, slice } from './mesh.ts';
import { cells } from './support.ts';

let mesh: CommandMesh;

beforeAll(async () => {
  mesh = await commandMesh([
    kubeService('web', '10.96.0.1'),
    slice('web', '10.0.0.5'),
    istio('DestinationRule', 'web', {
      host: 'web',
      trafficPolicy: { portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: 'RANDOM' } }] },
      subsets: [{ name: 'v0' }, { name: 'v1', labels: { version: 'v1' } }],
    }),
    istio('DestinationRule', 'web-late', { host: 'web', trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } }),
    istio('VirtualService', 'web', {
      hosts: ['web'],
      http: [{ route: [{ destination: { host: 'web', subset: 'v1' } }] }],
    }),
    istio('VirtualService', 'web-late', { hosts: ['web'], http: [{ route: [{ destination: { host: 'web' } }] }] }),
    istio('Sidecar', 'only', { egress: [{ hosts: ['./*'] }] }),
    istio('Sidecar', 'second', { egress: [{ hosts: ['*/*'] }] }),
    istio('PeerAuthentication', 'strict', { mtls: { mode: 'STRICT' } }, 'shop', 'security'),
  ]);
  await mesh.connect(sidecarNode('client', 'shop', '10.0.0.9', { app: 'client' }));
});

afterAll(() => mesh.stop());

async function rows(...args: string[]): Promise<readonly (readonly string[])[]> {
  const { code, out, err } = await mesh.meltemi('explain', 'client.shop', ...args);
  expect(err).toBe('');
  expect(code).toBe(0);
  const [header, ...rest] = cells(out);
  expect(header).toEqual(['TYPE', 'NAME', 'OBJECT', 'FIELD', 'GENERATION', 'NOTE']);
  return rest.map((row) => row.map((cell) => cell.trim()).filter((cell) => cell !== ''));
}

describe('explain', () => {
  const name = 'outbound|80|v1|web.shop.svc.cluster.local';

  it('names the objects and fields behind a cluster, and who lost', async () => {
    expect(await rows('cluster', name)).toEqual([
      ['cluster', name, 'DestinationRule/web.shop', 'spec.subsets[1]', '3'],
      ['cluster', name, 'DestinationRule/web.shop', 'spec.trafficPolicy.portLevelSettings[0]', '3'],
      [
        ...['cluster', name, 'DestinationRule/web-late.shop', 'spec.trafficPolicy', '3'],
        'lost: the traffic policy is given by an older rule',
      ],
      ['cluster', name, 'PeerAuthentication/strict.shop', 'spec.mtls', '3'],
      ['cluster', name, 'Service/web.shop', '-', '-'],
    ]);
  });

  it('names the slices behind endpoints', async () => {
    const found = await rows('endpoints', name);
    const objects = new Set(found.map((row) => row[2]));
    expect([...objects]).toEqual([
      'DestinationRule/web.shop',
      'DestinationRule/web-late.shop',
      'EndpointSlice/web-x.shop',
      'Service/web.shop',
    ]);
  });

  it('names rules of VirtualServices, and those whose host was taken', async () => {
    const found = (await rows('rds', '80')).filter((row) => row[2]?.startsWith('VirtualService'));
    expect(found.map((row) => row.slice(2))).toEqual([
      ['VirtualService/web.shop', 'spec.http[0]', '3'],
      [
        'VirtualService/web-late.shop',
        'spec.hosts',
        '3',
        'lost: web.shop.svc.cluster.local has routes of an older object',
      ],
    ]);
  });

  it('begins with what shapes the proxy as a whole', async () => {
    const whole = (await rows()).filter(([type]) => type === 'proxy');
    expect(whole.map((row) => row.slice(2))).toEqual([
      ['PeerAuthentication/strict.shop', '-', '3'],
      ['Sidecar/only.shop', '-', '3'],
      ['Sidecar/second.shop', 'spec', '3', expect.stringContaining('lost: ')],
    ]);
  });

  it('is the same page over HTTP and as JSON, of every resource', async () => {
    const page = (await mesh.plane.debug('explain?proxyID=client.shop')) as Explanation;
    const { out } = await mesh.meltemi('explain', 'client', '-n', 'shop', '-o', 'json');
    expect(JSON.parse(out)).toEqual(page);
    expect(page.resources.filter(({ origins }) => origins.length === 0).map(({ name: each }) => each)).toEqual([
      'virtualOutbound',
      'BlackHoleCluster',
      'InboundPassthroughCluster',
      'PassthroughCluster',
    ]);
  });

  it.each([
    [['explain', 'nobody.shop'], 1, 'proxy nobody.shop is not connected'],
    [['explain', 'client.shop', 'cluster', 'nothing'], 1, 'proxy client.shop has no cluster nothing'],
    [['explain', 'client.shop', 'nonsense'], 64, 'expected one of listener'],
  ])('%j is an error', async (args, code, message) => {
    const outcome = await mesh.meltemi(...args);
    expect(outcome.code).toBe(code);
    expect(outcome.err).toContain(message);
  });
});
