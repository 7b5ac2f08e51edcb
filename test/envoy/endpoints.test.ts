import { featuresOf } from '../../src/config/features.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { countBy, istio, many, to } from './fixtures.ts';

const envoy = newestEnvoy();

const SERVERS = ['one', 'two', 'three'] as const;
const WARM_UP_MS = 8000;

describe.skipIf(envoy === '')('endpoints', () => {
  let mesh: Mesh<LocalControlPlane>;
  /** From when on the endpoints of the start are no longer new. */
  let warmAt = 0;

  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      server: { features: { ...featuresOf({}).features, persistentSessions: true } },
      workloads: [
        {
          ...{ name: 'client', namespace: 'visitors', labels: { 'istio-locality': 'r.a' } },
          env: { ISTIO_META_ENABLE_SELF_DISCOVERY: 'true', ISTIO_META_WORKLOAD_NAME: 'client' },
        },
        ...SERVERS.map((name, index) => ({
          name,
          service: 'web',
          proxied: false,
          labels: { version: `v${index + 1}` },
          ports: [{ name: 'http', number: 8080 }],
        })),
      ],
    });
    await mesh.apply('warm', warming(2));
    expect((await ask({}, 'warm.example')).status).toBe(200);
    warmAt = Date.now() + WARM_UP_MS;
  });
  afterAll(() => mesh?.finish());

  /** A service whose endpoints are the servers, with labels of its own and of each of them. */
  const kept = (labels: object, endpointLabels: Readonly<Partial<Record<string, object>>> = {}): object => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'kept', namespace: 'shop', labels },
    spec: {
      hosts: ['kept.example'],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
      endpoints: SERVERS.map((name) => ({ address: mesh.at.pod(name), labels: endpointLabels[name] ?? {} })),
    },
  });
  const ask = (headers: Record<string, string> = {}, host = 'kept.example') =>
    mesh.call('client', { host, headers: { connection: 'close', ...headers } });
  const appsOf = async (headers: Record<string, string>, count = 12): Promise<readonly (string | number)[]> => {
    const answers = await many(mesh, 'client', { host: 'kept.example', headers }, count, 4);
    return [...countBy(answers, ({ status, echo }) => (status === 200 ? echo().app : status)).keys()].sort();
  };

  const warming = (
    count: number,
    settings: object = { warmup: { duration: `${WARM_UP_MS / 1000}s`, minimumPercent: 10, aggression: 1 } },
  ): readonly object[] => [
    istio('ServiceEntry', 'warm', {
      hosts: ['warm.example'],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
      endpoints: SERVERS.slice(0, count).map((name) => ({ address: mesh.at.pod(name) })),
    }),
    istio('DestinationRule', 'warm', {
      host: 'warm.example',
      trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN', ...settings } },
    }),
  ];

  describe('of a service with persistent sessions', () => {
    it('keep callers by a cookie, also while they drain, when they are given no new ones', async () => {
      const labels = { 'istio.io/persistent-session': 'basket:/' };
      await mesh.apply('kept', [kept(labels)]);
      const first = await ask();
      const [given = ''] = first.headers['set-cookie'] ?? [];
      expect(given).toMatch(/^basket="?[^;]+"?; Path=\/(;|$)/);
      expect(given).not.toContain('Max-Age');
      const cookie = { cookie: given.split(';')[0] ?? '' };
      const { app } = first.echo();
      expect(await appsOf({})).toEqual([...SERVERS].sort());
      expect(await appsOf(cookie)).toEqual([app]);

      await mesh.apply('kept', [kept(labels, { [app]: { 'istio.io/draining': 'true' } })]);
      await until(async () => !(await appsOf({})).includes(app), 'no new callers');
      expect(await appsOf(cookie)).toEqual([app]);
    });

    it('keep callers by a header', async () => {
      await mesh.apply('kept', [kept({ 'istio.io/persistent-session-header': 'x-server' })]);
      const first = await ask();
      const server = first.headers['x-server'];
      expect(server).toEqual(expect.any(String));
      expect(await appsOf({ 'x-server': String(server) })).toEqual([first.echo().app]);
      expect(await appsOf({})).toEqual([...SERVERS].sort());
    });

    it('keep callers of weighted routes too, and of a route that names the service', async () => {
      const route = (weights: readonly number[]): object =>
        istio('VirtualService', 'kept', {
          hosts: ['kept.example'],
          http: [{ route: weights.map((weight) => to('kept.example', undefined, { weight })) }],
        });
      for (const weights of [[100], [50, 50]]) {
        await mesh.apply('kept', [kept({ 'istio.io/persistent-session': 'basket' }), route(weights)]);
        const first = await ask();
        const [given = ''] = first.headers['set-cookie'] ?? [];
        expect(await appsOf({ cookie: given.split(';')[0] ?? '' })).toEqual([first.echo().app]);
      }
    });

    it('are not there for callers without', async () => {
      await mesh.apply('kept', [kept({}, { one: { 'istio.io/draining': 'true' } })]);
      await until(async () => (await appsOf({})).join() === 'three,two', 'the drained endpoint gone');
      expect((await ask()).headers['set-cookie']).toBeUndefined();
    });
  });

  it('that are not ready get nothing', async () => {
    const metadata = { name: 'sliced', namespace: 'shop' };
    const slice = (ready: readonly boolean[]): readonly object[] => [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata,
        spec: { clusterIP: '10.96.78.2', ports: [{ name: 'http', port: 8080, targetPort: 8080 }] },
      },
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'sliced' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: SERVERS.map((name, index) => ({
          addresses: [mesh.at.pod(name)],
          conditions: { ready: ready[index] },
        })),
      },
    ];
    const servers = async (): Promise<string> =>
      [...countBy(await many(mesh, 'client', { host: 'sliced.shop' }, 12, 4), (answer) => answer.echo().app).keys()]
        .sort()
        .join();
    await mesh.apply('sliced', slice([true, false, true]));
    await until(async () => (await servers()) === 'one,three', 'the two that are ready');
    await mesh.apply('sliced', slice([false, true, false]));
    await until(async () => (await servers()) === 'two', 'the one that is ready');
    // Nobody is better than somebody who can't answer.
    await mesh.apply('sliced', slice([false, false, false]));
    await until(async () => (await ask({}, 'sliced.shop')).status === 503, 'nobody');
  });

  it('of the own zone get what the zone sends, while zones are balanced', async () => {
    const zoned = (zoneAwareLbSetting: object): readonly object[] => [
      // The caller's own workload: one pod in each zone, which makes half of the traffic of each.
      istio(
        'ServiceEntry',
        'callers',
        {
          hosts: ['callers.example'],
          resolution: 'STATIC',
          ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
          workloadSelector: { labels: { workload: 'client' } },
        },
        'visitors',
      ),
      istio(
        'WorkloadEntry',
        'client',
        {
          ...{ address: mesh.at.other(201), locality: 'r/b', labels: { workload: 'client' } },
        },
        'visitors',
      ),
      istio('ServiceEntry', 'zoned', {
        ...{ hosts: ['zoned.example'], location: 'MESH_EXTERNAL', resolution: 'STATIC' },
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
        endpoints: ['a', 'b'].map((zone, index) => ({
          address: mesh.at.pod(SERVERS[index] ?? ''),
          locality: `r/${zone}`,
        })),
      }),
      istio('DestinationRule', 'zoned', {
        ...{ host: 'zoned.example', trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN', zoneAwareLbSetting } } },
      }),
    ];
    const asked = async (): Promise<readonly unknown[]> => {
      const answers = await many(mesh, 'client', { host: 'zoned.example' }, 20, 4);
      return [...countBy(answers, ({ status, echo }) => (status === 200 ? echo().app : status)).keys()].sort();
    };
    await mesh.apply('zoned', zoned({ minClusterSize: 1 }));
    expect(await asked()).toEqual(['one']);
    await mesh.apply('zoned', zoned({ enabled: false }));
    expect(await asked()).toEqual(['one', 'two']);
  });

  describe('by a DestinationRule', () => {
    const WEB = 'web.shop.svc.cluster.local';
    /** Rules say which server the subset is: the answer tells whose rule is in force. */
    const rule = (namespace: string, version: string, rest: object = {}, name = 'web'): object =>
      istio(
        'DestinationRule',
        name,
        { host: WEB, subsets: [{ name: 'chosen', labels: { version } }], ...rest },
        namespace,
      );
    const route = istio('VirtualService', 'web', { hosts: [WEB], http: [{ route: [to(WEB, 'chosen')] }] });
    const chosen = async (): Promise<string | number> => {
      const answer = await ask({}, 'web.shop');
      return answer.status === 200 ? answer.echo().app : answer.status;
    };

    it("of the client's namespace, else of the service's, else of the root namespace", async () => {
      const root = rule('istio-system', 'v1');
      const own = rule('shop', 'v2');
      await mesh.apply('rules', [route, root]);
      expect(await chosen()).toBe('one');
      await mesh.apply('rules', [route, root, own]);
      expect(await chosen()).toBe('two');
      await mesh.apply('rules', [route, root, own, rule('visitors', 'v3')]);
      expect(await chosen()).toBe('three');
      // For its own namespace alone; for other workloads of the client's namespace.
      await mesh.apply('rules', [route, root, rule('shop', 'v2', { exportTo: ['.'] })]);
      expect(await chosen()).toBe('one');
      const selective = { workloadSelector: { matchLabels: { workload: 'somebody' } } };
      await mesh.apply('rules', [route, own, rule('visitors', 'v3', selective)]);
      expect(await chosen()).toBe('two');
      const mine = { workloadSelector: { matchLabels: { workload: 'client' } } };
      await mesh.apply('rules', [route, own, rule('visitors', 'v3', mine)]);
      expect(await chosen()).toBe('three');
    });

    it('that is joined with another one of its namespace and host', async () => {
      const further = istio('DestinationRule', 'web-2', {
        host: WEB,
        subsets: [
          { name: 'chosen', labels: { version: 'v3' } },
          { name: 'further', labels: { version: 'v2' } },
        ],
      });
      const both = istio('VirtualService', 'web', {
        hosts: [WEB],
        http: [
          { match: [{ uri: { exact: '/further' } }], route: [to(WEB, 'further')] },
          { route: [to(WEB, 'chosen')] },
        ],
      });
      await mesh.apply('rules', [both, rule('shop', 'v1'), further]);
      expect(await chosen()).toBe('one');
      const answer = await mesh.call('client', { host: 'web.shop', path: '/further' });
      expect(answer.echo().app).toBe('two');
    });

    it('whose ports and subsets have settings of their own', async () => {
      const sticky = { loadBalancer: { consistentHash: { httpHeaderName: 'x-user' } } };
      const plain = { loadBalancer: { simple: 'ROUND_ROBIN' } };
      const servers = async (): Promise<number> =>
        countBy(
          await many(mesh, 'client', { host: 'web.shop', headers: { 'x-user': 'ann' } }, 12, 1),
          ({ echo }) => echo().app,
        ).size;
      const use = (trafficPolicy: object, subset: object = {}): Promise<void> =>
        mesh.apply('rules', [
          istio('VirtualService', 'web', {
            hosts: [WEB],
            http: [{ route: [{ destination: { host: WEB, subset: 'all', port: { number: 8080 } } }] }],
          }),
          istio('DestinationRule', 'web', {
            host: WEB,
            trafficPolicy,
            subsets: [{ name: 'all', labels: { app: 'web' }, ...subset }],
          }),
        ]);
      const onPort = (number: number, policy: object): object => ({
        portLevelSettings: [{ port: { number }, ...policy }],
      });
      await use({ ...plain, ...onPort(8080, sticky) });
      expect(await servers()).toBe(1);
      await use({ ...plain, ...onPort(9090, sticky) });
      expect(await servers()).toBe(3);
      await use(plain, { trafficPolicy: sticky });
      expect(await servers()).toBe(1);
      await use(sticky, { trafficPolicy: plain });
      expect(await servers()).toBe(3);
    });
  });

  it('that are new get their share little by little', async () => {
    await until(async () => Date.now() > warmAt, 'endpoints that are warm', WARM_UP_MS + 2000);
    await mesh.apply('warm', warming(3));
    const counts = countBy(await many(mesh, 'client', { host: 'warm.example' }, 60, 1), ({ echo }) => echo().app);
    expect(counts.get('three') ?? 0).toBeLessThan(12);
    expect((counts.get('one') ?? 0) + (counts.get('two') ?? 0)).toBeGreaterThan(48);
    await mesh.apply('warm', warming(3, {}));
    const plain = countBy(await many(mesh, 'client', { host: 'warm.example' }, 60, 1), ({ echo }) => echo().app);
    expect([...plain.values()]).toEqual([20, 20, 20]);
  });
});
