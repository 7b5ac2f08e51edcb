import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, startHttpApp, type TestApp } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { istio } from './fixtures.ts';

const envoy = newestEnvoy();

const ISSUER = 'https://issuer.example';

describe.skipIf(envoy === '')('who is asked to show an identity', () => {
  let mesh: Mesh<LocalControlPlane>;

  beforeAll(async () => {
    const ports = [
      { name: 'http', number: 8080 },
      { name: 'http-second', number: 9090 },
    ];
    mesh = await startMesh({
      envoy,
      // Keys of issuers are fetched by the proxies.
      server: { jwksFetch: 'envoy' },
      workloads: [
        { name: 'client', egress: ports },
        {
          name: 'web',
          service: 'web',
          ports,
          labels: { tier: 'front' },
          egress: [{ name: 'http-keys', number: 8888 }],
        },
        { name: 'bank', service: 'bank', namespace: 'bank', ports },
      ],
      objects: (at) => [
        istio('ServiceEntry', 'keys', {
          hosts: ['keys.example'],
          location: 'MESH_EXTERNAL',
          resolution: 'STATIC',
          ports: [{ name: 'http-keys', number: 8888, protocol: 'HTTP' }],
          endpoints: [{ address: at.other(200) }],
        }),
      ],
    });
  });
  afterAll(() => mesh?.finish());

  describe('by a PeerAuthentication', () => {
    const peer = (name: string, namespace: string, mode: string, rest: object = {}): object =>
      istio('PeerAuthentication', name, { mtls: { mode }, ...rest }, namespace);
    const plain = async (workload: string, port: number): Promise<boolean> =>
      call({ address: mesh.at.pod(workload), port, headers: { connection: 'close' } }).then(
        ({ status }) => status === 200,
        () => false,
      );
    /** Who may come without a certificate, as `WORKLOAD:PORT`; every one of them is reached by the mesh all the same. */
    const open = async (objects: readonly object[]): Promise<readonly string[]> => {
      await mesh.apply('peers', objects);
      const found: string[] = [];
      for (const workload of ['web', 'bank'] as const) {
        for (const port of [8080, 9090]) {
          const host = workload === 'web' ? 'web.shop' : 'bank.bank';
          // The first answer ends the connection that stood before.
          for (let turn = 0; turn < 2; turn++) {
            const { status } = await mesh.call('client', { host, port, headers: { connection: 'close' } });
            expect(status).toBe(200);
          }
          if (await plain(workload, port)) found.push(`${workload}:${port}`);
        }
      }
      return found;
    };
    const identified = async (host: string, port = 8080): Promise<boolean> => {
      const { headers } = (await mesh.call('client', { host, port })).echo();
      return String(headers['x-forwarded-client-cert'] ?? '').includes('/sa/client');
    };
    const front = { selector: { matchLabels: { tier: 'front' } } };

    it('of the mesh, a namespace, a workload and a port, the nearest first', async () => {
      const all = ['web:8080', 'web:9090', 'bank:8080', 'bank:9090'];
      expect(await open([])).toEqual(all);
      const strict = peer('default', 'istio-system', 'STRICT');
      expect(await open([strict])).toEqual([]);
      expect(await open([strict, peer('default', 'bank', 'PERMISSIVE')])).toEqual(['bank:8080', 'bank:9090']);
      const lax = peer('front', 'shop', 'PERMISSIVE', front);
      expect(await open([strict, peer('default', 'shop', 'STRICT'), lax])).toEqual(['web:8080', 'web:9090']);
      const onePort = peer('front', 'shop', 'STRICT', { ...front, portLevelMtls: { 9090: { mode: 'PERMISSIVE' } } });
      expect(await open([onePort])).toEqual(['web:9090', 'bank:8080', 'bank:9090']);
      // Neither mode of its own: that of the next level.
      const unset = peer('front', 'shop', 'UNSET', { ...front, portLevelMtls: { 9090: { mode: 'UNSET' } } });
      expect(await open([strict, unset])).toEqual([]);
    });

    it('that turns it off is heeded by clients', async () => {
      await open([]);
      expect([await identified('web.shop'), await identified('bank.bank')]).toEqual([true, true]);
      await open([peer('default', 'bank', 'DISABLE')]);
      expect([await identified('web.shop'), await identified('bank.bank')]).toEqual([true, false]);
      await open([peer('front', 'shop', 'STRICT', { ...front, portLevelMtls: { 9090: { mode: 'DISABLE' } } })]);
      expect([await identified('web.shop'), await identified('web.shop', 9090)]).toEqual([true, false]);
    });

    it('can be overruled by a DestinationRule, and then does not work', async () => {
      await open([]);
      const rule = (mode: string): object =>
        istio('DestinationRule', 'web', { host: 'web.shop.svc.cluster.local', trafficPolicy: { tls: { mode } } });
      await mesh.apply('peers', [rule('DISABLE')]);
      expect(await identified('web.shop')).toBe(false);
      await mesh.apply('peers', [rule('DISABLE'), peer('default', 'shop', 'STRICT')]);
      await until(async () => (await mesh.call('client', { host: 'web.shop' })).status === 503, 'a refusal');
      await mesh.apply('peers', [rule('ISTIO_MUTUAL'), peer('default', 'shop', 'STRICT')]);
      await until(async () => (await mesh.call('client', { host: 'web.shop' })).status === 200, 'an answer');
      expect(await identified('web.shop')).toBe(true);
      await mesh.apply('peers', []);
    });
  });

  it('by tokens whose keys the proxy fetches', async () => {
    const pair = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =>
      generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const first = pair();
    let page = '';
    const publish = async (key: KeyObject): Promise<void> => {
      page = JSON.stringify({ keys: [{ ...(await exportJWK(key)), kid: 'one', alg: 'ES256' }] });
    };
    await publish(first.publicKey);
    const keys: TestApp = await startHttpApp({
      name: 'keys',
      address: mesh.at.other(200),
      port: 8888,
      handler: () => ({ body: page }),
    });
    const ask = async (key: KeyObject, claims: Record<string, unknown> = {}): Promise<number> => {
      const token = new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setIssuer(ISSUER)
        .setSubject('ann')
        .setExpirationTime('1h');
      const headers = { authorization: `Bearer ${await token.sign(key)}` };
      return (await mesh.call('client', { host: 'web', headers })).status;
    };
    await mesh.apply('tokens', [
      istio('RequestAuthentication', 'jwt', {
        selector: { matchLabels: { app: 'web' } },
        jwtRules: [{ issuer: ISSUER, jwksUri: 'http://keys.example:8888/keys', timeout: '2s' }],
      }),
    ]);
    await until(async () => (await ask(first.privateKey)) === 200, 'the keys fetched');
    expect(await ask(pair().privateKey)).toBe(401);
    expect(keys.seen.map(({ path, headers }) => [path, headers.host])).toContainEqual(['/keys', 'keys.example:8888']);
    expect(new Set(keys.seen.map(({ from }) => from)).size).toBe(1);
    await keys.stop();
    await mesh.apply('tokens', []);
  });
});
