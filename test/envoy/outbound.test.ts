import { mkdtempSync, rmSync } from 'node:fs';
import { connect, constants, createServer } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AppAnswer,
  type CallAnswer,
  call,
  type SeenRequest,
  startHttpApp,
  startTcpApp,
  talk,
  type TestApp,
} from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { freePorts, until } from '../support/wait.ts';
import { countBy, istio, many, routes, to, versions } from './fixtures.ts';

const envoy = newestEnvoy();

const MESH = { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } };

/** The answer that a query describes. */
const bad = (query: URLSearchParams): AppAnswer => ({
  cut: query.has('cut'),
  status: Number(query.get('status') ?? 200),
  headers: Object.fromEntries([...query].filter(([name]) => name.includes('-'))),
});

describe.skipIf(envoy === '')('a sidecar on the way out', () => {
  let mesh: Mesh<LocalControlPlane>;
  let lines: TestApp;
  let pages: TestApp;
  /** A port of this machine's own address. */
  let shared = 0;
  const sockets = mkdtempSync(join(tmpdir(), 'meltemi-sockets-'));
  const way = join(sockets, 'out.sock');

  const handler =
    (name: string) =>
    ({ path, headers }: SeenRequest): AppAnswer | undefined => {
      const first = headers['x-envoy-attempt-count'] === '1';
      if (path === '/conflict' && first) return { status: 409 };
      if (path === '/held' || (path === '/late' && !first)) return { delayMs: 300 };
      if (path === '/late') return { status: 503 };
      if (path === '/stuck' && first) return { delayMs: 3000 };
      if (path.startsWith('/first?') && first) return bad(new URLSearchParams(path.slice(path.indexOf('?'))));
      if (path === '/only-two' && name === 'one') return { status: 503 };
      return undefined;
    };
  const entry = (host: string, port: object, addresses: readonly string[], rest: object = {}): object =>
    istio('ServiceEntry', host.replaceAll(/[^a-z0-9]/g, '-'), {
      hosts: [host],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      ports: [port],
      endpoints: addresses.map((address) => ({ address })),
      ...rest,
    });

  beforeAll(async () => {
    [shared = 0] = await freePorts(1);
    const web = (name: string, version: string) => ({
      ...{ name, service: 'web', proxied: false, labels: { version } },
      ports: [{ name: 'http', number: 8080, handler: handler(name) }],
    });
    const egress = [{ name: 'http', number: 8080 }];
    mesh = await startMesh({
      envoy,
      mesh: MESH,
      workloads: [
        {
          name: 'client',
          labels: { track: 'blue' },
          egress: [
            ...egress,
            { name: 'http-socket', number: 0, bind: `unix://${way}` },
            { name: 'tcp', number: 7000, protocol: 'TCP' },
          ],
          everyPort: ['*/line.example'],
        },
        { name: 'visitor', namespace: 'visitors', labels: { track: 'green' }, egress },
        web('one', 'v1'),
        web('two', 'v2'),
        {
          name: 'socket',
          service: 'socket',
          ports: [{ name: 'http', number: 8080, socket: join(sockets, 'app.sock'), handler: handler('socket') }],
        },
      ],
      objects: (at) => [
        versions('web', ['v1', 'v2']),
        entry('page.example', { number: shared, name: 'http', protocol: 'HTTP' }, [at.other(200)]),
        entry('line.example', { number: shared, name: 'tcp', protocol: 'TCP' }, [at.other(201)]),
        entry('proxied.example', { number: 7000, name: 'tcp', protocol: 'TCP' }, [at.other(202)]),
      ],
    });
    pages = await startHttpApp({ name: 'page', address: mesh.at.other(200), port: shared });
    lines = await startTcpApp('line', mesh.at.other(201), shared);
  });
  afterAll(async () => {
    await pages?.stop();
    await lines?.stop();
    await mesh?.finish();
    rmSync(sockets, { recursive: true, force: true });
  });

  const use = (http: readonly object[]): Promise<void> => mesh.apply('test', [routes('web', http)]);
  const get = (path = '/', headers: Record<string, string> = {}, from = 'client'): Promise<CallAnswer> =>
    mesh.call(from, { host: 'web.shop', path, headers });
  const app = async (answer: Promise<CallAnswer>): Promise<string | number> => {
    const { status, echo } = await answer;
    return status === 200 ? echo().app : status;
  };

  describe('finds a route', () => {
    it('by who asks: labels and namespace', async () => {
      await use([
        { match: [{ sourceLabels: { track: 'blue' }, uri: { prefix: '/label' } }], route: [to('web', 'v2')] },
        { match: [{ sourceNamespace: 'visitors', uri: { prefix: '/space' } }], route: [to('web', 'v2')] },
        { route: [to('web', 'v1')] },
      ]);
      expect(await app(get('/label'))).toBe('two');
      expect(await app(get('/label', {}, 'visitor'))).toBe('one');
      expect(await app(get('/space'))).toBe('one');
      expect(await app(get('/space', {}, 'visitor'))).toBe('two');
    });

    it('by scheme, authority, port and paths in any case', async () => {
      const two = { route: [to('web', 'v2')] };
      await use([
        { match: [{ scheme: { exact: 'https' } }], directResponse: { status: 410 } },
        { match: [{ port: 9999 }], directResponse: { status: 411 } },
        { match: [{ authority: { prefix: 'web.shop.svc' } }], ...two },
        { match: [{ uri: { prefix: '/Shop' }, ignoreUriCase: true, port: 8080 }], ...two },
        { match: [{ queryParams: { q: { regex: '[0-9]+' } } }], ...two },
        { match: [{ headers: { 'x-a': { regex: 'a+' } }, withoutHeaders: { 'x-b': { prefix: 'b' } } }], ...two },
        { route: [to('web', 'v1')] },
      ]);
      expect(await app(get('/'))).toBe('one');
      expect(await app(mesh.call('client', { host: 'web.shop.svc' }))).toBe('two');
      expect(await app(get('/sHoP/1'))).toBe('two');
      expect(await app(get('/?q=12'))).toBe('two');
      expect(await app(get('/?q=1x'))).toBe('one');
      expect(await app(get('/', { 'x-a': 'aaa' }))).toBe('two');
      expect(await app(get('/', { 'x-a': 'ab' }))).toBe('one');
      expect(await app(get('/', { 'x-a': 'aaa', 'x-b': 'bb' }))).toBe('one');
      expect(await app(get('/', { 'x-a': 'aaa', 'x-b': 'c' }))).toBe('two');
    });

    it('where it is exported to', async () => {
      const mine = { hosts: ['web.shop.svc.cluster.local'], http: [{ directResponse: { status: 418 } }] };
      const seen = async (exportTo?: readonly string[]): Promise<readonly (string | number)[]> => {
        const host = 'private.example';
        const port = { number: 8080, name: 'http', protocol: 'HTTP' };
        await mesh.apply('test', [
          istio('VirtualService', 'web', { ...mine, ...(exportTo && { exportTo }) }),
          entry(host, port, [mesh.at.pod('one')], exportTo && { exportTo }),
        ]);
        const answers: (string | number)[] = [];
        for (const from of ['client', 'visitor'])
          answers.push(await app(get('/', {}, from)), await app(mesh.call(from, { host })));
        return answers;
      };
      expect(await seen()).toEqual([418, 'one', 418, 'one']);
      const [status, byEntry, ...others] = await seen(['.']);
      expect([status, byEntry]).toEqual([418, 'one']);
      expect(others).toEqual([expect.stringMatching(/one|two/), 502]);
      expect((await seen(['visitors'])).slice(1)).toEqual([502, 418, 'one']);
      await mesh.apply('test', []);
    });

    it('by every name that a service has for the client', async () => {
      await mesh.apply('test', []);
      const { status } = await mesh.call('client', { host: '10.96.77.1' });
      expect(status).toBe(200);
      for (const host of ['web', 'web.shop', 'web.shop.svc', 'web.shop.svc.cluster.local', 'WEB.shop:8080'])
        expect((await mesh.call('client', { host })).status, host).toBe(200);
      expect((await mesh.call('client', { host: 'web.shop.svc.cluster.local.' })).status).toBe(200);
      expect((await mesh.call('visitor', { host: 'web.shop' })).status).toBe(200);
      // The short name is one of the visitor's own namespace, where there is no such service.
      expect((await mesh.call('visitor', { host: 'web' })).status).toBe(502);
    });
  });

  describe('changes requests', () => {
    it('by rewriting paths with a regular expression', async () => {
      const uriRegexRewrite = { match: '^/people/([^/]+)/orders/(.*)$', rewrite: '/orders/\\2/of/\\1' };
      await use([{ rewrite: { uriRegexRewrite }, route: [to('web', 'v1')] }]);
      expect((await get('/people/ann/orders/7?full=1')).echo().path).toBe('/orders/7/of/ann?full=1');
      expect((await get('/other')).echo().path).toBe('/other');
    });

    it('by headers of the destination that is chosen', async () => {
      const marked = (name: string): object => ({
        request: { set: { 'x-chosen': name } },
        response: { add: { 'x-answered': name } },
      });
      await use([
        {
          headers: { request: { add: { 'x-all': 'yes' } } },
          route: [
            to('web', 'v1', { weight: 50, headers: marked('v1') }),
            to('web', 'v2', { weight: 50, headers: marked('v2') }),
          ],
        },
      ]);
      const answers = await many(mesh, 'client', { host: 'web.shop' }, 40, 2);
      expect(countBy(answers, ({ echo }) => echo().app).size).toBe(2);
      for (const { echo, headers } of answers) {
        const version = echo().app === 'one' ? 'v1' : 'v2';
        expect(echo().headers).toMatchObject({ 'x-chosen': version, 'x-all': 'yes' });
        expect(headers['x-answered']).toBe(version);
      }
    });

    it('by copying a share of them', async () => {
      await use([
        {
          route: [to('web', 'v1')],
          mirrors: [
            { destination: { host: 'web', subset: 'v2' }, percentage: { value: 50 } },
            { destination: { host: 'socket' }, percentage: { value: 0 } },
          ],
        },
      ]);
      const copies = (): number => mesh.app('two').seen.filter(({ path }) => path === '/copied').length;
      await many(mesh, 'client', { host: 'web.shop', path: '/copied' }, 200, 4);
      const least = mesh.app('one').seen.filter(({ path }) => path === '/copied').length;
      expect(least).toBe(200);
      await until(async () => copies() > 60, 'copies');
      expect(copies()).toBeLessThan(140);
      expect(mesh.app('socket').seen).toEqual([]);
    });
  });

  describe('answers in place of the server', () => {
    it.each([
      [{ uri: '/new' }, 301, 'http://web.shop/new?q=1'],
      [{ authority: 'new.example', redirectCode: 302 }, 302, 'http://new.example/old?q=1'],
      [{ scheme: 'https', redirectCode: 303 }, 303, 'https://web.shop/old?q=1'],
      [{ scheme: 'https', port: 8443, redirectCode: 307 }, 307, 'https://web.shop:8443/old?q=1'],
      [{ port: 80, uri: '/new', redirectCode: 308 }, 308, 'http://web.shop/new?q=1'],
      [{ authority: 'new.example', derivePort: 'FROM_REQUEST_PORT' }, 301, 'http://new.example:8080/old?q=1'],
      [{ authority: 'new.example', derivePort: 'FROM_PROTOCOL_DEFAULT' }, 301, 'http://new.example/old?q=1'],
      [{ prefixRewrite: '/n' }, 301, 'http://web.shop/nd?q=1'],
    ])('with a redirect of %j', async (redirect, status, location) => {
      await use([{ match: [{ uri: { prefix: '/ol' } }], redirect }]);
      const answer = await get('/old?q=1');
      expect([answer.status, answer.headers.location]).toEqual([status, location]);
    });

    it('with a fault that gRPC knows', async () => {
      await use([
        { fault: { abort: { grpcStatus: 'RESOURCE_EXHAUSTED', percentage: { value: 100 } } }, route: [to('web')] },
      ]);
      const answer = await get('/', { 'content-type': 'application/grpc' });
      expect([answer.status, answer.headers['grpc-status']]).toEqual([200, '8']);
    });
  });

  describe('tries again', () => {
    it('by the status that a policy names', async () => {
      await use([{ retries: { attempts: 1, retryOn: 'reset,409' }, route: [to('web', 'v1')] }]);
      expect(await app(get('/conflict'))).toBe('one');
      await use([{ retries: { attempts: 1, retryOn: 'reset,410' }, route: [to('web', 'v1')] }]);
      expect(await app(get('/conflict'))).toBe(409);
    });

    it.each([
      ['5xx', ['status=500', 'status=503', 'cut'], ['status=409']],
      ['gateway-error', ['status=502', 'status=503', 'status=504', 'cut'], ['status=500']],
      ['reset', ['cut'], ['status=503']],
      ['retriable-4xx', ['status=409'], ['status=404', 'status=503']],
      ['retriable-status-codes,404,418', ['status=404', 'status=418'], ['status=409']],
      ['envoy-ratelimited', ['status=429&x-envoy-ratelimited=true'], ['status=429']],
      ['cancelled', ['grpc-status=1'], ['grpc-status=4']],
      ['deadline-exceeded', ['grpc-status=4'], ['grpc-status=1']],
      ['resource-exhausted', ['grpc-status=8'], ['grpc-status=13']],
      ['internal', ['grpc-status=13'], ['grpc-status=14']],
      ['unavailable', ['grpc-status=14'], ['grpc-status=8', 'status=503']],
    ])('on %s', async (retryOn, again, once) => {
      await use([{ retries: { attempts: 1, retryOn, backoff: '1ms' }, route: [to('web', 'v1')] }]);
      const { seen } = mesh.app('one');
      const tries = async (query: string): Promise<number> => {
        const before = seen.length;
        await get(`/first?${query}`);
        return seen.length - before;
      };
      for (const query of again) expect(await tries(query), query).toBe(2);
      for (const query of once) expect(await tries(query), query).toBe(1);
    });

    it('on connect-failure alone where nobody listens, on refused-stream where the server is busy', async () => {
      const half = 'half.example';
      const busy = 'busy.example';
      const objects = (
        host: string,
        retryOn: string,
        port: object,
        addresses: readonly string[],
      ): readonly object[] => [
        entry(host, port, addresses),
        istio('VirtualService', host.replace('.', '-'), {
          hosts: [host],
          http: [{ retries: { attempts: 4, retryOn, backoff: '1ms' }, route: [to(host)] }],
        }),
      ];
      const statuses = async (host: string): Promise<readonly (string | number)[]> =>
        [...countBy(await many(mesh, 'client', { host }, 12, 1), ({ status }) => status).keys()].sort();
      const server = createServer();
      let refusals = 0;
      server.on('stream', (stream, headers) => {
        if (headers['x-envoy-attempt-count'] === '1') {
          refusals++;
          stream.on('error', () => undefined);
          stream.close(constants.NGHTTP2_REFUSED_STREAM);
        } else stream.respond({ ':status': 200 }, { endStream: true });
      });
      await new Promise<void>((resolve) => void server.listen(8080, mesh.at.other(208), resolve));
      const use = (onHalf: string, onBusy: string): Promise<void> =>
        mesh.apply('test', [
          ...objects(half, onHalf, { number: 8080, name: 'http', protocol: 'HTTP' }, [
            mesh.at.pod('one'),
            mesh.at.other(209),
          ]),
          ...objects(busy, onBusy, { number: 8080, name: 'http2', protocol: 'HTTP2' }, [mesh.at.other(208)]),
        ]);
      await use('connect-failure', 'refused-stream');
      expect([await statuses(half), await statuses(busy), refusals]).toEqual([[200], [200], 12]);
      await use('refused-stream', 'connect-failure');
      expect([await statuses(half), await statuses(busy), refusals]).toEqual([[200, 503], [503], 24]);
      await mesh.apply('test', []);
      await new Promise((resolve) => void server.close(resolve));
    });

    it('when one try takes too long', async () => {
      await use([
        { retries: { attempts: 1, retryOn: '5xx', perTryTimeout: '0.2s', backoff: '10ms' }, route: [to('web', 'v1')] },
      ]);
      const answer = await get('/stuck');
      expect([answer.status, answer.echo().headers['x-envoy-attempt-count']]).toEqual([200, '2']);
      expect(answer.ms).toBeLessThan(2900);
    });

    it('with another server, unless it is told not to look', async () => {
      const failures = async (): Promise<number> =>
        countBy(
          await many(mesh, 'client', { host: 'web.shop', path: '/only-two' }, 120, 4),
          ({ status }) => status,
        ).get(503) ?? 0;
      const retries = { attempts: 1, retryOn: '503', retryRemoteLocalities: true };
      const random = istio('DestinationRule', 'web', {
        host: 'web.shop.svc.cluster.local',
        trafficPolicy: { loadBalancer: { simple: 'RANDOM' } },
      });
      // Of two by chance: the one of before five times in a row is rare, once is the half of all.
      await mesh.apply('test', [random, routes('web', [{ retries, route: [to('web')] }])]);
      expect(await failures()).toBeLessThan(10);
      const blind = { ...retries, retryIgnorePreviousHosts: false };
      await mesh.apply('test', [random, routes('web', [{ retries: blind, route: [to('web')] }])]);
      expect(await failures()).toBeGreaterThan(10);
    });

    it('by itself when a server is not there, unless that is turned off', async () => {
      const host = 'half.example';
      const half = entry(host, { number: 8080, name: 'http', protocol: 'HTTP' }, [
        mesh.at.pod('one'),
        mesh.at.other(209),
      ]);
      const route = istio('VirtualService', 'half', {
        hosts: [host],
        http: [{ retries: { attempts: 0 }, route: [to(host)] }],
      });
      const statuses = async (): Promise<readonly (string | number)[]> =>
        [...countBy(await many(mesh, 'client', { host }, 24, 2), ({ status }) => status).keys()].sort();
      await mesh.apply('test', [half]);
      expect(await statuses()).toEqual([200]);
      await mesh.apply('test', [half, route]);
      expect(await statuses()).toEqual([200, 503]);
    });
  });

  describe('keeps connections to a server', () => {
    const pool = (host: string, connectionPool: object): Promise<void> =>
      mesh.apply('test', [istio('DestinationRule', `${host}-pool`, { host, trafficPolicy: { connectionPool } })]);
    const stat = async (host: string, name: string): Promise<number> =>
      [
        ...(await mesh.proxy('client').stats(`^cluster.outbound.8080..${host}\\..*[.;]upstream_${name}$`)).values(),
      ].reduce((sum, value) => sum + value, 0);
    /** By how much a counter of the client grows with some requests, one after the other. */
    const grows = async (host: string, name: string, ask: () => Promise<unknown>, count = 4): Promise<number> => {
      const before = await stat(host, name);
      for (let done = 0; done < count; done++) await ask();
      return (await stat(host, name)) - before;
    };
    const ofHttp1 = async (): Promise<void> => expect((await mesh.call('client', { host: 'socket' })).status).toBe(200);
    const ofHttp2 = async (): Promise<void> =>
      expect(await http2Status(`http://${mesh.at.out('client')}:8080`, 'socket')).toBe(200);
    /** Connections that requests in each protocol need: how many of HTTP/1 and of HTTP/2. */
    const protocols = async (): Promise<readonly boolean[]> => {
      const used: boolean[] = [];
      for (const ask of [ofHttp1, ofHttp2])
        for (const name of ['cx_http1_total', 'cx_http2_total']) used.push((await grows('socket', name, ask, 1)) > 0);
      return used;
    };

    it('in the protocol that is asked for, or in that of the client', async () => {
      // One request for each connection: every one shows what it came by.
      const http = { maxRequestsPerConnection: 1 };
      await pool('socket', { http });
      expect(await protocols()).toEqual([true, false, true, false]);
      await pool('socket', { http: { ...http, h2UpgradePolicy: 'UPGRADE' } });
      expect(await protocols()).toEqual([false, true, false, true]);
      await pool('socket', { http: { ...http, useClientProtocol: true } });
      expect(await protocols()).toEqual([true, false, false, true]);
      // Without a rule it is the mesh that says so.
      await mesh.apply('test', []);
      const byHttp2 = async (): Promise<boolean> => (await grows('socket', 'cx_http2_total', ofHttp1, 1)) > 0;
      const inMesh = async (settings: object, upgraded: boolean): Promise<void> => {
        mesh.plane.folder.writeMesh({ ...MESH, ...settings });
        await until(async () => {
          return (await byHttp2()) === upgraded;
        }, `a mesh that upgrades: ${upgraded}`);
      };
      await inMesh({ h2UpgradePolicy: 'UPGRADE' }, true);
      await inMesh({}, false);
    });

    it('for as many requests as it may have, and no longer than it may be idle', async () => {
      // A service of one endpoint: with two, the last connection to each may have had one request or two.
      await pool('socket', { http: { maxRequestsPerConnection: 2 } });
      expect(await grows('socket', 'cx_max_requests', ofHttp1, 12)).toBe(6);
      await pool('socket', { http: { idleTimeout: '0.2s' } });
      expect(await grows('socket', 'cx_max_requests', ofHttp1, 12)).toBe(0);
      const before = await stat('socket', 'cx_idle_timeout');
      await until(async () => (await stat('socket', 'cx_idle_timeout')) > before, 'connections that are idle');
    });

    it('with no more requests at once than it may have', async () => {
      const statuses = async (): Promise<readonly (string | number)[]> =>
        [...countBy(await many(mesh, 'client', { host: 'socket', path: '/held' }, 3, 3), ({ status }) => status)]
          .map(([status, count]) => `${status}: ${count}`)
          .sort();
      await pool('socket', { http: { h2UpgradePolicy: 'UPGRADE', http2MaxRequests: 2 } });
      expect(await statuses()).toEqual(['200: 2', '503: 1']);
      await pool('socket', { http: { h2UpgradePolicy: 'UPGRADE', http2MaxRequests: 3 } });
      expect(await statuses()).toEqual(['200: 3']);
    });

    it('with no more retries at once than it may have', async () => {
      const retried = async (trafficPolicy: object): Promise<readonly (readonly [string | number, number])[]> => {
        await mesh.apply('test', [
          istio('DestinationRule', 'web-retries', { host: 'web', trafficPolicy }),
          routes('web', [{ retries: { attempts: 1, retryOn: '503', backoff: '1ms' }, route: [to('web', 'v1')] }]),
        ]);
        const answers = await many(mesh, 'client', { host: 'web.shop', path: '/late' }, 3, 3);
        return [...countBy(answers, ({ status }) => status)].sort();
      };
      const one = [
        [200, 1],
        [503, 2],
      ];
      expect(await retried({ connectionPool: { http: { maxRetries: 1 } } })).toEqual(one);
      expect(await retried({ retryBudget: { percent: 1, minRetryConcurrency: 1 } })).toEqual(one);
      expect(await retried({ connectionPool: { http: { maxRetries: 3 } } })).toEqual([[200, 3]]);
    });

    it('of HTTP/2 for some requests at once, and asks now and then whether it is there', async () => {
      const opened = (http: object): Promise<number> =>
        pool('socket', { http: { h2UpgradePolicy: 'UPGRADE', ...http } }).then(() =>
          grows('socket', 'cx_http2_total', () => many(mesh, 'client', { host: 'socket', path: '/held' }, 3, 3), 1),
        );
      expect(await opened({ maxConcurrentStreams: 1 })).toBe(3);
      expect(await opened({ maxConcurrentStreams: 3 })).toBe(1);
      const host = 'pinged.example';
      const server = createServer((_request, response) => response.end());
      let pings = 0;
      server.on('session', (session) => void session.on('ping', () => pings++));
      await new Promise<void>((resolve) => void server.listen(8080, mesh.at.other(207), resolve));
      const asked = async (connectionPool: object): Promise<void> => {
        await mesh.apply('test', [
          entry(host, { number: 8080, name: 'http2', protocol: 'HTTP2' }, [mesh.at.other(207)]),
          istio('DestinationRule', 'pinged', { host, trafficPolicy: { connectionPool } }),
        ]);
        expect((await mesh.call('client', { host })).status).toBe(200);
      };
      await asked({ http: { http2KeepAlive: { interval: '0.05s', timeout: '5s' } } });
      await until(async () => pings > 2, 'pings');
      await mesh.apply('test', []);
      await new Promise((resolve) => void server.close(resolve));
    });
  });

  describe('knows its registry', () => {
    it('and sends nothing to what is not in it', async () => {
      const unknown = await mesh.call('client', { host: 'nobody.example' });
      expect([unknown.status, unknown.body]).toEqual([502, '']);
      expect(await app(mesh.call('client', { host: 'page.example', port: 8080 }))).toBe(502);
    });

    it('and listens for its services at ports of their own, where nothing is captured', async () => {
      expect(await talk('127.0.0.1', shared, 'no HTTP\r\n')).toBe('line no HTTP\r\n');
    });

    it('with names that are looked up when they are asked for', async () => {
      const port = { number: 8080, name: 'http', protocol: 'HTTP' };
      await mesh.apply('test', [
        istio('ServiceEntry', 'any', {
          hosts: ['*.localhost'],
          location: 'MESH_EXTERNAL',
          resolution: 'DYNAMIC_DNS',
          ports: [port],
        }),
      ]);
      const local = await startHttpApp({ name: 'local' });
      const answer = await mesh.call('client', { host: `shop.localhost:${local.port}` });
      expect([answer.status, answer.echo().app]).toEqual([200, 'local']);
      expect(answer.echo().headers.host).toBe(`shop.localhost:${local.port}`);
      await local.stop();
      expect((await mesh.call('client', { host: 'nobody.example' })).status).toBe(502);
    });
  });

  it('says who calls by the PROXY protocol', async () => {
    const first = async (version: string): Promise<string | undefined> => {
      await mesh.apply('test', [
        istio('DestinationRule', 'proxied', {
          host: 'proxied.example',
          trafficPolicy: { proxyProtocol: { version } },
        }),
      ]);
      return mesh.talk('client', 7000, 'hello');
    };
    const server = await startTcpApp('raw', mesh.at.other(202), 7000);
    expect(await first('V1')).toMatch(/^raw PROXY TCP4 127\.\S+ 127\.\S+ \d+ \d+\r\n/);
    expect(await first('V2')).toMatch(/^raw \r\n\r\n\0\r\nQUIT\n/);
    await server.stop();
  });

  describe('by Unix sockets', () => {
    it('reaches every service of every port', async () => {
      const ask = (host: string) => call({ address: '', port: 0, socket: way, headers: { host } });
      await mesh.apply('test', []);
      await until(async () => (await ask('web.shop:8080')).status === 200, 'the socket');
      expect((await ask('nobody.example')).status).toBe(502);
    });

    it('comes to an application that listens at one', async () => {
      const answer = await mesh.call('client', { host: 'socket' });
      expect(answer.echo().app).toBe('socket');
      expect(answer.echo().headers['x-forwarded-client-cert']).toContain('/sa/client');
    });
  });
});

/** The status of one GET by HTTP/2 without TLS, over a connection of its own. */
function http2Status(url: string, authority: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const session = connect(url);
    session.on('error', reject);
    const request = session.request({ ':path': '/', ':authority': authority });
    request.on('error', reject);
    request.on('response', (headers) => {
      resolve(headers[':status']);
      request.resume();
      request.on('end', () => session.close());
    });
    request.end();
  });
}
