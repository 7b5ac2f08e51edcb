import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { istio } from './fixtures.ts';

const envoy = newestEnvoy();
const ID = (account: string): string => `spiffe://cluster.local/ns/shop/sa/${account}`;

/** Labels and value of one line of a page. */
interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

describe.skipIf(envoy === '')('telemetry by real sidecars', () => {
  let mesh: Mesh<LocalControlPlane>;
  const logs = mkdtempSync(join(tmpdir(), 'meltemi-logs-'));
  const logFile = join(logs, 'access.log');

  beforeAll(async () => {
    const names = (name: string) => ({
      app: name,
      version: 'v1',
      'service.istio.io/canonical-name': name,
      'service.istio.io/canonical-revision': 'v1',
    });
    mesh = await startMesh({
      envoy,
      mesh: {
        defaultProviders: { metrics: ['prometheus'] },
        extensionProviders: [
          {
            name: 'lines',
            envoyFileAccessLog: {
              path: logFile,
              logFormat: { text: '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%\n' },
            },
          },
        ],
      },
      workloads: [
        {
          name: 'client',
          labels: names('client'),
          egress: [
            { name: 'http', number: 8080 },
            { name: 'tcp', number: 7000, protocol: 'TCP' },
          ],
        },
        { name: 'web', service: 'web', labels: names('web'), ports: [{ name: 'http', number: 8080 }] },
        { name: 'ledger', service: 'ledger', ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }] },
      ],
    });
  });
  afterAll(async () => {
    rmSync(logs, { recursive: true, force: true });
    await mesh?.finish();
  });

  /** The samples of a metric on the page of a proxy. */
  async function samples(workload: string, metric: string): Promise<readonly Sample[]> {
    const { host: address, port } = mesh.proxy(workload).admin;
    const { body } = await call({
      address,
      port,
      path: `/stats/prometheus?filter=${metric.replace(/_(count|sum)$/, '')}`,
    });
    return body.split('\n').flatMap((line) => {
      const match = /^envoy_(\w+)\{(.*)\} (\S+)$/.exec(line);
      if (match?.[1] !== metric) return [];
      const labels = [...(match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value] as const);
      return [{ labels: Object.fromEntries(labels), value: Number(match[3]) }];
    });
  }

  const sampleOf = async (workload: string, metric: string, where: Readonly<Record<string, string>> = {}) => {
    const fits = ({ labels }: Sample): boolean => Object.entries(where).every(([key, value]) => labels[key] === value);
    await expect.poll(async () => (await samples(workload, metric)).some(fits), { timeout: 10_000 }).toBe(true);
    return (await samples(workload, metric)).find(fits) as Sample;
  };

  it('counts requests on both sides, with who and whom', async () => {
    for (const path of ['/a', '/b', '/c']) {
      const answer = await mesh.call('client', { host: 'web', path });
      expect(answer.status).toBe(200);
      // What proxies tell each other is for them.
      expect(answer.headers['meltemi-peer']).toBeUndefined();
      expect(answer.echo().headers['meltemi-peer']).toBeUndefined();
    }
    const between = {
      source_workload: 'client',
      source_workload_namespace: 'shop',
      source_app: 'client',
      source_version: 'v1',
      source_canonical_service: 'client',
      source_canonical_revision: 'v1',
      source_cluster: 'Kubernetes',
      source_principal: ID('client'),
      destination_workload: 'web',
      destination_workload_namespace: 'shop',
      destination_app: 'web',
      destination_version: 'v1',
      destination_canonical_service: 'web',
      destination_canonical_revision: 'v1',
      destination_cluster: 'Kubernetes',
      destination_principal: ID('web'),
      destination_service: 'web.shop.svc.cluster.local',
      destination_service_name: 'web',
      destination_service_namespace: 'shop',
      request_protocol: 'http',
      response_code: '200',
      response_flags: '-',
    };
    const sent = await sampleOf('client', 'istio_requests_total');
    expect(sent).toMatchObject({
      value: 3,
      labels: { ...between, reporter: 'source', connection_security_policy: 'unknown' },
    });
    const received = await sampleOf('web', 'istio_requests_total');
    expect(received).toMatchObject({
      value: 3,
      labels: { ...between, reporter: 'destination', connection_security_policy: 'mutual_tls' },
    });
    // Envoy merges its histograms when it flushes statistics, every five seconds.
    const merged = async (metric: string): Promise<number> =>
      (await sampleOf('web', metric, { destination_workload: 'web' })).value;
    for (const metric of ['istio_request_duration_milliseconds', 'istio_request_bytes', 'istio_response_bytes'])
      await expect.poll(() => merged(`${metric}_count`), { timeout: 20_000 }).toBe(3);
    expect(await merged('istio_response_bytes_sum')).toBeGreaterThan(300);
  });

  it('takes nobody at his word who is outside of the mesh', async () => {
    const headers = { 'meltemi-peer': 'a;b;c;d;e;f;g' };
    const answer = await call({ address: mesh.at.pod('web'), port: 8080, headers });
    expect(answer.echo().headers['meltemi-peer']).toBeUndefined();
    const plain = await sampleOf('web', 'istio_requests_total', { connection_security_policy: 'none' });
    expect(plain.labels).toMatchObject({ source_workload: 'unknown', source_principal: 'unknown' });
  });

  it('counts requests that are refused, and connections', async () => {
    await mesh.apply('deny', [
      istio('AuthorizationPolicy', 'deny', {
        selector: { matchLabels: { app: 'web' } },
        action: 'DENY',
        rules: [{ to: [{ operation: { paths: ['/denied'] } }] }],
      }),
    ]);
    await expect
      .poll(() => mesh.call('client', { host: 'web', path: '/denied' }).then(({ status }) => status))
      .toBe(403);
    const denied = await sampleOf('web', 'istio_requests_total', { response_code: '403' });
    expect(denied.labels['source_workload']).toBe('client');
    expect(await mesh.talk('client', 7000, 'hello')).toBe('ledger hello');
    const opened = await sampleOf('ledger', 'istio_tcp_connections_opened_total');
    expect(opened.labels).toMatchObject({
      reporter: 'destination',
      source_principal: ID('client'),
      destination_workload: 'ledger',
      destination_service: 'ledger.shop.svc.cluster.local',
      request_protocol: 'tcp',
      connection_security_policy: 'mutual_tls',
    });
    expect((await sampleOf('ledger', 'istio_tcp_received_bytes_total')).value).toBe(5);
    expect((await sampleOf('client', 'istio_tcp_sent_bytes_total')).value).toBe('ledger hello'.length);
    expect((await sampleOf('client', 'istio_tcp_connections_closed_total')).labels['reporter']).toBe('source');
  });

  it('changes labels as Telemetry says, and leaves out what it turns off', async () => {
    await mesh.apply('telemetry', [
      istio('Telemetry', 'mesh', {
        metrics: [
          {
            overrides: [
              {
                match: { metric: 'REQUEST_COUNT', mode: 'SERVER' },
                tagOverrides: {
                  path: { value: 'request.path' },
                  port: { value: 'string(destination.port)' },
                  odd: { value: 'string(request.path' },
                  source_version: { operation: 'REMOVE' },
                },
              },
              { match: { metric: 'REQUEST_DURATION' }, disabled: true },
            ],
          },
        ],
      }),
    ]);
    // The first answer closes the connection that stood before.
    for (const path of ['/last', '/labelled']) await mesh.call('client', { host: 'web', path });
    const { labels } = await sampleOf('web', 'istio_requests_total', { path: '/labelled' });
    expect(labels).toMatchObject({ port: '8080', odd: 'unknown' });
    expect(labels['source_version']).toBeUndefined();
    expect(await mesh.proxy('web').dump('dynamic_listeners')).not.toContain('istio_request_duration_milliseconds');
  });

  it('logs what the format names, for the requests that the filter lets through', async () => {
    await mesh.apply('access', [
      istio('Telemetry', 'access', {
        selector: { matchLabels: { app: 'web' } },
        accessLogging: [{ providers: [{ name: 'lines' }], filter: { expression: 'response.code >= 400' } }],
      }),
    ]);
    for (const path of ['/last', '/fine', '/denied']) await mesh.call('client', { host: 'web', path });
    await expect.poll(() => lines(logFile), { timeout: 15_000 }).toContain('GET /denied 403');
    expect(lines(logFile)).not.toContain('/fine');
  });
});

function lines(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
