import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../src/agent/admin.ts';
import { type AppAnswer, type CallAnswer, call, type SeenRequest } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { countBy, istio, many, NAMESPACE, to } from './fixtures.ts';

const envoy = newestEnvoy();

const NETWORK = 'topology.istio.io/network';
const PORT = 15_443;

/** Answers the first try of what wants to be tried again with an error. */
const failing = ({ headers, path }: SeenRequest): AppAnswer | undefined =>
  path === '/again' && headers['x-envoy-attempt-count'] === '1' ? { status: 500 } : undefined;

describe.skipIf(envoy === '')('several networks', () => {
  let mesh: Mesh<LocalControlPlane>;

  beforeAll(async () => {
    const on = (
      network: string,
    ): { readonly labels: Record<string, string>; readonly env: Record<string, string> } => ({
      labels: { [NETWORK]: network },
      env: { ISTIO_META_NETWORK: network },
    });
    const ports = [{ name: 'http', number: 8080 }];
    const east = on('east');
    mesh = await startMesh({
      envoy,
      // Tests call from 127.0.0.1: inside of the mesh's networks.
      networks: { networks: { office: { endpoints: [{ fromCidr: '127.0.0.0/24' }] } } },
      workloads: [
        { name: 'client', ...on('west') },
        {
          name: 'plain',
          service: 'plain',
          proxied: false,
          ports: ports.map((port) => ({ ...port, handler: failing })),
        },
        { name: 'front', role: 'router', labels: { istio: 'ingressgateway' }, env: { ISTIO_META_NETWORK: 'west' } },
        { name: 'near', service: 'web', ports, ...on('west') },
        { name: 'far', service: 'web', ports, ...east },
        { name: 'remote', service: 'remote', ports, ...east },
        {
          name: 'eastwest',
          role: 'router',
          // As the chart sets it: with no gateway of west to go by, it would else share out to `near` as well.
          env: { ...east.env, ISTIO_META_REQUESTED_NETWORK_VIEW: 'east' },
          labels: { ...east.labels, istio: 'eastwestgateway' },
        },
      ],
      objects: (at) => [
        istio('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }),
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'eastwest', namespace: NAMESPACE, labels: { [NETWORK]: 'east' } },
          spec: {
            type: 'LoadBalancer',
            clusterIP: '10.96.78.1',
            selector: { workload: 'eastwest' },
            ports: [{ name: 'tls', port: PORT, targetPort: PORT }],
          },
          status: { loadBalancer: { ingress: [{ ip: at.pod('eastwest') }] } },
        },
        istio('Gateway', 'cross', {
          selector: { istio: 'eastwestgateway' },
          servers: [
            {
              port: { number: PORT, protocol: 'TLS', name: 'tls' },
              hosts: ['*.local'],
              tls: { mode: 'AUTO_PASSTHROUGH' },
              bind: at.pod('eastwest'),
            },
          ],
        }),
      ],
    });
  });
  afterAll(() => mesh?.finish());

  const connections = async (): Promise<number> => {
    const stats = await mesh.proxy('eastwest').stats('^cluster.outbound_.*upstream_cx_total$');
    return [...stats.values()].reduce((sum, value) => sum + value, 0);
  };

  it('are joined by a gateway that passes on what it cannot read', async () => {
    const answer = await mesh.call('client', { host: 'remote' });
    expect(answer.status).toBe(200);
    expect(answer.echo().app).toBe('remote');
    // The server sees the client itself, not the gateway between them.
    expect(String(answer.echo().headers['x-forwarded-client-cert'])).toMatch(
      new RegExp(`URI=spiffe://cluster.local/ns/${NAMESPACE}/sa/client$`),
    );
    expect(await connections()).toBe(1);
  });

  it('share a service: what is near is reached straight, what is far through the gateway', async () => {
    const before = await connections();
    const servers = async (): Promise<readonly unknown[]> =>
      [...countBy(await many(mesh, 'client', { host: 'web' }, 40, 4), (answer) => answer.echo().app).keys()].sort();
    await expect.poll(servers, { timeout: 8000 }).toEqual(['far', 'near']);
    expect(await connections()).toBeGreaterThan(before);
    const { body } = await ask(mesh.proxy('client').admin, 'GET', '/clusters');
    const hosts = [...body.matchAll(/^outbound\|8080\|\|web\.[^:]*::([\d.]+:\d+)::cx_active/gm)].map(
      ([, host]) => host,
    );
    expect(hosts.sort()).toEqual([`${mesh.at.pod('near')}:8080`, `${mesh.at.pod('eastwest')}:${PORT}`].sort());
  });

  it('are believed by gateways, which take nothing of the mesh from others', async () => {
    await mesh.apply('front', [
      istio('Gateway', 'front', {
        selector: { istio: 'ingressgateway' },
        servers: [{ port: { number: 8000, protocol: 'HTTP', name: 'http' }, hosts: ['*'], bind: mesh.at.pod('front') }],
      }),
      istio('VirtualService', 'front', {
        hosts: ['shop.example'],
        gateways: ['front'],
        http: [{ retries: { attempts: 0 }, route: [to('plain')] }],
      }),
    ]);
    const enter = (localAddress: string, path = '/'): Promise<CallAnswer> =>
      call({
        ...{ address: mesh.at.pod('front'), port: 8000, localAddress, path },
        headers: { host: 'shop.example', 'x-envoy-max-retries': '2', 'x-envoy-retry-on': '5xx', connection: 'close' },
      });
    const outside = mesh.at.other(210);
    await expect.poll(() => enter('127.0.0.1').then(({ status }) => status), { timeout: 8000 }).toBe(200);
    const internal = async (from: string): Promise<unknown> => (await enter(from)).echo().headers['x-envoy-internal'];
    expect([await internal('127.0.0.1'), await internal(outside)]).toEqual(['true', undefined]);
    // Who is inside may tell the gateway what to try again.
    expect((await enter('127.0.0.1', '/again')).status).toBe(200);
    expect((await enter(outside, '/again')).status).toBe(500);
  });
});
