import { createServer, type RequestListener, type Server } from 'node:http';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { ask } from '../../src/agent/admin.ts';
import { applicationTarget } from '../../src/agent/merged-metrics.ts';
import { type Readiness, readinessOf } from '../../src/agent/readiness.ts';
import { parseAppProbes } from '../../src/agent/probes/app-probes.ts';
import { serveStatus } from '../../src/agent/status.ts';
import { recordingLog } from '../ca/support.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function httpServer(listener: RequestListener): Promise<{ host: string; port: number }> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return { host: '127.0.0.1', port: (server.address() as { port: number }).port };
}

describe('readinessOf', () => {
  const page = (stats: Readonly<Record<string, number>>) =>
    httpServer(
      (_request, response) =>
        void response.end(
          Object.entries(stats)
            .map(([name, value]) => `${name}: ${value}\n`)
            .join(''),
        ),
    );
  const good = {
    'cluster_manager.cds.update_success': 1,
    'listener_manager.lds.update_success': 2,
    'listener_manager.workers_started': 1,
    'server.state': 0,
  };

  it.each([
    [{}, 'ready', ''],
    [{ 'cluster_manager.cds.update_success': 0 }, 'not-ready', '0 cluster and 2 listener updates'],
    [{ 'listener_manager.lds.update_success': 0 }, 'not-ready', '1 cluster and 0 listener updates'],
    [{ 'server.state': 2 }, 'not-ready', 'state 2'],
    [{ 'listener_manager.workers_started': 0 }, 'not-ready', 'workers'],
  ])('with %j is %s', async (change, kind, reason) => {
    const readiness = await readinessOf(await page({ ...good, ...change }));
    expect(readiness.kind).toBe(kind);
    if (readiness.kind === 'not-ready') expect(readiness.reason).toContain(reason);
  });

  it('is not ready when nobody answers', async () => {
    expect(await readinessOf({ host: '127.0.0.1', port: 1 })).toMatchObject({
      kind: 'not-ready',
      reason: expect.stringContaining('does not answer'),
    });
  });
});

interface StatusParts {
  readonly readiness?: Readiness;
  readonly envoy?: RequestListener;
  readonly application?: RequestListener;
  readonly names?: ReadonlyMap<string, readonly string[]>;
  readonly probes?: Readonly<Record<string, unknown>>;
}

describe('the status port', () => {
  async function start(parts: StatusParts = {}) {
    const calls: string[] = [];
    const refuse: RequestListener = (_request, response) => void response.writeHead(500).end();
    const envoy = await httpServer(parts.envoy ?? refuse);
    const application = parts.application && { target: await httpServer(parts.application), path: '/metrics' };
    const handlers = {
      ready: async () => parts.readiness ?? ({ kind: 'ready' } as const),
      drain: () => void calls.push('drain'),
      quit: () => void calls.push('quit'),
      names: () => parts.names,
      probes: parseAppProbes(JSON.stringify(parts.probes ?? {})).probes,
      application: { host: '127.0.0.1', source: '127.0.0.6' },
      metrics: {
        envoy,
        application,
        own: async () => 'own 1\n',
        failed: (source: string, reason: string) => void calls.push(`${source}: ${reason}`),
      },
    };
    const server = await serveStatus('0.0.0.0', 0, handlers, recordingLog().log);
    closers.push(() => server.close());
    return { target: { host: '127.0.0.1', port: server.port }, calls };
  }

  it('says ready, or why not', async () => {
    expect(await ask((await start()).target, 'GET', '/healthz/ready')).toEqual({ status: 200, body: '' });
    const waiting = await start({ readiness: { kind: 'not-ready', reason: 'no clusters' } });
    expect(await ask(waiting.target, 'GET', '/healthz/ready')).toEqual({ status: 503, body: 'no clusters\n' });
  });

  it('merges the three pages and drops the prefix of mesh metrics', async () => {
    const envoyPage = [
      '# TYPE envoy_istio_requests_total counter',
      'envoy_istio_requests_total{a="envoy_istio_x"} 3',
      '# TYPE envoy_server_live gauge',
      'envoy_server_live{} 1',
      'last_without_newline 1',
    ].join('\n');
    const { target, calls } = await start({
      envoy: (_request, response) => {
        response.write(envoyPage.slice(0, 12));
        setImmediate(() => response.end(envoyPage.slice(12)));
      },
      application: (_request, response) => void response.end('app 1\n'),
    });
    const { body } = await ask(target, 'GET', '/stats/prometheus');
    expect(body.split('\n')).toEqual([
      '# TYPE istio_requests_total counter',
      'istio_requests_total{a="envoy_istio_x"} 3',
      '# TYPE envoy_server_live gauge',
      'envoy_server_live{} 1',
      'last_without_newline 1',
      'app 1',
      'own 1',
      '',
    ]);
    expect(calls).toEqual([]);
  });

  it('leaves out a page that cannot be had', async () => {
    const { target, calls } = await start({ application: (_request, response) => void response.end('app 1\n') });
    expect((await ask(target, 'GET', '/metrics')).body).toBe('app 1\nown 1\n');
    expect(calls).toEqual(['envoy: status 500']);
  });

  it('drains and quits on POST, from this machine only', async () => {
    const { target, calls } = await start();
    expect((await ask(target, 'GET', '/drain')).status).toBe(405);
    expect((await ask(target, 'POST', '/drain')).status).toBe(200);
    expect((await ask(target, 'POST', '/quitquitquit')).status).toBe(200);
    expect(calls).toEqual(['drain', 'quit']);
    expect((await ask(target, 'GET', '/other')).status).toBe(404);
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((each) => each !== undefined && !each.internal && each.family === 'IPv4');
    if (outside === undefined) return;
    expect((await ask({ ...target, host: outside.address }, 'POST', '/quitquitquit')).status).toBe(403);
    expect(calls).toEqual(['drain', 'quit']);
  });
});

describe('applicationTarget', () => {
  it.each([
    [undefined, undefined],
    ['{', undefined],
    ['{"scrape":"false","port":"9090"}', undefined],
    ['{"scrape":"true","port":"9090","path":"stats"}', { target: { host: '127.0.0.1', port: 9090 }, path: '/stats' }],
    ['{"scrape":"true","port":"9090"}', { target: { host: '127.0.0.1', port: 9090 }, path: '/metrics' }],
  ])('%s', (text, target) => {
    expect(applicationTarget(text, '127.0.0.1')).toEqual(target);
  });
});
