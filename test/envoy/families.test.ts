import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Echo } from '../support/apps.ts';
import { type CapturedSidecar, captureTraffic, startCapturedSidecar } from '../support/captured.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { meshObjects, type PlacedWorkload } from '../support/mesh-objects.ts';
import { type Pod, PodNetwork, whyNoPods } from '../support/netns.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { istio, NAMESPACE } from './fixtures.ts';

const envoy = newestEnvoy();
const obstacle = whyNoPods('ip6tables');
if (obstacle !== undefined) {
  if (process.env['CI'] === 'true') throw new Error(`capture of IPv6 can not be tested: ${obstacle}`);
  console.warn(`tests of captured IPv6 are skipped: ${obstacle}`);
}

/** Addresses of the services: nothing has them, so only a sidecar can know what is meant. */
const DUAL = { v4: '10.96.78.1', v6: 'fd96::1' };
const SIX = 'fd96::2';
const CLEAR = { v4: '10.96.78.3', v6: 'fd96::3' };

/** As the injector writes the probes of a container: one that passes, and one of a port where nobody listens. */
const PROBES = {
  ISTIO_KUBE_APP_PROBERS: JSON.stringify({
    '/app-health/app/readyz': { httpGet: { path: '/ready', port: 8080 } },
    '/app-health/app/livez': { tcpSocket: { port: 8081 } },
  }),
};

describe.skipIf(envoy === '' || obstacle !== undefined)('captured traffic of both families', () => {
  let network: PodNetwork;
  let folder: TestFolder;
  let plane: LocalControlPlane;
  let client: Pod;
  let dual: Pod;
  let six: Pod;
  let clear: Pod;
  let outsider: Pod;
  const sidecars: CapturedSidecar[] = [];

  const placed = (name: string, pod: string, secondPod?: string): PlacedWorkload => ({
    ...{ name, namespace: NAMESPACE, account: name, service: undefined, labels: { app: name }, sidecar: true },
    ...{ pod, secondPod, out: pod, captured: true, egress: [] },
    ports: [{ name: 'http', number: 8080, endpoint: '127.0.0.1:8080' }],
  });
  const service = (name: string, clusterIPs: readonly string[], ipFamilies: readonly string[]): object => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilies,
      ipFamilyPolicy: ipFamilies.length > 1 ? 'RequireDualStack' : 'SingleStack',
      selector: { app: name },
      ports: [{ name: 'http', port: 8080, targetPort: 8080 }],
    },
  });

  beforeAll(async () => {
    network = new PodNetwork({ ipv6: true });
    folder = new TestFolder({ defaultConfig: { proxyMetadata: { ISTIO_DUAL_STACK: 'true' } } });
    [client, dual, six, clear, outsider] = (await Promise.all(
      ['client', 'dual', 'six', 'clear', 'outsider'].map((name) => network.pod(name)),
    )) as [Pod, Pod, Pod, Pod, Pod];
    // To the mesh `six` has no IPv4; its network has, for the way to the control plane.
    const workloads = [
      { pod: client, workload: placed('client', client.address, client.address6) },
      { pod: dual, workload: placed('dual', dual.address, dual.address6) },
      { pod: six, workload: placed('six', six.address6) },
      { pod: clear, workload: placed('clear', clear.address, clear.address6), mode: 'TPROXY' },
    ] as const;
    folder.write('workloads', [
      ...meshObjects(workloads.map(({ workload }) => workload)),
      istio('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }),
      service('dual', [DUAL.v4, DUAL.v6], ['IPv4', 'IPv6']),
      service('six', [SIX], ['IPv6']),
      service('clear', [CLEAR.v4, CLEAR.v6], ['IPv4', 'IPv6']),
    ]);
    plane = await startLocalControlPlane(folder, network.gateway);
    await Promise.all([dual.serve(8080, 'dual', '::'), six.serve(8080, 'six', '::'), clear.serve(8080, 'clear', '::')]);
    for (const each of workloads) {
      const mode = 'mode' in each ? ['-m', each.mode] : [];
      expect(captureTraffic(each.pod, ...mode)).toContain('traffic capture is in force');
    }
    sidecars.push(
      ...(await Promise.all(workloads.map((each) => startCapturedSidecar({ plane, envoy, env: PROBES, ...each })))),
    );
    await plane.settled();
  }, 180_000);

  afterAll(async () => {
    for (const sidecar of sidecars) await sidecar.stop();
    await network?.remove();
    await plane?.stop();
    folder?.delete();
  });

  const ask = async (from: Pod, address: string): Promise<Echo> => {
    const { status, body, error } = await from.call({ url: `http://${address}:8080/shop` });
    expect([status, error]).toEqual([200, undefined]);
    return JSON.parse(body ?? '') as Echo;
  };
  /** What a service answers while its pod refuses connections over IPv4. */
  const withoutV4 = async (pod: Pod, address: string): Promise<Echo> => {
    const refused = ['INPUT', '-p', 'tcp', '-s', client.address, '-j', 'REJECT', '--reject-with', 'tcp-reset'];
    pod.run('iptables', ['-I', ...refused]);
    const url = `http://${address}:8080/shop`;
    await until(async () => (await client.call({ url })).status === 200, 'the other family');
    const answer = await ask(client, address);
    pod.run('iptables', ['-D', ...refused]);
    return answer;
  };
  const id = (account: string): string => `spiffe://cluster.local/ns/${NAMESPACE}/sa/${account}`;

  it('goes through both sidecars over IPv6 alone, with mutual TLS between them', async () => {
    const { app, headers, from } = await ask(client, `[${SIX}]`);
    expect(app).toBe('six');
    expect(headers['x-forwarded-client-cert']).toContain(`By=${id('six')};`);
    expect(headers['x-forwarded-client-cert']).toContain(`URI=${id('client')}`);
    // The address by which the rules know what the sidecar has already seen.
    expect(from).toBe('::6');
  });

  it('goes to a dual stack service by the address of either family', async () => {
    for (const [pod, address] of [
      [client, DUAL.v4],
      [client, `[${DUAL.v6}]`],
      [six, `[${DUAL.v6}]`],
    ] as const) {
      const { app, headers } = await ask(pod, address);
      expect(app).toBe('dual');
      expect(headers['x-forwarded-client-cert']).toContain(`By=${id('dual')};`);
      expect(headers['x-forwarded-client-cert']).toContain(`URI=${id(pod === six ? 'six' : 'client')}`);
    }
  });

  it('comes to a dual stack pod by its first address, and by the other where that does not answer', async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 10; i += 1) seen.add((await ask(client, DUAL.v4)).from);
    expect([...seen]).toEqual(['::ffff:127.0.0.6']);
    expect((await withoutV4(dual, DUAL.v4)).from).toBe('::6');
  });

  it('keeps the address of the client with TPROXY, of either family', async () => {
    expect(await ask(client, CLEAR.v4)).toMatchObject({ app: 'clear', from: `::ffff:${client.address}` });
    expect(await withoutV4(clear, CLEAR.v4)).toMatchObject({ app: 'clear', from: client.address6 });
  });

  it('is refused in plaintext by a STRICT pod, at all of its addresses', async () => {
    for (const address of [dual.address, `[${dual.address6}]`, `[${six.address6}]`]) {
      const { status, error } = await outsider.call({ url: `http://${address}:8080/` });
      expect([address, status]).toEqual([address, undefined]);
      expect(error).toMatch(/ECONNRESET|socket hang up/);
    }
  });

  it('lets a kubelet probe in plaintext where the application itself refuses it', async () => {
    for (const address of [dual.address, `[${six.address6}]`]) {
      const probe = async (port: number, path: string): Promise<readonly unknown[]> => {
        const { status } = await outsider.call({ url: `http://${address}:${port}${path}` });
        return [address, status];
      };
      expect(await probe(8080, '/ready')).toEqual([address, undefined]);
      expect(await probe(15_020, '/app-health/app/readyz')).toEqual([address, 200]);
      expect(await probe(15_020, '/app-health/app/livez')).toEqual([address, 500]);
      expect(await probe(15_021, '/healthz/ready')).toEqual([address, 200]);
    }
  });

  it('left no warnings and no rejections', async () => {
    for (const { log } of sidecars)
      expect(log.filter((line) => /\]\[(warning|error|critical)\]/.test(line))).toEqual([]);
    expect(await plane.metric('pilot_total_xds_rejects')).toBe(0);
  });
});
