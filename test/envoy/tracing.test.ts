import { createServer, type Http2Server } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHttpApp, type TestApp } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { eventually, until } from '../support/wait.ts';
import { istio } from './fixtures.ts';

const envoy = newestEnvoy();

const AT = { service: 'collector.example', port: 9411 };
const GRPC = { service: 'collector.example', port: 4317 };
const PROVIDERS = [
  { name: 'zipkin', zipkin: AT },
  { name: 'otlp-http', opentelemetry: { ...AT, http: { path: '/v1/traces', timeout: '3s' } } },
  { name: 'otlp-grpc', opentelemetry: GRPC },
  { name: 'datadog', datadog: AT },
  { name: 'skywalking', skywalking: GRPC },
  {
    name: 'log-otlp',
    envoyOtelAls: { ...GRPC, logFormat: { text: 'seen %REQ(:PATH)%', labels: { verdict: '%RESPONSE_CODE%' } } },
  },
  { name: 'log-als', envoyHttpAls: { ...GRPC, logName: 'mesh-log' } },
];

interface ZipkinSpan {
  readonly name: string;
  readonly kind: string;
  readonly traceId: string;
  readonly localEndpoint: { readonly serviceName: string };
  readonly tags: Readonly<Record<string, string>>;
}

describe.skipIf(envoy === '')('what proxies report', () => {
  let mesh: Mesh<LocalControlPlane>;
  let pages: TestApp;
  let calls: GrpcCollector;

  beforeAll(async () => {
    const reports = [
      { name: 'http-spans', number: 9411 },
      { name: 'grpc-spans', number: 4317, protocol: 'GRPC' },
    ];
    // Envoy reports every five seconds otherwise.
    const runtimeValues = {
      'tracing.zipkin.flush_interval_ms': '100',
      'tracing.opentelemetry.flush_interval_ms': '100',
    };
    const proxyConfig = { runtimeValues };
    mesh = await startMesh({
      envoy,
      mesh: { extensionProviders: PROVIDERS },
      workloads: [
        { name: 'client', proxyConfig, egress: [{ name: 'http', number: 8080 }, ...reports] },
        { name: 'web', proxyConfig, service: 'web', ports: [{ name: 'http', number: 8080 }], egress: reports },
      ],
      objects: (at) => [
        istio('ServiceEntry', 'collector', {
          hosts: ['collector.example'],
          location: 'MESH_EXTERNAL',
          resolution: 'STATIC',
          ports: reports.map(({ name, number, protocol = 'HTTP' }) => ({ name, number, protocol })),
          endpoints: [{ address: at.other(200) }],
        }),
      ],
    });
    pages = await startHttpApp({
      name: 'collector',
      address: mesh.at.other(200),
      port: 9411,
      handler: ({ path }) => ({ status: path === '/api/v2/spans' ? 202 : 200, body: '{"rate_by_service":{}}' }),
    });
    calls = await startGrpcCollector(mesh.at.other(200), 4317);
  });
  afterAll(async () => {
    await pages?.stop();
    await calls?.stop();
    await mesh?.finish();
  });

  const get = (path: string, headers: Record<string, string> = {}) =>
    mesh.call('client', { host: 'web', path, headers });
  const telemetry = (spec: object): object => istio('Telemetry', 'reports', spec);
  /** Connections of before are closed with their next answer, which is had here. */
  const apply = async (objects: readonly object[]): Promise<void> => {
    await mesh.apply('telemetry', objects);
    await get('/last');
    pages.seen.length = 0;
    calls.seen.length = 0;
  };
  const traced = (name: string, rest: object = {}): object =>
    telemetry({ tracing: [{ providers: [{ name }], randomSamplingPercentage: 100, ...rest }] });
  const spansOf = (path: string): readonly ZipkinSpan[] =>
    pages.seen
      .filter(({ path: at }) => at === '/api/v2/spans')
      .flatMap(({ body }) => JSON.parse(body) as readonly ZipkinSpan[])
      .filter(({ tags }) => tags['http.url']?.endsWith(path));

  it('are spans of both sides in one trace for Zipkin, with the tags that are asked for', async () => {
    const customTags = {
      shop: { literal: { value: 'corner' } },
      user: { header: { name: 'x-user', defaultValue: 'nobody' } },
    };
    const dryRun = {
      ...istio('AuthorizationPolicy', 'rehearsal', {
        selector: { matchLabels: { app: 'web' } },
        action: 'DENY',
        rules: [{ to: [{ operation: { paths: ['/spanned'] } }] }],
      }),
    } as { readonly metadata: object };
    await apply([
      traced('zipkin', { customTags }),
      { ...dryRun, metadata: { ...dryRun.metadata, annotations: { 'istio.io/dry-run': 'true' } } },
    ]);
    const echo = (await get('/spanned', { 'x-user': 'ann' })).echo();
    const spans = await eventually(async () => {
      const found = spansOf('/spanned');
      return found.length >= 2 ? found : undefined;
    }, 'spans of both sides');
    expect(spans.map(({ kind }) => kind).sort()).toEqual(['CLIENT', 'SERVER']);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([echo.headers['x-b3-traceid']]));
    for (const { kind, name, localEndpoint, tags } of spans) {
      expect(name).toBe('web.shop.svc.cluster.local:8080/*');
      expect(localEndpoint.serviceName).toBe(kind === 'CLIENT' ? 'client.shop' : 'web.shop');
      expect(tags).toMatchObject({
        shop: 'corner',
        user: 'ann',
        'istio.namespace': 'shop',
      });
    }
    const served = spans.find(({ kind }) => kind === 'SERVER');
    expect(served?.tags['istio.authorization.dry_run.deny_policy.result']).toBe('denied');
    expect(served?.tags['istio.authorization.dry_run.deny_policy.name']).toContain('rehearsal');
  });

  it('are none where nothing is sampled, or reporting is off', async () => {
    await apply([traced('zipkin', { randomSamplingPercentage: 0 })]);
    await get('/unsampled');
    await apply([traced('zipkin', { disableSpanReporting: true })]);
    await get('/unreported');
    // What is asked for by its caller is sampled: after it has come, the others would have come too.
    await apply([traced('zipkin')]);
    await get('/sampled');
    await until(async () => spansOf('/sampled').length >= 2, 'the spans of the last');
    expect([...spansOf('/unsampled'), ...spansOf('/unreported')]).toEqual([]);
  });

  it('are spans for OpenTelemetry, over HTTP and over gRPC', async () => {
    await apply([traced('otlp-http')]);
    await get('/otlp');
    await until(
      async () => pages.seen.some(({ path, body }) => path === '/v1/traces' && body.includes('/otlp')),
      'spans',
    );
    const [report] = pages.seen.filter(({ path }) => path === '/v1/traces');
    expect(report?.headers['content-type']).toBe('application/x-protobuf');
    expect(report?.body).toMatch(/service\.name/);
    await apply([traced('otlp-grpc')]);
    await get('/otlp');
    const export_ = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
    await until(async () => calls.seen.some(({ path, text }) => path === export_ && text.includes('/otlp')), 'spans');
  });

  it('are spans for Datadog and for SkyWalking', async () => {
    await apply([traced('datadog')]);
    await get('/dog');
    await until(async () => pages.seen.some(({ path }) => path === '/v0.4/traces'), 'spans');
    await apply([traced('skywalking')]);
    await get('/walk');
    await until(
      async () => calls.seen.some(({ path }) => path === '/skywalking.v3.TraceSegmentReportService/collect'),
      'segments',
    );
  });

  it('are access logs for OpenTelemetry and for the access log service, where an expression lets them through', async () => {
    const logged = (name: string): object =>
      telemetry({
        accessLogging: [
          {
            providers: [{ name }],
            match: { mode: 'SERVER' },
            filter: { expression: "request.url_path.startsWith('/kept')" },
          },
        ],
      });
    for (const [name, service] of [
      ['log-otlp', '/opentelemetry.proto.collector.logs.v1.LogsService/Export'],
      ['log-als', '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs'],
    ] as const) {
      await apply([logged(name)]);
      await get('/dropped');
      await get('/kept');
      await until(async () => calls.seen.some(({ path, text }) => path === service && text.includes('/kept')), name);
      const all = calls.seen.map(({ text }) => text).join();
      expect(all).not.toContain('/dropped');
      if (name === 'log-otlp') expect(all).toMatch(/seen \/kept[^]*verdict[^]*200/);
      else expect(all).toContain('mesh-log');
    }
  });
});

interface GrpcCollector {
  /** Calls and the bytes of each so far, as text. */
  readonly seen: { readonly path: string; text: string }[];
  stop(): Promise<void>;
}

/** Takes any call and answers it with nothing, when it ends. */
async function startGrpcCollector(address: string, port: number): Promise<GrpcCollector> {
  const seen: GrpcCollector['seen'] = [];
  const sessions = new Set<{ destroy(): void }>();
  const server: Http2Server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    const entry = { path: String(headers[':path']), text: '' };
    seen.push(entry);
    stream.on('error', () => undefined);
    // A stream that goes on is listed anew with each of its messages: tests empty the list.
    stream.on('data', (chunk: Buffer) => {
      if (!seen.includes(entry)) seen.push(entry);
      entry.text += chunk.toString('latin1');
    });
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.on('end', () => stream.end(Buffer.alloc(5)));
  });
  await new Promise<void>((resolve) => void server.listen(port, address, resolve));
  return {
    seen,
    stop: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}
