import { createServer as createHttp, type RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { openAuthority } from '../../src/ca/authority.ts';
import { controlPlaneHosts, openServingCert } from '../../src/ca/serving-cert.ts';
import { rawMethod } from '../support/raw-grpc.ts';
import { parseAppProbes } from '../../src/agent/probes/app-probes.ts';
import { checkHealth, parseHealthProbe } from '../../src/agent/probes/health.ts';
import { parseProbe, type Probe, runProbe } from '../../src/agent/probes/probe.ts';
import { manualTime, realTimers, recordingLog, recordingMeter, removeFolders } from '../ca/support.ts';
import { freePorts, systemClock } from './support.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(removeFolders);

const TARGET = { host: '127.0.0.1', source: '127.0.0.6' };

async function app(listener: RequestListener, secure = false): Promise<number> {
  const server = secure ? createHttps(await ownCertificate(), listener) : createHttp(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return (server.address() as { port: number }).port;
}

async function ownCertificate() {
  const ports = { clock: systemClock, timers: realTimers, log: recordingLog().log, meter: recordingMeter().meter };
  const authority = await openAuthority({ trustDomain: 'cluster.local' }, ports);
  const serving = await openServingCert(authority, { hosts: controlPlaneHosts('istio-system', '', []) }, ports);
  closers.push(
    () => authority.close(),
    () => serving.close(),
  );
  return { key: serving.current.keyPem, cert: serving.current.certificatePem };
}

function probeOf(value: unknown): Probe {
  const probe = parseProbe(value);
  if (typeof probe === 'string') throw new Error(probe);
  return probe;
}

describe('HTTP probes', () => {
  it('send what the pod says, from the address that capture lets pass, over a connection of their own', async () => {
    const seen: unknown[] = [];
    const port = await app((request, response) => {
      const { host, 'x-a': a, 'x-b': b, 'user-agent': agent } = request.headers;
      seen.push([request.url, host, a, b, agent, request.socket.remoteAddress]);
      response.writeHead(204).end();
    });
    const httpGet = {
      path: '/a%20b?c',
      port,
      httpHeaders: [
        { name: 'Host', value: 'shop' },
        { name: 'X-A', value: '1' },
      ],
    };
    const result = await runProbe(probeOf({ httpGet }), TARGET, {
      'x-b': '2',
      host: 'agent',
      'user-agent': 'kube-probe/1.34',
    });
    expect(result).toEqual({ ok: true, status: 204, text: '' });
    expect(seen).toEqual([['/a%20b?c', 'shop', '1', '2', 'kube-probe/1.34', '127.0.0.6']]);
  });

  it.each([
    [200, true],
    [399, true],
    [400, false],
    [503, false],
  ])('count status %i as %s', async (status, ok) => {
    const port = await app((_request, response) => void response.writeHead(status).end('why'));
    expect(await runProbe(probeOf({ httpGet: { port } }), TARGET)).toMatchObject({ ok, status });
  });

  it("don't look at certificates", async () => {
    const port = await app((_request, response) => void response.end('ok'), true);
    expect(await runProbe(probeOf({ httpGet: { port, scheme: 'HTTPS' } }), TARGET)).toMatchObject({
      ok: true,
      text: 'ok',
    });
  });

  it('follow redirects on the same host, and take those elsewhere as the answer', async () => {
    const paths: string[] = [];
    const port = await app((request, response) => {
      paths.push(request.url ?? '');
      if (request.url === '/one') response.writeHead(302, { location: '/two' }).end();
      else if (request.url === '/away') response.writeHead(302, { location: 'http://example.invalid/' }).end();
      else if (request.url === '/round') response.writeHead(301, { location: '/round' }).end();
      else response.end();
    });
    expect(await runProbe(probeOf({ httpGet: { port, path: 'one' } }), TARGET)).toMatchObject({
      ok: true,
      status: 200,
    });
    expect(paths).toEqual(['/one', '/two']);
    expect(await runProbe(probeOf({ httpGet: { port, path: '/away' } }), TARGET)).toMatchObject({
      ok: true,
      status: 302,
    });
    const round = await runProbe(probeOf({ httpGet: { port, path: '/round' } }), TARGET);
    expect(round).toMatchObject({ ok: false, text: 'stopped after 10 redirects' });
    expect(paths.length).toBe(2 + 1 + 10);
  });

  it('give up in time, and read no more than the beginning', async () => {
    const slow = await app(() => undefined);
    const late = await runProbe({ ...probeOf({ httpGet: { port: slow } }), timeoutMs: 50 }, TARGET);
    expect(late).toMatchObject({ ok: false, status: 500, text: 'no answer within 50 ms' });
    const large = await app((_request, response) => void response.end('x'.repeat(1_000_000)));
    expect((await runProbe(probeOf({ httpGet: { port: large } }), TARGET)).text.length).toBe(10 * 1024);
  });
});

describe('other probes', () => {
  it('connect', async () => {
    const server = createTcp((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    const { port } = server.address() as { port: number };
    expect(await runProbe(probeOf({ tcpSocket: { port } }), TARGET)).toMatchObject({ ok: true });
    const [closed = 0] = await freePorts(1);
    expect(await runProbe(probeOf({ tcpSocket: { port: closed } }), TARGET)).toMatchObject({ ok: false, status: 500 });
  });

  it('ask the gRPC health service for a service', async () => {
    const states: Readonly<Record<string, number>> = { '': 1, down: 2 };
    const server = new grpc.Server();
    server.addService(
      { Check: rawMethod('/grpc.health.v1.Health/Check', 'unary') },
      {
        Check: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
          const state = states[call.request.subarray(2).toString()];
          if (state === undefined) done({ code: grpc.status.NOT_FOUND, details: 'unknown' });
          else done(null, Buffer.from([0x08, state]));
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      const done = (error: Error | null, bound: number) => (error === null ? resolve(bound) : reject(error));
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), done);
    });
    closers.push(() => server.forceShutdown());
    const ask = (service: string) => runProbe(probeOf({ grpc: { port, service } }), TARGET);
    expect(await ask('')).toMatchObject({ ok: true });
    expect(await ask('down')).toMatchObject({ ok: false, text: 'the service is NOT_SERVING' });
    expect(await ask('none')).toMatchObject({ ok: false, text: 'gRPC status 5' });
    server.forceShutdown();
    expect(await ask('')).toMatchObject({ ok: false });
  });

  it('run commands', async () => {
    const run = (script: string) => runProbe(probeOf({ exec: { command: ['sh', '-c', script] } }), TARGET);
    expect(await run('exit 0')).toMatchObject({ ok: true });
    expect(await run('echo broken; exit 3')).toMatchObject({ ok: false, text: expect.stringContaining('broken') });
  });

  it.each([
    ['text', 'expected an object'],
    [{}, 'expected httpGet, tcpSocket, grpc or exec'],
    [{ httpGet: { port: 'http' } }, 'httpGet.port: expected a number'],
    [{ tcpSocket: { port: 70_000 } }, 'tcpSocket.port: expected a number'],
    [{ exec: { command: [] } }, 'exec.command: expected words'],
  ])('%j says what is wrong with it', (value, problem) => {
    expect(parseProbe(value)).toBe(problem);
  });
});

describe('ISTIO_KUBE_APP_PROBERS', () => {
  it('holds probes by path; what is none is left out with a remark', () => {
    const { probes, remarks } = parseAppProbes(
      JSON.stringify({
        '/app-health/web/readyz': { httpGet: { port: 80 }, timeoutSeconds: 3 },
        '/app-lifecycle/web/prestopz': { tcpSocket: { port: 81 } },
        '/app-health/web/otherz': { httpGet: { port: 80 } },
        '/app-health/db/livez': { httpGet: {} },
      }),
    );
    expect([...probes].map(([path, { timeoutMs }]) => [path, timeoutMs])).toEqual([
      ['/app-health/web/readyz', 3000],
      ['/app-lifecycle/web/prestopz', 1000],
    ]);
    expect(remarks.length).toBe(2);
    expect(parseAppProbes('{').remarks).toEqual(['ISTIO_KUBE_APP_PROBERS is not JSON and is ignored']);
    expect(parseAppProbes(undefined)).toEqual({ probes: new Map(), remarks: [] });
  });
});

describe('the health of a workload', () => {
  it('is told on changes only, after as many results as the thresholds say', async () => {
    let status = 200;
    let problem: string | undefined;
    let asked = 0;
    const port = await app((_request, response) => {
      asked++;
      response.writeHead(status).end();
    });
    const probe = parseHealthProbe({
      httpGet: { port },
      periodSeconds: 5,
      initialDelaySeconds: 2,
      failureThreshold: 2,
    });
    if (typeof probe === 'string') throw new Error(probe);
    const time = manualTime();
    const health = checkHealth({
      probe,
      target: TARGET,
      envoyProblem: async () => problem,
      timers: time.timers,
      log: recordingLog().log,
    });
    closers.push(() => health.close());
    const told: unknown[] = [];
    health.onChange(() => told.push(health.last));
    const round = async (ms: number) => {
      time.advance(ms);
      await new Promise<void>((resolve) => {
        const look = () => (time.pending() > 0 ? resolve() : setImmediate(look));
        look();
      });
    };
    time.advance(1999);
    expect(asked).toBe(0);
    await round(1);
    await round(5000);
    expect(told).toEqual([{ healthy: true, message: '' }]);
    status = 500;
    await round(5000);
    expect(told.length).toBe(1);
    await round(5000);
    await round(5000);
    expect(told.slice(1)).toEqual([{ healthy: false, message: 'status 500: ' }]);
    status = 200;
    problem = 'Envoy is not ready';
    const before = asked;
    await round(5000);
    expect(asked).toBe(before);
    problem = undefined;
    await round(5000);
    expect(told.slice(2)).toEqual([{ healthy: true, message: '' }]);
  });
});
