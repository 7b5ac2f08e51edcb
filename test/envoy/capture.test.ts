import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CapturedSidecar, captureTraffic, startCapturedSidecar } from '../support/captured.ts';
import { issue } from '../support/certificates.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { meshObjects, type PlacedWorkload } from '../support/mesh-objects.ts';
import { type Pod, PodNetwork, whyNoPods } from '../support/netns.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { istio, NAMESPACE, routes, to, versions } from './fixtures.ts';

const envoy = newestEnvoy();
const obstacle = whyNoPods();
if (obstacle !== undefined) {
  if (process.env['CI'] === 'true') throw new Error(`traffic capture can not be tested: ${obstacle}`);
  console.warn(`tests of traffic capture are skipped: ${obstacle}`);
}

const REQUEST = 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';

describe.skipIf(envoy === '' || obstacle !== undefined)('captured traffic', () => {
  let network: PodNetwork;
  let folder: TestFolder;
  let plane: LocalControlPlane;
  let client: Pod;
  let server: Pod;
  let canary: Pod;
  let outsider: Pod;
  const sidecars: CapturedSidecar[] = [];

  const placed = (name: string, pod: Pod, service?: string, labels = {}): PlacedWorkload => ({
    ...{
      name,
      namespace: NAMESPACE,
      account: service ?? name,
      service,
      labels,
      sidecar: true,
      captured: true,
      egress: [],
    },
    ...{ pod: pod.address, out: pod.address },
    ports: service === undefined ? [] : PORTS.map((port) => ({ ...port, endpoint: `127.0.0.1:${port.number}` })),
  });
  const PORTS = [
    { name: 'http', number: 8080 },
    { name: 'tcp-line', number: 7000 },
  ];

  /** So much of the traffic to web goes to v1. */
  const split = (weight: number): string =>
    folder.write('routes', [
      routes('web', [{ route: [to('web', 'v1', { weight }), to('web', 'v2', { weight: 100 - weight })] }]),
    ]);

  beforeAll(async () => {
    network = new PodNetwork();
    folder = new TestFolder();
    [client, server, canary, outsider] = (await Promise.all(
      ['client', 'server', 'canary', 'outsider'].map((name) => network.pod(name)),
    )) as [Pod, Pod, Pod, Pod];
    const workloads = [
      { pod: client, workload: placed('client', client), mode: 'REDIRECT' },
      { pod: server, workload: placed('web', server, 'web', { version: 'v1' }), mode: 'REDIRECT' },
      { pod: canary, workload: placed('canary', canary, 'web', { version: 'v2' }), mode: 'TPROXY' },
    ] as const;
    folder.write('workloads', [
      ...meshObjects(workloads.map(({ workload }) => workload)),
      istio('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }),
      versions('web', ['v1', 'v2']),
    ]);
    split(100);
    plane = await startLocalControlPlane(folder, network.gateway);
    await Promise.all([server.serve(8080, 'web'), canary.serve(8080, 'canary'), outsider.serve(9090, 'outsider')]);
    await Promise.all([server, canary].map((pod) => pod.serve(7000, 'tcp-web')));
    for (const { pod, mode } of workloads)
      expect(captureTraffic(pod, '-m', mode)).toContain('traffic capture is in force');
    const starts = workloads.map(({ pod, workload, mode }) =>
      startCapturedSidecar({ plane, envoy, pod, workload, mode }),
    );
    sidecars.push(...(await Promise.all(starts)));
    await plane.settled();
  }, 180_000);

  afterAll(async () => {
    for (const sidecar of sidecars) await sidecar.stop();
    await network?.remove();
    await plane?.stop();
    folder?.delete();
  });

  const WEB = '10.96.77.1';

  it('goes through both sidecars, with mutual TLS between them', async () => {
    const answer = await client.call({ url: `http://${WEB}:8080/shop`, headers: { host: 'web' } });
    expect(answer.status).toBe(200);
    const echo = JSON.parse(answer.body ?? '') as { headers: Record<string, string>; from: string; path: string };
    expect(echo.path).toBe('/shop');
    expect(echo.headers['x-forwarded-client-cert']).toContain('URI=spiffe://cluster.local/ns/shop/sa/client');
    expect(echo.headers['x-forwarded-client-cert']).toContain('By=spiffe://cluster.local/ns/shop/sa/web');
    // The address by which the rules know what the sidecar has already seen.
    expect(echo.from).toBe('127.0.0.6');
  });

  it('goes through both as bytes too, if it is for a service', async () => {
    expect((await client.talk(WEB, 7000, 'hello')).body).toBe('tcp-web hello');
    // Of a bare address the client's sidecar knows nothing: it passes the bytes on, and they are plaintext.
    expect((await client.talk(server.address, 7000, 'direct')).error).toBeDefined();
  });

  it('is split 90 to 10 over 2,000 requests', async () => {
    await plane.settled(split(90));
    const counts = await client.count({ url: `http://${WEB}:8080/`, headers: { host: 'web' } }, 2000);
    await plane.settled(split(100));
    expect(Object.keys(counts).sort()).toEqual(['canary', 'web']);
    console.info(`90/10 with captured traffic: ${((counts['web'] ?? 0) / 20).toFixed(1)} % of 2,000 went to v1`);
    expect(Math.abs((counts['web'] ?? 0) / 2000 - 0.9)).toBeLessThanOrEqual(0.03);
  });

  it('keeps the address of the client with TPROXY', async () => {
    await plane.settled(split(0));
    const { body } = await client.call({ url: `http://${WEB}:8080/`, headers: { host: 'web' } });
    await plane.settled(split(100));
    expect(JSON.parse(body ?? '')).toMatchObject({ app: 'canary', from: client.address });
    expect((await outsider.call({ url: `http://${canary.address}:8080/` })).status).toBeUndefined();
  });

  it('is refused in plaintext by a STRICT pod', async () => {
    const plain = await outsider.call({ url: `http://${server.address}:8080/` });
    expect(plain.status).toBeUndefined();
    expect(plain.error).toMatch(/ECONNRESET|socket hang up/);
    expect((await outsider.talk(server.address, 7000, 'hello')).error).toBeDefined();
  });

  it('shows the right identities to OpenSSL', () => {
    const impostor = issue(folder.sub('impostor'), 'impostor', 'URI:spiffe://cluster.local/ns/shop/sa/client');
    const certificates = join(folder.path, 'pod-client', 'certs');
    // Not to end before the server has said what it thinks of the certificate: with TLS 1.3 that comes late.
    const ask = (cert: string, key: string): string => {
      const to = `-connect ${server.address}:8080 -alpn istio -CAfile ${folder.rootFile} -cert ${cert} -key ${key}`;
      return outsider.run('sh', ['-c', `openssl s_client -ign_eof -showcerts ${to} 2>&1 || true`], REQUEST);
    };
    const shown = ask(join(certificates, 'cert-chain.pem'), join(certificates, 'key.pem'));
    expect(shown).toContain('Verify return code: 0 (ok)');
    expect(shown).toContain('HTTP/1.1 200 OK');
    const san = outsider.run('openssl', ['x509', '-noout', '-ext', 'subjectAltName'], shown);
    expect(san).toContain('URI:spiffe://cluster.local/ns/shop/sa/web');
    const refused = ask(impostor.certFile, impostor.keyFile);
    expect(refused).toMatch(/alert|reset by peer/);
    expect(refused).not.toContain('HTTP/1.1');
  });

  it('reaches what is not of the mesh as it is', async () => {
    const answer = await client.call({ url: `http://${outsider.address}:9090/out` });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body ?? '')).toMatchObject({ app: 'outsider', path: '/out', from: client.address });
  });

  describe('of services without an address of their own', () => {
    const kube = (name: string, spec: object): object => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: NAMESPACE },
      spec,
    });
    const entry = (host: string, number: number, protocol: string, endpoint: string, targetPort: number): object =>
      istio('ServiceEntry', host.replaceAll('.', '-'), {
        hosts: [host],
        location: 'MESH_EXTERNAL',
        resolution: 'STATIC',
        ports: [{ number, targetPort, name: protocol.toLowerCase(), protocol }],
        endpoints: [{ address: endpoint }],
      });

    it('goes to the pods of a headless service, with mutual TLS', async () => {
      const ports = [{ name: 'http', port: 8080, targetPort: 8080 }];
      await plane.settled(
        folder.write('further', [kube('pods', { clusterIP: 'None', selector: { app: 'web' }, ports })]),
      );
      const answer = await client.call({ url: `http://${server.address}:8080/`, headers: { host: 'pods.shop' } });
      const echo = JSON.parse(answer.body ?? '') as { app: string; headers: Record<string, string> };
      expect([answer.status, echo.app]).toEqual([200, 'web']);
      expect(echo.headers['x-forwarded-client-cert']).toContain('URI=spiffe://cluster.local/ns/shop/sa/client');
    });

    it('goes by another name where an ExternalName stands for a service', async () => {
      const alias = kube('alias', {
        type: 'ExternalName',
        externalName: 'web.shop.svc.cluster.local',
        ports: [{ name: 'http', port: 8080 }],
      });
      await plane.settled(folder.write('further', [alias]));
      const answer = await client.call({ url: `http://${WEB}:8080/`, headers: { host: 'alias.shop' } });
      expect([answer.status, (JSON.parse(answer.body ?? '') as { app: string }).app]).toEqual([200, 'web']);
    });

    it('is told apart on a port that HTTP and other bytes share', async () => {
      await plane.settled(
        folder.write('further', [
          entry('page.example', 9191, 'HTTP', outsider.address, 9090),
          entry('line.example', 9191, 'TCP', server.address, 7000),
          istio('PeerAuthentication', 'web', {
            selector: { matchLabels: { app: 'web' } },
            mtls: { mode: 'PERMISSIVE' },
          }),
        ]),
      );
      const page = await client.call({ url: 'http://198.51.100.1:9191/', headers: { host: 'page.example' } });
      expect([page.status, (JSON.parse(page.body ?? '') as { app: string }).app]).toEqual([200, 'outsider']);
      const line = await client.talk('198.51.100.1', 9191, 'no HTTP\r\n');
      expect(line.body).toBe('tcp-web no HTTP\r\n');
    });

    it('goes where it was sent, not to endpoints, by PASSTHROUGH', async () => {
      const page = entry('page.example', 9090, 'HTTP', server.address, 9099);
      const answer = async (): Promise<string | number | undefined> => {
        const url = `http://${outsider.address}:9090/`;
        const { status, body } = await client.call({ url, headers: { host: 'page.example', connection: 'close' } });
        return status === 200 ? (JSON.parse(body ?? '') as { app: string }).app : status;
      };
      await plane.settled(folder.write('further', [page]));
      await until(async () => (await answer()) === 503, 'the endpoint, where nobody listens');
      const trafficPolicy = { loadBalancer: { simple: 'PASSTHROUGH' } };
      await plane.settled(
        folder.write('further', [page, istio('DestinationRule', 'page', { host: 'page.example', trafficPolicy })]),
      );
      await until(async () => (await answer()) === 'outsider', 'the address that was called');
    });

    it('ends where the registry is all there is', async () => {
      const only = istio('Sidecar', 'client', {
        workloadSelector: { labels: { workload: 'client' } },
        egress: [{ hosts: ['*/*'] }],
        outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
      });
      await plane.settled(folder.write('further', [only]));
      // A connection of before that is kept and used again lives on with the old listener.
      const fresh = { url: `http://${outsider.address}:9090/out`, headers: { connection: 'close' } };
      const out = async (): Promise<number | undefined> => (await client.call(fresh)).status;
      // Envoy's threads get a new listener after it is acknowledged.
      await until(async () => (await out()) === undefined, 'an end');
      const host = { host: 'nobody.example' };
      expect((await client.call({ url: `http://${WEB}:8080/`, headers: host })).status).toBe(502);
      expect((await client.call({ url: `http://${WEB}:8080/`, headers: { host: 'web' } })).status).toBe(200);
      await plane.settled(folder.write('further', []));
      await until(async () => (await out()) === 200, 'a way out');
    });
  });

  it('comes to the application when a pod calls itself', async () => {
    const own = await server.call({ url: `http://${server.address}:8080/own` });
    expect(JSON.parse(own.body ?? '')).toMatchObject({ path: '/own' });
    const byService = await server.call({ url: `http://${WEB}:8080/self`, headers: { host: 'web' } });
    const { headers } = JSON.parse(byService.body ?? '') as { headers: Record<string, string> };
    expect(headers['x-forwarded-client-cert']).toContain('URI=spiffe://cluster.local/ns/shop/sa/web');
  });

  it('left no warnings and no rejections', async () => {
    for (const { log } of sidecars)
      expect(log.filter((line) => /\]\[(warning|error|critical)\]/.test(line))).toEqual([]);
    expect(await plane.metric('pilot_total_xds_rejects')).toBe(0);
  });

  describe('rules', () => {
    it('are left alone when they are in force, and replaced only when asked', () => {
      const before = server.run('iptables-save', []);
      expect(captureTraffic(server)).toContain('in force already');
      expect(rules(server.run('iptables-save', []))).toEqual(rules(before));
      expect(() => captureTraffic(server, '-b', '8080')).toThrow(/other capture rules are in force/);
      expect(rules(server.run('iptables-save', []))).toEqual(rules(before));
      expect(captureTraffic(server, '-b', '8080', '-c', 'eth9', '--reconcile')).toContain('is in force');
      const changed = server.run('iptables-save', []);
      expect(changed).toContain('-A ISTIO_INBOUND -p tcp -m tcp --dport 8080 -j ISTIO_IN_REDIRECT');
      expect(changed).not.toContain('--dport 15090');
      expect(captureTraffic(server, '-m', 'TPROXY', '--drop-invalid', '--capture-all-dns', '--reconcile')).toContain(
        'is in force',
      );
      const tproxy = server.run('iptables-save', []);
      expect(tproxy).toContain('ISTIO_TPROXY');
      expect(tproxy).not.toContain('eth9');
      expect(server.run('ip', ['rule'])).toContain('fwmark 0x539 lookup 133');
      expect(captureTraffic(server, '-m', 'TPROXY', '--drop-invalid', '--capture-all-dns')).toContain(
        'in force already',
      );
      expect(captureTraffic(server, '--reconcile')).toContain('is in force');
      expect(rules(server.run('iptables-save', []))).toEqual(rules(before));
      expect(server.run('ip', ['rule'])).not.toContain('lookup 133');
    }, 180_000);

    it('are gone after a cleanup, whatever they were', () => {
      captureTraffic(server, '-c', 'eth9', '--capture-all-dns', '--reconcile');
      server.run('iptables', ['-t', 'nat', '-A', 'POSTROUTING', '-j', 'ACCEPT']);
      captureTraffic(server, '--cleanup-only');
      expect(rules(server.run('iptables-save', []))).toEqual(['-A POSTROUTING -j ACCEPT']);
      captureTraffic(server, '--cleanup-only');
    }, 180_000);
  });
});

/** The rules of a saved state, without counters. */
function rules(saved: string): readonly string[] {
  return saved.split('\n').filter((line) => line.startsWith('-A ') || line.startsWith(':ISTIO'));
}
