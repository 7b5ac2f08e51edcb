import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tableGet, tableValues } from '../../src/lib/table.ts';
import { newestEnvoy, startProxy, type TestProxy } from '../support/envoy.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { holdSubnet, until } from '../support/wait.ts';
import { istio } from './fixtures.ts';

const ENVOY = newestEnvoy();
const FAILED_PRECONDITION = 9;

describe.skipIf(ENVOY === '')('a machine that registers itself', () => {
  let plane: LocalControlPlane;
  let folder: TestFolder;
  let subnet: { readonly prefix: string; release(): void };
  let healthy = true;
  const application = createServer((_request, response) => void response.writeHead(healthy ? 200 : 500).end('state'));

  beforeAll(async () => {
    subnet = await holdSubnet();
    folder = new TestFolder();
    folder.write('group', [
      istio('WorkloadGroup', 'vm', { metadata: { labels: { app: 'vm' } }, template: { serviceAccount: 'vm' } }),
      istio('ServiceEntry', 'vm', {
        hosts: ['vm.example.com'],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        workloadSelector: { labels: { app: 'vm' } },
      }),
    ]);
    plane = await startLocalControlPlane(folder, '127.0.0.1', { entryGraceMs: 200 });
    await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    application.close();
    await plane?.stop();
    folder?.delete();
    subnet?.release();
  });

  const start = (env: Readonly<Record<string, string>>, wait = true): Promise<TestProxy> =>
    startProxy(plane, {
      name: 'vm-1',
      namespace: 'shop',
      account: 'vm',
      labels: {},
      role: 'sidecar',
      ip: `${subnet.prefix}.1`,
      envoy: ENVOY,
      env: { ISTIO_META_INTERCEPTION_MODE: 'NONE', ...env },
      proxyConfig: {
        readinessProbe: {
          httpGet: { host: '127.0.0.1', port: (application.address() as { port: number }).port },
          periodSeconds: 1,
        },
      },
      wait,
    });

  /** Addresses of those that proxies are told are well. */
  const endpoints = (): readonly string[] => {
    const { snapshot } = plane.server.config.plane;
    const found = snapshot === undefined ? undefined : tableGet(snapshot.endpoints, 'vm.example.com');
    return (found ?? []).flatMap(({ endpoints: each }) =>
      each.flatMap(({ address, health }) => (health === 'UNHEALTHY' ? [] : [address])),
    );
  };
  const entries = () =>
    [...tableValues(plane.server.config.store.state().byKind.WorkloadEntry)].map(({ name }) => name);

  it('is an endpoint while its application is well, and is forgotten when it goes', async () => {
    const proxy = await start({ ISTIO_META_AUTO_REGISTER_GROUP: 'vm' });
    const address = `${subnet.prefix}.1`;
    try {
      expect(entries()).toEqual([`vm-${address}`]);
      await until(async () => endpoints().join() === address, 'an endpoint');
      healthy = false;
      await until(async () => endpoints().length === 0, 'no endpoint');
      healthy = true;
      await until(async () => endpoints().join() === address, 'an endpoint again');
    } finally {
      await proxy.stop();
    }
    await until(async () => entries().length === 0 && endpoints().length === 0, 'no entry');
    expect(await plane.metric('auto_registration_success_total')).toBe(1);
    expect(await plane.metric('auto_registration_deletes_total')).toBe(1);
  });

  it('is refused while its group does not exist, and let in when it does', async () => {
    const proxy = await start({ ISTIO_META_AUTO_REGISTER_GROUP: 'late' }, false);
    try {
      const refusals = () => plane.metric('pilot_xds_refused_streams_total', { code: String(FAILED_PRECONDITION) });
      await until(async () => (await refusals()) > 0, 'a refusal');
      expect(entries()).toEqual([]);
      folder.write('late', [istio('WorkloadGroup', 'late', { template: { serviceAccount: 'vm' } })]);
      await until(async () => entries().length === 1, 'an entry', 30_000);
    } finally {
      await proxy.stop();
    }
  });
});
