// Virtual hosts that travel one by one, through real sidecars: a change of one is that one, and requests follow it.
// Older Envoys take them in RouteConfigurations, whatever is asked for.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { envoysForTests, NEWEST } from '../support/envoy.ts';
import { type Mesh, startMesh, verify } from '../support/mesh.ts';
import { type LocalControlPlane, startLocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { countBy, istio, many, routes, to, versions } from './fixtures.ts';

describe.each(envoysForTests())('routes by virtual host', ({ version, envoy }) => {
  describe.skipIf(envoy === '')(`by Envoy ${version}`, () => {
    const type = version === NEWEST ? 'VirtualHost' : 'RouteConfiguration';
    let mesh: Mesh<LocalControlPlane>;
    let plane: LocalControlPlane;

    beforeAll(async () => {
      const ports = [{ name: 'http', number: 8080 }];
      mesh = await startMesh({
        envoy,
        mesh: { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
        workloads: [
          { name: 'client', egress: ports, env: { ISTIO_META_MELTEMI_SPLIT_ROUTES: 'true' } },
          { name: 'web-v1', service: 'web', labels: { version: 'v1' }, ports, proxied: false },
          { name: 'web-v2', service: 'web', labels: { version: 'v2' }, ports, proxied: false },
        ],
        objects: () => [versions('web', ['v1', 'v2'])],
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

    /** Responses by type. */
    const pushes = (): Readonly<Record<string, number>> => {
      const [session] = [...plane.server.config.plane.sessions].filter(({ proxy }) =>
        proxy.instance.startsWith('client.'),
      );
      return Object.fromEntries(
        [...(session?.record.types ?? [])].map(([url, status]) => [url.split('.').pop(), status.pushes]),
      );
    };

    it('serves known hosts and refuses unknown ones', async () => {
      expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
      expect((await mesh.call('client', { host: 'web.shop:8080' })).status).toBe(200);
      expect((await mesh.call('client', { host: 'nobody.example.org' })).status).toBe(502);
    });

    it.each(['v2', 'v1'])('sends one virtual host for a changed route, and requests go to %s', async (subset) => {
      const before = pushes();
      await mesh.apply('routes', [routes('web', [{ route: [to('web', subset)] }])]);
      expect(pushes()).toEqual({ ...before, [type]: (before[type] ?? 0) + 1 });
      const answers = await many(mesh, 'client', { host: 'web' }, 10);
      expect(countBy(answers, (answer) => answer.echo().app)).toEqual(new Map([[`web-${subset}`, 10]]));
    });

    it('has a host that is added, and loses it when it goes', async () => {
      const extra = istio('ServiceEntry', 'extra', {
        hosts: ['extra.example.com'],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
        endpoints: [{ address: mesh.app('web-v1').address }],
      });
      await mesh.apply('extra', [extra]);
      await until(async () => (await mesh.call('client', { host: 'extra.example.com' })).status !== 502, 'it served');
      await mesh.apply('extra', []);
      await until(async () => (await mesh.call('client', { host: 'extra.example.com' })).status === 502, 'it gone');
    });

    it('is sent nothing again by a control plane that was restarted', async () => {
      const { folder, server, discoveryAddress } = plane;
      const [host = '', port] = discoveryAddress.split(':');
      await server.stop();
      plane = await startLocalControlPlane(folder, host, { secureGrpc: { host, port: Number(port) } });
      await until(() => Promise.resolve(pushes()['RouteConfiguration'] !== undefined), 'it back', 40_000);
      await plane.settled();
      // Of a type without names nothing is known until something is sent.
      const { RouteConfiguration, VirtualHost = 0 } = pushes();
      expect([RouteConfiguration, VirtualHost]).toEqual([0, 0]);
      expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
    }, 60_000);
  });
});
