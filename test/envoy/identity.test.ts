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
const JWT = 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication';

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

  it('by tokens whose keys the proxy fetches, and fetches again when they have got old', async () => {
    const pair = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =>
      generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [first, second] = [pair(), pair()];
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
    const ask = async ({ privateKey }: { readonly privateKey: KeyObject }): Promise<number> => {
      const token = new SignJWT({})
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setIssuer(ISSUER)
        .setSubject('ann')
        .setExpirationTime('1h');
      const headers = { authorization: `Bearer ${await token.sign(privateKey)}` };
      return (await mesh.call('client', { host: 'web', headers })).status;
    };
    const tokens = istio('RequestAuthentication', 'jwt', {
      selector: { matchLabels: { app: 'web' } },
      jwtRules: [{ issuer: ISSUER, jwksUri: 'http://keys.example:8888/keys', timeout: '2s' }],
    });
    await mesh.apply('tokens', [tokens]);
    await until(async () => (await ask(first)) === 200, 'the keys fetched');
    expect(await ask(pair())).toBe(401);
    expect(keys.seen.map(({ path, headers }) => [path, headers.host])).toContainEqual(['/keys', 'keys.example:8888']);
    expect(new Set(keys.seen.map(({ from }) => from)).size).toBe(1);

    // What was fetched counts for five minutes.
    await publish(second.publicKey);
    const before = keys.seen.length;
    expect([await ask(first), await ask(second), keys.seen.length]).toEqual([200, 401, before]);
    await mesh.apply('tokens', [tokens, keptFor('1s', await mesh.proxy('web').dump('dynamic_listeners'))]);
    await until(async () => (await ask(second)) === 200, 'the second key');
    expect(await ask(first)).toBe(401);
    const fetched = keys.seen.length;
    await publish(first.publicKey);
    await until(async () => (await ask(first)) === 200, 'the first key again');
    expect(await ask(second)).toBe(401);
    expect(keys.seen.length).toBeGreaterThan(fetched);
    await keys.stop();
    await mesh.apply('tokens', []);
  });
});

/** Makes the proxy that was dumped keep what it fetches for so long, and leaves all else of its providers as it is. */
function keptFor(cacheDuration: string, dump: string): object {
  const [authn] = jwtFilters(JSON.parse(dump));
  if (authn === undefined) throw new Error('no filter for tokens');
  const providers = Object.entries(authn.providers).map(([name, provider]) => {
    expect(provider.remote_jwks.cache_duration).toBe('300s');
    return [name, { ...provider, remote_jwks: { ...provider.remote_jwks, cache_duration: cacheDuration } }] as const;
  });
  const http = { name: 'envoy.filters.network.http_connection_manager' };
  return istio('EnvoyFilter', 'kept', {
    workloadSelector: { labels: { app: 'web' } },
    configPatches: [
      {
        applyTo: 'HTTP_FILTER',
        match: {
          context: 'SIDECAR_INBOUND',
          listener: { filterChain: { filter: { ...http, subFilter: { name: 'envoy.filters.http.jwt_authn' } } } },
        },
        patch: {
          operation: 'MERGE',
          value: {
            name: 'envoy.filters.http.jwt_authn',
            typed_config: { '@type': JWT, providers: Object.fromEntries(providers) },
          },
        },
      },
    ],
  });
}

interface JwtFilter {
  readonly providers: Readonly<Record<string, { readonly remote_jwks: { readonly cache_duration: string } }>>;
}

/** The settings of filters for tokens, wherever they are in a dump. */
function jwtFilters(value: unknown): readonly JwtFilter[] {
  if (typeof value !== 'object' || value === null) return [];
  if ((value as { readonly '@type'?: unknown })['@type'] === JWT) return [value as JwtFilter];
  return Object.values(value).flatMap(jwtFilters);
}
