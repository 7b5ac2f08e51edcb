// On-demand discovery through real sidecars: they start with next to nothing, ask at the first request, lose none, and
// keep what they use. Envoy 1.40 is given virtual hosts on demand as well, older ones clusters alone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../src/agent/admin.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { PlaneSession } from '../../src/plane/proxy-session.ts';
import { envoysForTests, NEWEST } from '../support/envoy.ts';
import { type Mesh, startMesh, verify } from '../support/mesh.ts';
import { type LocalControlPlane, startLocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { countBy, istio, many, routes, to, versions } from './fixtures.ts';

const UNUSED = 300;

/** A service that nobody calls. */
function unused(index: number, address = '10.1.2.3'): object {
  return istio('ServiceEntry', `unused-${index}`, {
    hosts: [`unused-${index}.example.com`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
    endpoints: [{ address }],
  });
}

const EGRESS = [
  { name: 'http', number: 8080 },
  { name: 'tcp', number: 7000, protocol: 'TCP', hosts: ['./ledger.shop.svc.cluster.local'] },
];

const WEB = 'outbound|8080||web.shop.svc.cluster.local';
const API = 'outbound|8080||api.shop.svc.cluster.local';
const LEDGER = 'outbound|7000||ledger.shop.svc.cluster.local';

describe.each(envoysForTests())('on-demand discovery', ({ version, envoy }) => {
  describe.skipIf(envoy === '')(`by Envoy ${version}`, () => {
    const hosts = version === NEWEST;
    const env = { ISTIO_META_MELTEMI_ON_DEMAND: 'true' };
    let mesh: Mesh<LocalControlPlane>;
    let plane: LocalControlPlane;

    beforeAll(async () => {
      const port = [{ name: 'http', number: 8080 }];
      mesh = await startMesh({
        envoy,
        mesh: { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
        workloads: [
          { name: 'client', egress: EGRESS, env },
          { name: 'plain', egress: EGRESS },
          { name: 'brief', egress: EGRESS, env: { ...env, ISTIO_META_MELTEMI_ON_DEMAND_IDLE: '2s' } },
          { name: 'web-v1', service: 'web', labels: { version: 'v1' }, ports: port },
          { name: 'web-v2', service: 'web', labels: { version: 'v2' }, ports: port, proxied: false },
          { name: 'api', service: 'api', ports: port, proxied: false },
          {
            name: 'ledger',
            service: 'ledger',
            ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }],
            proxied: false,
          },
        ],
        objects: () => [versions('web', ['v1', 'v2']), ...Array.from({ length: UNUSED }, (_, i) => unused(i))],
      });
      plane = mesh.plane;
    }, 120_000);

    afterAll(async () => {
      try {
        await verify(plane, mesh.proxies);
      } finally {
        await mesh?.stop();
        await plane?.stop();
      }
    });

    /** Names of the clusters that lead out, as Envoy has them. */
    const clusters = async (name: string): Promise<readonly string[]> => {
      const { body } = await ask(mesh.proxy(name).admin, 'GET', '/clusters');
      const names = body.split('\n').flatMap((line) => /^(outbound\|.*?)::/.exec(line)?.[1] ?? []);
      return [...new Set(names)].sort();
    };
    const session = (name: string): PlaneSession | undefined =>
      [...plane.server.config.plane.sessions].find((each) => each.proxy.instance.startsWith(`${name}.`));
    /** Responses by type. */
    const pushes = (name: string): Readonly<Record<string, number>> =>
      Object.fromEntries(
        [...(session(name)?.record.types ?? [])].map(([type, status]) => [type.split('.').pop(), status.pushes]),
      );

    it('starts without clusters that lead out', async () => {
      expect(await clusters('client')).toEqual([]);
      expect((await clusters('plain')).length).toBeGreaterThan(UNUSED);
      const sizes = await Promise.all(
        ['client', 'plain'].map(async (name) => (await mesh.proxy(name).dump('dynamic_route_configs')).length),
      );
      if (hosts) expect(sizes[0]).toBeLessThan((sizes[1] ?? 0) / 20);
    });

    it('answers the first requests, many at once, with and without a body', async () => {
      const answers = await many(mesh, 'client', { host: 'web' }, 40, 20);
      expect(countBy(answers, ({ status }) => status)).toEqual(new Map([[200, 40]]));
      const body = 'x'.repeat(100_000);
      const posted = await mesh.call('client', { host: 'api', method: 'POST', body });
      expect(posted.status).toBe(200);
      expect(posted.echo().body.length).toBe(body.length);
      expect(await clusters('client')).toEqual([API, WEB]);
    });

    it('connects the first time over TCP', async () => {
      expect(await mesh.talk('client', 7000, 'hello')).toBe('ledger hello');
      expect(await clusters('client')).toEqual([LEDGER, API, WEB]);
    });

    it.each(['nobody.example.org', 'nobody.example.org:8080', 'WEB', 'web.shop:8080', 'web.shop.svc'])(
      'treats %s as any sidecar does',
      async (host) => {
        const answers = await Promise.all(['client', 'plain'].map((from) => mesh.call(from, { host })));
        expect(answers[0]?.status).toBe(answers[1]?.status);
        expect(answers[0]?.status).toBe(host.startsWith('nobody') ? 502 : 200);
      },
    );

    it('has what a route leads to, and where it sends copies', async () => {
      const seen = mesh.app('api').seen.length;
      await mesh.apply('routes', [routes('web', [{ route: [to('web', 'v2')], mirror: { host: 'api' } }])]);
      const answers = await many(mesh, 'client', { host: 'web' }, 20, 10);
      expect(countBy(answers, (answer) => answer.echo().app)).toEqual(new Map([['web-v2', 20]]));
      await until(() => Promise.resolve(mesh.app('api').seen.length >= seen + 20), 'the copies');
      expect(await clusters('client')).toContain('outbound|8080|v2|web.shop.svc.cluster.local');
    });

    it('is sent what changes of what it uses, and nothing else', async () => {
      const before = pushes('client');
      await mesh.apply('changed', [unused(0, '10.9.9.9')]);
      if (hosts) await mesh.apply('added', [unused(UNUSED)]);
      expect(pushes('client')).toEqual(before);
      await mesh.apply('routes', [routes('web', [{ route: [to('web', 'v1')] }])]);
      const type = hosts ? 'VirtualHost' : 'RouteConfiguration';
      expect(pushes('client')).toEqual({ ...before, [type]: (before[type] ?? 0) + 1 });
      const answers = await many(mesh, 'client', { host: 'web' }, 10);
      expect(countBy(answers, (answer) => answer.echo().app)).toEqual(new Map([['web-v1', 10]]));
    });

    it.runIf(hosts)('lets go of what it no longer uses, and has it again at the next request', async () => {
      expect((await mesh.call('brief', { host: 'api' })).status).toBe(200);
      expect(await mesh.talk('brief', 7000, 'hello')).toBe('ledger hello');
      const statuses = new Map<number, number>();
      let busy = true;
      const load = (async () => {
        for (; busy; await new Promise((resolve) => setTimeout(resolve, 5))) {
          const { status } = await mesh.call('brief', { host: 'web' });
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      })();
      await until(async () => !(await clusters('brief')).includes(API), 'the unused cluster to go', 20_000);
      expect((await mesh.call('brief', { host: 'api' })).status).toBe(200);
      busy = false;
      await load;
      expect([...statuses.keys()]).toEqual([200]);
      // Nobody could ask a second time for what a TCP proxy needs.
      expect(await clusters('brief')).toContain(LEDGER);
      expect(await mesh.talk('brief', 7000, 'hello')).toBe('ledger hello');
    });

    it('keeps what it uses over a restart of the control plane, and is sent nothing of it again', async () => {
      const held = await clusters('client');
      const before = await mesh.proxy('client').dump('dynamic_route_configs');
      const { folder, server } = plane;
      const [host = '', port] = plane.discoveryAddress.split(':');
      await server.stop();
      plane = await startLocalControlPlane(folder, host, { secureGrpc: { host, port: Number(port) } });
      await until(
        () => Promise.resolve(session('client')?.record.types.has(TYPE_URL.route) === true),
        'it back',
        40_000,
      );
      await plane.settled();
      // Of types without names in it nothing is known until something is sent.
      const nothing = { Cluster: 0, ClusterLoadAssignment: 0, RouteConfiguration: 0, ...(hosts && { VirtualHost: 0 }) };
      expect(pushes('client')).toEqual(nothing);
      expect(await clusters('client')).toEqual(held);
      expect(await mesh.proxy('client').dump('dynamic_route_configs')).toBe(before);
      expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
      expect(pushes('client')).toEqual(nothing);
    }, 60_000);
  });
});
