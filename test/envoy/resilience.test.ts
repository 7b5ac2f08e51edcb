import { Agent } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AppAnswer, SeenRequest } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { countBy, istio, many, NAMESPACE, routes, to } from './fixtures.ts';

const envoy = newestEnvoy();

/** Where the servers of `web` are; the client is in `west/a`. */
const PLACES = { near: 'west.a', next: 'west.b', east: 'east.a', north: 'north.a' } as const;

const PLAIN = routes('web', [{ retries: { attempts: 0 }, route: [to('web')] }]);

describe.skipIf(envoy === '')('where a request goes', () => {
  let mesh: Mesh<LocalControlPlane>;
  const failing = new Set<string>();
  const handler =
    (name: string) =>
    ({ path }: SeenRequest): AppAnswer | undefined => {
      if (path === '/held' && name === 'east') return { delayMs: 5000 };
      return failing.has(name) ? { status: 503 } : undefined;
    };

  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      workloads: [
        { name: 'client', labels: { 'istio-locality': 'west.a', track: 'blue' } },
        ...Object.entries(PLACES).map(([name, locality]) => ({
          name,
          service: 'web',
          proxied: false,
          labels: { 'istio-locality': locality, track: name === 'next' ? 'blue' : 'green' },
          ports: [{ name: 'http', number: 8080, handler: handler(name) }],
        })),
      ],
      objects: () => [PLAIN],
    });
  });
  afterEach(() => failing.clear());
  afterAll(() => mesh?.finish());

  const use = (trafficPolicy: object): Promise<void> =>
    mesh.apply('rule', [istio('DestinationRule', 'web', { host: 'web', trafficPolicy })]);
  const servers = async (count = 20): Promise<ReadonlyMap<string | number, number>> =>
    countBy(await many(mesh, 'client', { host: 'web' }, count, 4), ({ status, echo }) =>
      status === 200 ? echo().app : status,
    );

  describe('with localities', () => {
    /** Another time of ejection makes another cluster, which has not given up any server yet. */
    const near = (baseEjectionTime: string, localityLbSetting: object): object => ({
      outlierDetection: { consecutive5xxErrors: 1, interval: '0.1s', baseEjectionTime, maxEjectionPercent: 100 },
      loadBalancer: { localityLbSetting },
    });

    /** Fails the servers one after the other, and tells who answers once each of them has been given up. */
    const order = async (): Promise<readonly string[]> => {
      const seen: string[] = [];
      while (failing.size < Object.keys(PLACES).length) {
        await until(async () => [...(await servers(8)).keys()].every((key) => key !== 503), 'only servers that work');
        const names = [...(await servers()).keys()];
        seen.push(names.sort().join());
        for (const name of names) failing.add(String(name));
      }
      return seen;
    };

    it('goes to the nearest, and further when those fail', async () => {
      await use(near('60s', { failover: [{ from: 'west', to: 'north' }] }));
      expect(await order()).toEqual(['near', 'next', 'north', 'east']);
    });

    it('goes by the order of labels where one is given', async () => {
      await use(near('61s', { failoverPriority: ['topology.kubernetes.io/region', 'track'] }));
      expect(await order()).toEqual(['next', 'near', 'east,north']);
    });

    it('goes further with the next try alone where retries look at other localities', async () => {
      const statuses = async (retryRemoteLocalities: boolean): Promise<readonly (string | number)[]> => {
        // The third try is the first one that may leave the localities of those before.
        const retries = { attempts: 2, retryOn: '503', backoff: '1ms', retryRemoteLocalities };
        await mesh.apply('objects', [routes('web', [{ retries, route: [to('web')] }])]);
        return [...(await servers()).keys()].sort();
      };
      await use({
        outlierDetection: { consecutive5xxErrors: 0, consecutiveGatewayErrors: 0 },
        loadBalancer: { localityLbSetting: { failover: [{ from: 'west', to: 'north' }] } },
      });
      failing.add('near');
      expect(await statuses(false)).toEqual([503]);
      expect(await statuses(true)).toEqual(['next']);
      await mesh.apply('objects', [PLAIN]);
    });

    it('is distributed as told, and to nowhere else', async () => {
      await use({
        loadBalancer: {
          localityLbSetting: { distribute: [{ from: 'west/a/*', to: { 'west/b/*': 80, 'east/*': 20 } }] },
        },
      });
      const counts = await servers(500);
      expect([...counts.keys()].sort()).toEqual(['east', 'next']);
      expect(Math.abs((counts.get('next') ?? 0) / 500 - 0.8)).toBeLessThan(0.08);
    });

    it('goes everywhere when localities are turned off', async () => {
      await use(near('62s', { enabled: false }));
      expect([...(await servers(60)).keys()].sort()).toEqual(Object.keys(PLACES).sort());
    });
  });

  describe('by a consistent hash', () => {
    const hash = (consistentHash: object): Promise<void> => use({ loadBalancer: { consistentHash } });
    const appOf = async (headers: Record<string, string>, path = '/'): Promise<string> =>
      (await mesh.call('client', { host: 'web', headers, path })).echo().app;

    /** Eight times the same server for every caller, and not the same one for all. */
    const sticks = async (ask: (caller: number) => Promise<string>): Promise<void> => {
      const chosen = new Set<string>();
      for (let caller = 0; caller < 16; caller++) {
        const apps = new Set<string>();
        for (let turn = 0; turn < 8; turn++) apps.add(await ask(caller));
        expect(apps.size).toBe(1);
        for (const app of apps) chosen.add(app);
      }
      expect(chosen.size).toBeGreaterThan(1);
    };

    it('of a header', async () => {
      await hash({ httpHeaderName: 'x-user' });
      await sticks((caller) => appOf({ 'x-user': `user-${caller}` }));
    });

    it('of a query parameter', async () => {
      await hash({ httpQueryParameterName: 'user', maglev: { tableSize: 1031 } });
      await sticks((caller) => appOf({}, `/?user=u${caller}`));
    });

    it('of a cookie, which is given to those who have none', async () => {
      await hash({ httpCookie: { name: 'session', path: '/shop', ttl: '300s' }, ringHash: { minimumRingSize: 512 } });
      const cookies = new Map<number, string>();
      await sticks(async (caller) => {
        const known = cookies.get(caller);
        const headers = known === undefined ? undefined : { cookie: known };
        // Callers of one connection would be given one cookie.
        const answer = await mesh.call('client', { host: 'web', headers, agent: new Agent() });
        const [given] = answer.headers['set-cookie'] ?? [];
        expect(given === undefined).toBe(known !== undefined);
        if (given !== undefined) {
          expect(given).toMatch(/^session="?[^;]+"?; Max-Age=300; Path=\/shop/);
          cookies.set(caller, given.split(';')[0] ?? '');
        }
        return answer.echo().app;
      });
    });

    it('of the address of the caller: one server for all from there', async () => {
      await hash({ useSourceIp: true });
      const counts = await servers(40);
      expect([...counts.values()]).toEqual([40]);
    });

    it('is left again for a rotation over all', async () => {
      await use({ loadBalancer: { simple: 'ROUND_ROBIN' } });
      const counts = await servers(40);
      expect([...counts.keys()].sort()).toEqual(Object.keys(PLACES).sort());
      for (const count of counts.values()) expect(count).toBe(10);
    });
  });

  describe('among servers of which one is busy', () => {
    /** The servers that 160 requests go to, one after the other, while `east` has others in hand. */
    const chosen = async (loadBalancer: object): Promise<readonly string[]> => {
      await use({ loadBalancer: { ...loadBalancer, localityLbSetting: { enabled: false } } });
      const { seen } = mesh.app('east');
      const held = (): number => seen.filter(({ path }) => path === '/held').length;
      const before = held();
      const agent = new Agent({ keepAlive: true });
      const ask = (): void => {
        mesh.call('client', { host: 'web', path: '/held', agent }).catch(() => undefined);
      };
      try {
        await until(async () => {
          for (let count = 0; count < 4; count++) ask();
          await mesh.call('client', { host: 'web' });
          return held() > before;
        }, 'a request that the busy one has');
        return (await many(mesh, 'client', { host: 'web' }, 160, 1)).map(({ echo }) => echo().app);
      } finally {
        agent.destroy();
      }
    };
    const ofEast = (names: readonly string[]): number => names.filter((name) => name === 'east').length;
    const repeats = (names: readonly string[]): number =>
      names.filter((name, index) => name === names[index - 1]).length;

    it.each([
      ['usually', {}],
      ['by LEAST_REQUEST', { simple: 'LEAST_REQUEST' }],
    ])('%s goes to the others', async (_how, loadBalancer) => {
      // Only when both of the two that are drawn are the busy one: 10 of 160.
      expect(ofEast(await chosen(loadBalancer))).toBeLessThan(24);
    });

    it('goes to all of them by RANDOM, and by ROUND_ROBIN in turn', async () => {
      const random = await chosen({ simple: 'RANDOM' });
      expect(ofEast(random)).toBeGreaterThan(20);
      expect(repeats(random)).toBeGreaterThan(0);
      const turns = await chosen({ simple: 'ROUND_ROBIN' });
      expect([ofEast(turns), repeats(turns)]).toEqual([40, 0]);
    });
  });

  it('a host that answers badly is taken out, and comes back after its time', async () => {
    await use({
      outlierDetection: {
        consecutiveGatewayErrors: 2,
        interval: '0.1s',
        baseEjectionTime: '0.3s',
        maxEjectionPercent: 50,
      },
      loadBalancer: { simple: 'ROUND_ROBIN', localityLbSetting: { enabled: false } },
    });
    const stat = async (name: string): Promise<number | undefined> =>
      [
        ...(await mesh.proxy('client').stats(`outbound.8080..web.${NAMESPACE}.*outlier_detection.${name}$`)).values(),
      ][0];
    failing.add('east');
    await until(async () => {
      await servers(16);
      return ((await stat('ejections_enforced_total')) ?? 0) > 0;
    }, 'an ejection');
    failing.clear();
    await until(async () => (await stat('ejections_active')) === 0, 'its end');
    await until(async () => (await servers(16)).has('east'), 'its return');
  });
});
