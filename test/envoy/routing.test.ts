import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AppAnswer, SeenRequest } from '../support/apps.ts';
import { envoysForTests } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { countBy, istio, many, routes, to, versions } from './fixtures.ts';

describe.each(envoysForTests())('routing by real sidecars', ({ version, envoy }) => {
  describe.skipIf(envoy === '')(`of Envoy ${version}`, () => {
    let mesh: Mesh<LocalControlPlane>;
    const failing = new Set<string>();
    const handler =
      (name: string) =>
      ({ path, headers }: SeenRequest): AppAnswer | undefined => {
        if (failing.has(name)) return { status: 500 };
        if (path === '/slow') return { delayMs: 1500 };
        if (path === '/flaky') return headers['x-envoy-attempt-count'] === '3' ? {} : { status: 503 };
        return undefined;
      };

    beforeAll(async () => {
      const web = (version: string): object => ({ service: 'web', labels: { version } });
      const port = (name: string) => [{ name: 'http', number: 8080, handler: handler(name) }];
      mesh = await startMesh({
        envoy,
        workloads: [
          {
            name: 'client',
            egress: [
              { name: 'http', number: 8080 },
              { name: 'tcp', number: 7000, protocol: 'TCP' },
            ],
          },
          { name: 'web-v1', ...web('v1'), ports: port('web-v1') },
          { name: 'web-v2', ...web('v2'), ports: port('web-v2') },
          { name: 'ledger', service: 'ledger', ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }] },
        ],
        objects: () => [versions('web', ['v1', 'v2'])],
      });
    });
    afterAll(() => mesh?.finish());

    const use = (http: readonly object[], extra: readonly object[] = []) =>
      mesh.apply('test', [routes('web', http), ...extra]);
    const get = (path = '/', headers: Record<string, string> = {}) =>
      mesh.call('client', { host: 'web', path, headers });

    it('splits 90 to 10 over 2,000 requests', async () => {
      await use([{ route: [to('web', 'v1', { weight: 90 }), to('web', 'v2', { weight: 10 })] }]);
      const answers = await many(mesh, 'client', { host: 'web' }, 2000);
      expect(countBy(answers, ({ status }) => status)).toEqual(new Map([[200, 2000]]));
      const share = (countBy(answers, (answer) => answer.echo().app).get('web-v1') ?? 0) / answers.length;
      console.info(`90/10: ${(share * 100).toFixed(1)} % of 2,000 went to v1`);
      expect(Math.abs(share - 0.9)).toBeLessThanOrEqual(0.03);
    });

    it('matches headers, paths, methods and queries, in order', async () => {
      await use([
        { match: [{ headers: { 'end-user': { exact: 'tester' } } }], route: [to('web', 'v2')] },
        { match: [{ uri: { regex: '/items/[0-9]+' }, method: { exact: 'GET' } }], route: [to('web', 'v2')] },
        { match: [{ queryParams: { canary: { exact: 'yes' } } }], route: [to('web', 'v2')] },
        {
          match: [{ headers: { cookie: { prefix: 'beta' } }, withoutHeaders: { 'x-old': {} } }],
          route: [to('web', 'v2')],
        },
        { route: [to('web', 'v1')] },
      ]);
      const app = async (path: string, headers: Record<string, string> = {}): Promise<string> =>
        (await get(path, headers)).echo().app;
      expect(await app('/')).toBe('web-v1');
      expect(await app('/', { 'end-user': 'tester' })).toBe('web-v2');
      expect(await app('/items/17')).toBe('web-v2');
      expect(await app('/items/x')).toBe('web-v1');
      expect(await app('/?canary=yes')).toBe('web-v2');
      expect(await app('/', { cookie: 'beta=1' })).toBe('web-v2');
      expect(await app('/', { cookie: 'beta=1', 'x-old': '1' })).toBe('web-v1');
      const posted = await mesh.call('client', { host: 'web', path: '/items/17', method: 'POST' });
      expect(posted.echo().app).toBe('web-v1');
    });

    it('rewrites, redirects, answers directly, and changes headers', async () => {
      const headers = {
        request: { set: { 'x-set': '%DOWNSTREAM_LOCAL_PORT%' }, add: { 'x-add': 'b' }, remove: ['x-gone'] },
        response: { set: { 'x-answer': 'mesh' }, remove: ['content-type'] },
      };
      await use([
        { match: [{ uri: { prefix: '/old/' } }], redirect: { uri: '/new/', redirectCode: 308 } },
        {
          match: [{ uri: { exact: '/teapot' } }],
          directResponse: { status: 418, body: { string: 'short and stout' } },
        },
        {
          match: [{ uri: { prefix: '/api/' } }],
          rewrite: { uri: '/', authority: 'web.internal' },
          headers,
          route: [to('web', 'v1')],
        },
        { route: [to('web', 'v1')] },
      ]);
      const moved = await get('/old/thing');
      expect([moved.status, moved.headers.location]).toEqual([308, 'http://web/new/']);
      const direct = await get('/teapot');
      expect([direct.status, direct.body]).toEqual([418, 'short and stout']);
      const api = await get('/api/v1', { 'x-gone': '1', 'x-add': 'a' });
      const { path, headers: seen } = api.echo();
      expect(path).toBe('/v1');
      expect(seen).toMatchObject({ host: 'web.internal', 'x-set': '8080', 'x-add': 'a, b' });
      expect(seen['x-gone']).toBeUndefined();
      expect(api.headers).toMatchObject({ 'x-answer': 'mesh' });
      expect(api.headers['content-type']).toBeUndefined();
    });

    it('injects faults: a status for a share of requests, a delay for others', async () => {
      await use([
        {
          match: [{ uri: { prefix: '/abort' } }],
          fault: { abort: { httpStatus: 555, percentage: { value: 50 } } },
          route: [to('web', 'v1')],
        },
        { fault: { delay: { fixedDelay: '0.4s', percentage: { value: 100 } } }, route: [to('web', 'v1')] },
      ]);
      const counts = countBy(await many(mesh, 'client', { host: 'web', path: '/abort' }, 400), ({ status }) => status);
      expect([...counts.keys()].sort()).toEqual([200, 555]);
      expect(Math.abs((counts.get(555) ?? 0) / 400 - 0.5)).toBeLessThan(0.1);
      const delayed = await get('/');
      expect(delayed.status).toBe(200);
      expect(delayed.ms).toBeGreaterThanOrEqual(395);
    });

    it('retries as often as asked, and gives up at the timeout', async () => {
      await use([
        {
          match: [{ uri: { exact: '/flaky' } }],
          retries: { attempts: 2, retryOn: '5xx', perTryTimeout: '2s' },
          route: [to('web', 'v1')],
        },
        { match: [{ uri: { exact: '/slow' } }], timeout: '0.3s', route: [to('web', 'v1')] },
        { retries: { attempts: 0 }, route: [to('web', 'v1')] },
      ]);
      const { seen } = mesh.app('web-v1');
      const before = seen.length;
      expect((await get('/flaky')).status).toBe(200);
      expect(seen.slice(before).map(({ path }) => path)).toEqual(['/flaky', '/flaky', '/flaky']);
      const slow = await get('/slow');
      expect(slow.status).toBe(504);
      expect(slow.ms).toBeLessThan(1400);
      failing.add('web-v1');
      const after = seen.length;
      expect((await get('/')).status).toBe(500);
      failing.delete('web-v1');
      expect(seen.length - after).toBe(1);
    });

    it('mirrors requests without waiting for their answers', async () => {
      await use([
        {
          route: [to('web', 'v1')],
          mirrors: [{ destination: { host: 'web', subset: 'v2' }, percentage: { value: 100 } }],
        },
      ]);
      const shadow = mesh.app('web-v2').seen;
      const before = shadow.length;
      const answers = await many(
        mesh,
        'client',
        { host: 'web', path: '/mirrored', method: 'POST', body: 'copy' },
        10,
        2,
      );
      expect(countBy(answers, (answer) => answer.echo().app)).toEqual(new Map([['web-v1', 10]]));
      await expect.poll(() => shadow.length - before, { timeout: 5000 }).toBe(10);
      expect(shadow.at(-1)).toMatchObject({ path: '/mirrored', body: 'copy' });
      expect(shadow.at(-1)?.headers.host).toBe('web');
    });

    it('answers CORS preflights itself', async () => {
      const corsPolicy = {
        allowOrigins: [{ exact: 'https://shop.example' }],
        allowMethods: ['GET', 'PUT'],
        allowHeaders: ['x-token'],
        exposeHeaders: ['x-info'],
        maxAge: '600s',
        allowCredentials: true,
      };
      await use([{ corsPolicy, route: [to('web', 'v1')] }]);
      const before = mesh.app('web-v1').seen.length;
      const preflight = await mesh.call('client', {
        host: 'web',
        method: 'OPTIONS',
        headers: { origin: 'https://shop.example', 'access-control-request-method': 'PUT' },
      });
      expect(preflight.status).toBe(200);
      expect(preflight.headers).toMatchObject({
        'access-control-allow-origin': 'https://shop.example',
        'access-control-allow-methods': 'GET,PUT',
        'access-control-allow-headers': 'x-token',
        'access-control-max-age': '600',
        'access-control-allow-credentials': 'true',
      });
      expect(mesh.app('web-v1').seen.length).toBe(before);
      const plain = await get('/', { origin: 'https://shop.example' });
      expect(plain.headers['access-control-expose-headers']).toBe('x-info');
    });

    it('keeps a caller on one server by a consistent hash', async () => {
      const hash = { loadBalancer: { consistentHash: { httpHeaderName: 'x-user' } } };
      await mesh.apply('test', [
        istio('DestinationRule', 'web-hash', { host: 'web.shop.svc.cluster.local', trafficPolicy: hash }),
      ]);
      // The older rule of the same host stays in force: its subsets don't name a policy, so this one's applies to all.
      const users = Array.from({ length: 24 }, (_, index) => `user-${index}`);
      const servers = new Set<string>();
      for (const user of users) {
        const answers = await many(mesh, 'client', { host: 'web', headers: { 'x-user': user } }, 4, 2);
        const apps = countBy(answers, (answer) => answer.echo().app);
        expect(apps.size).toBe(1);
        servers.add([...apps.keys()].join());
      }
      expect(servers.size).toBe(2);
    });

    it('breaks the circuit when a server has more to do than allowed', async () => {
      const pool = { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1, maxRequestsPerConnection: 1 } };
      await use(
        [{ route: [to('web', 'tight')] }],
        [
          istio('DestinationRule', 'web-tight', {
            host: 'web',
            subsets: [{ name: 'tight', labels: { version: 'v1' }, trafficPolicy: { connectionPool: pool } }],
          }),
        ],
      );
      const answers = await many(mesh, 'client', { host: 'web', path: '/slow' }, 6, 6);
      const refused = answers.filter(({ status }) => status === 503);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused[0]?.headers['x-envoy-overloaded']).toBe('true');
      expect(answers.some(({ status }) => status === 200)).toBe(true);
    });

    it('ejects a server that fails again and again', async () => {
      const outlierDetection = {
        consecutive5xxErrors: 3,
        interval: '0.2s',
        baseEjectionTime: '60s',
        maxEjectionPercent: 100,
      };
      await mesh.apply('test', [
        istio('DestinationRule', 'web-outlier', { host: 'web', trafficPolicy: { outlierDetection } }),
        routes('web', [{ retries: { attempts: 0 }, route: [to('web')] }]),
      ]);
      failing.add('web-v2');
      await many(mesh, 'client', { host: 'web' }, 60, 4);
      const answers = await many(mesh, 'client', { host: 'web' }, 40, 4);
      failing.delete('web-v2');
      expect(countBy(answers, ({ status }) => status)).toEqual(new Map([[200, 40]]));
    });

    it('moves bytes of other protocols', async () => {
      expect(await mesh.talk('client', 7000, 'hello')).toBe('ledger hello');
    });
  });
});
