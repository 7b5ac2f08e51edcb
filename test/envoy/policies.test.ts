import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CallAnswer, call, startHttpApp, type TestApp } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type GrpcAuthorizer, startGrpcAuthorizer } from './ext-authz-apps.ts';
import { istio, to } from './fixtures.ts';

const envoy = newestEnvoy();

const WEB = { selector: { matchLabels: { app: 'web' } } };
const policy = (name: string, spec: object): object => istio('AuthorizationPolicy', name, { ...WEB, ...spec });
const dryRun = (name: string, spec: object): object => {
  const made = policy(name, spec) as { readonly metadata: object };
  return { ...made, metadata: { ...made.metadata, annotations: { 'istio.io/dry-run': 'true' } } };
};
const ID = (account: string): string => `cluster.local/ns/shop/sa/${account}`;
const strict = istio('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } });

/** Answers tell what AUDIT left for the access log. */
const SHOWN_HINT = {
  workloadSelector: { labels: { app: 'web' } },
  configPatches: [
    {
      applyTo: 'VIRTUAL_HOST',
      match: { context: 'SIDECAR_INBOUND' },
      patch: {
        operation: 'MERGE',
        value: {
          response_headers_to_add: [
            { header: { key: 'x-hint', value: '%DYNAMIC_METADATA(envoy.common:access_log_hint)%' } },
          ],
        },
      },
    },
  ],
};

/** Authorizers, by the names that the mesh has for them. */
const PROVIDERS = [
  {
    name: 'by-http',
    envoyExtAuthzHttp: {
      service: 'authz.example',
      port: 9000,
      pathPrefix: '/check',
      includeRequestHeadersInCheck: ['x-ticket'],
      includeAdditionalHeadersInCheck: { 'x-asked-by': 'mesh' },
      headersToUpstreamOnAllow: ['x-judged-by'],
      headersToDownstreamOnDeny: ['x-reason'],
    },
  },
  {
    name: 'by-grpc',
    envoyExtAuthzGrpc: {
      service: 'authz.example',
      port: 9001,
      includeRequestBodyInCheck: { maxRequestBytes: 1024, allowPartialMessage: true },
    },
  },
  { name: 'nobody', envoyExtAuthzHttp: { service: 'authz.example', port: 9002, statusOnError: '504' } },
  { name: 'nobody-open', envoyExtAuthzHttp: { service: 'authz.example', port: 9002, failOpen: true } },
];

describe.skipIf(envoy === '')('policies by real proxies', () => {
  let mesh: Mesh<LocalControlPlane>;
  let judge: TestApp;
  let grpcJudge: GrpcAuthorizer;

  beforeAll(async () => {
    const egress = [
      { name: 'http', number: 8080 },
      { name: 'tcp', number: 7000, protocol: 'TCP' },
    ];
    const authorizers = [
      { name: 'http-authz', number: 9000 },
      { name: 'grpc-authz', number: 9001, protocol: 'GRPC' },
      { name: 'http-nobody', number: 9002 },
    ];
    mesh = await startMesh({
      envoy,
      mesh: { extensionProviders: PROVIDERS },
      server: { jwksRefresh: 500 },
      workloads: [
        { name: 'gateway', role: 'router', labels: { istio: 'ingressgateway' } },
        { name: 'client', egress },
        { name: 'intruder', egress },
        { name: 'web', service: 'web', ports: [{ name: 'http', number: 8080 }], egress: authorizers },
        {
          name: 'ledger',
          service: 'ledger',
          ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }],
          egress: authorizers,
        },
      ],
      objects: (at) => [
        strict,
        istio('ServiceEntry', 'authz', {
          hosts: ['authz.example'],
          location: 'MESH_EXTERNAL',
          resolution: 'STATIC',
          ports: authorizers.map(({ protocol = 'HTTP', ...port }) => ({ ...port, protocol })),
          endpoints: [{ address: at.other(200) }],
        }),
      ],
    });
    judge = await startHttpApp({
      name: 'judge',
      address: mesh.at.other(200),
      port: 9000,
      handler: ({ headers }) =>
        headers['x-ticket'] === 'valid'
          ? { headers: { 'x-judged-by': 'http', 'x-private': '1' } }
          : { status: 403, headers: { 'x-reason': 'no ticket', 'x-private': '1' }, body: 'denied by judge' },
    });
    grpcJudge = await startGrpcAuthorizer(mesh.at.other(200), 9001, ({ attributes }) => {
      const http = attributes.request?.http;
      if (http === null || http === undefined) return attributes.source?.principal.endsWith('/sa/client') === true;
      return http.body.includes('please');
    });
  });
  afterAll(async () => {
    await judge?.stop();
    grpcJudge?.stop();
    await mesh?.finish();
  });

  const get = (from: string, path = '/', headers: Record<string, string> = {}, method = 'GET', body?: string) =>
    mesh.call(from, { host: 'web', path, headers, method, body });

  /** Connections of before are closed with their next answer, which is had here. */
  const apply = async (objects: readonly object[]): Promise<void> => {
    await mesh.apply('policies', objects);
    for (const from of ['client', 'intruder']) await get(from);
  };

  describe('CUSTOM', () => {
    const custom = (provider: string, paths: readonly string[]): object =>
      policy('custom', { action: 'CUSTOM', provider: { name: provider }, rules: [{ to: [{ operation: { paths } }] }] });

    it('asks an authorizer over HTTP, for what its rules match alone', async () => {
      await apply([custom('by-http', ['/guarded/*'])]);
      const before = judge.seen.length;
      expect((await get('client', '/free')).status).toBe(200);
      expect(judge.seen.length).toBe(before);

      const denied = await get('client', '/guarded/x', { 'x-ticket': 'forged', 'x-other': '1' });
      expect([denied.status, denied.body]).toEqual([403, 'denied by judge']);
      expect(denied.headers['x-reason']).toBe('no ticket');
      expect(denied.headers['x-private']).toBeUndefined();
      expect(judge.seen.at(-1)).toMatchObject({
        path: '/check/guarded/x',
        headers: { host: 'web', 'x-ticket': 'forged', 'x-asked-by': 'mesh' },
      });
      expect(judge.seen.at(-1)?.headers['x-other']).toBeUndefined();

      const allowed = await get('client', '/guarded/x', { 'x-ticket': 'valid' });
      expect(allowed.status).toBe(200);
      expect(allowed.echo().headers).toMatchObject({ 'x-judged-by': 'http' });
      expect(allowed.echo().headers['x-private']).toBeUndefined();
    });

    it('asks an authorizer over gRPC, with the body and the identity of the caller', async () => {
      await apply([custom('by-grpc', ['/guarded/*'])]);
      const denied = await get('client', '/guarded/y', {}, 'POST', 'give it to me');
      expect([denied.status, denied.body]).toEqual([402, 'pay first']);
      const allowed = await get('client', '/guarded/y', {}, 'POST', 'please');
      expect(allowed.status).toBe(200);
      expect(allowed.echo()).toMatchObject({ body: 'please', headers: { 'x-judged-by': 'grpc' } });
      const asked = grpcJudge.seen.at(-1)?.attributes;
      expect(asked?.request?.http).toMatchObject({ path: '/guarded/y', body: 'please' });
      expect(asked?.source?.principal).toBe(`spiffe://${ID('client')}`);
    });

    it('asks about connections too', async () => {
      await apply([
        istio('AuthorizationPolicy', 'connections', {
          selector: { matchLabels: { app: 'ledger' } },
          action: 'CUSTOM',
          provider: { name: 'by-grpc' },
          rules: [{ to: [{ operation: { ports: ['7000'] } }] }],
        }),
      ]);
      const before = grpcJudge.seen.length;
      expect(await mesh.talk('client', 7000, 'mine')).toBe('ledger mine');
      expect(await mesh.talk('intruder', 7000, 'mine')).toBeUndefined();
      expect(grpcJudge.seen.slice(before).map(({ attributes }) => attributes.source?.principal)).toEqual([
        `spiffe://${ID('client')}`,
        `spiffe://${ID('intruder')}`,
      ]);
    });

    it.each([
      ['nobody', 504],
      ['nobody-open', 200],
    ])('with the provider %s, which is not there, answers %i', async (provider, status) => {
      await apply([custom(provider, ['/guarded/*'])]);
      expect((await get('client', '/guarded/z')).status).toBe(status);
      expect((await get('client', '/free')).status).toBe(200);
    });

    it('comes before ALLOW, which still has to agree', async () => {
      await apply([
        custom('by-http', ['/guarded/*']),
        policy('allow', { rules: [{ from: [{ source: { principals: [ID('client')] } }] }] }),
      ]);
      const ticket = { 'x-ticket': 'valid' };
      expect((await get('client', '/guarded/x', ticket)).status).toBe(200);
      expect((await get('intruder', '/guarded/x', ticket)).status).toBe(403);
      expect((await get('client', '/guarded/x')).body).toBe('denied by judge');
    });
  });

  describe('rules', () => {
    it('DENY exempts by what it must not match, and wins over ALLOW', async () => {
      await apply([
        policy('deny', {
          action: 'DENY',
          rules: [
            {
              from: [{ source: { notPrincipals: [ID('client')], namespaces: ['shop'] } }],
              to: [{ operation: { notPaths: ['/health'], notMethods: ['HEAD'] } }],
            },
          ],
        }),
        policy('allow', { rules: [{}] }),
      ]);
      expect((await get('client', '/x')).status).toBe(200);
      expect((await get('intruder', '/x')).status).toBe(403);
      expect((await get('intruder', '/health')).status).toBe(200);
      expect((await get('intruder', '/x', {}, 'HEAD')).status).toBe(200);
    });

    it('ALLOW without rules lets nothing in', async () => {
      await apply([policy('nothing', {})]);
      expect((await get('client')).status).toBe(403);
    });

    it('on dry run are counted, and have no effect', async () => {
      const denied = (): Promise<number> => counted(mesh, 'istio_dry_run_deny_.*shadow_denied$');
      await apply([
        dryRun('deny', { action: 'DENY', rules: [{ to: [{ operation: { paths: ['/rehearsed'] } }] }] }),
        policy('enforced', { action: 'DENY', rules: [{ to: [{ operation: { paths: ['/forbidden'] } }] }] }),
      ]);
      const before = await denied();
      expect((await get('client', '/rehearsed')).status).toBe(200);
      await until(async () => (await denied()) === before + 1, 'the count of the rehearsal');
      expect((await get('client', '/forbidden')).status).toBe(403);
      expect((await get('client', '/')).status).toBe(200);
      expect(await denied()).toBe(before + 1);
    });

    it('AUDIT marks what an access log can ask for, and has no effect', async () => {
      await apply([
        policy('audit', { action: 'AUDIT', rules: [{ to: [{ operation: { paths: ['/noted'] } }] }] }),
        istio('EnvoyFilter', 'shown', SHOWN_HINT),
      ]);
      const noted = await get('client', '/noted');
      expect([noted.status, noted.headers['x-hint']]).toEqual([200, 'true']);
      const passed = await get('client', '/passed');
      expect([passed.status, passed.headers['x-hint']]).toEqual([200, 'false']);
    });
  });

  describe('tokens at a gateway', () => {
    const issuer = 'https://issuer.example';
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const others = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const GATEWAY = { selector: { matchLabels: { istio: 'ingressgateway' } } };
    const host = { host: 'shop.example' };

    const token = (
      claims: Record<string, unknown>,
      { key = keys.privateKey, expires = '1h' }: { readonly key?: KeyObject; readonly expires?: string } = {},
    ): Promise<string> =>
      new SignJWT({ iss: issuer, sub: 'ann', aud: 'shop', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setExpirationTime(expires)
        .sign(key);
    const enter = async (value?: Promise<string>, path = '/'): Promise<CallAnswer> =>
      call({
        address: mesh.at.pod('gateway'),
        port: 8000,
        path,
        headers: { ...host, ...(value && { authorization: `Bearer ${await value}` }) },
      });

    beforeAll(async () => {
      const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'ES256' }] });
      // With places of its own, the usual one is not looked at unless it is among them.
      const fromHeaders = [{ name: 'Authorization', prefix: 'Bearer ' }];
      const claims = (match: object, name: string): object => ({
        match: [{ headers: match }],
        route: [to('web', undefined, { headers: { request: { set: { 'x-route': name } } } })],
      });
      await mesh.apply('policies', []);
      await mesh.apply('front', [
        istio('Gateway', 'front', {
          selector: { istio: 'ingressgateway' },
          servers: [
            {
              port: { number: 8000, protocol: 'HTTP', name: 'http' },
              hosts: ['shop.example'],
              bind: mesh.at.pod('gateway'),
            },
          ],
        }),
        istio('VirtualService', 'site', {
          hosts: ['shop.example'],
          gateways: ['front'],
          http: [
            claims({ '@request.auth.claims.groups': { exact: 'staff' } }, 'staff'),
            claims({ '@request.auth.claims[plan][name]': { prefix: 'gold' } }, 'gold'),
            {
              match: [{ withoutHeaders: { '@request.auth.claims.sub': {} }, uri: { exact: '/anonymous' } }],
              route: [to('web', undefined, { headers: { request: { set: { 'x-route': 'anonymous' } } } })],
            },
            { route: [to('web', undefined, { headers: { request: { set: { 'x-route': 'rest' } } } })] },
          ],
        }),
        istio('RequestAuthentication', 'jwt', {
          ...GATEWAY,
          jwtRules: [
            {
              issuer,
              audiences: ['shop'],
              jwks,
              fromHeaders,
              fromParams: ['token'],
              fromCookies: ['session'],
              forwardOriginalToken: true,
            },
          ],
        }),
        istio('AuthorizationPolicy', 'jwt', {
          ...GATEWAY,
          action: 'DENY',
          rules: [
            {
              to: [{ operation: { hosts: ['shop.example'], paths: ['/vault'] } }],
              when: [{ key: 'request.auth.claims[plan][name]', notValues: ['gold'] }],
            },
          ],
        }),
      ]);
      await until(async () => (await enter()).status === 200, 'the gateway open');
    });

    it('are let in when they are valid, refused when expired, forged or for others', async () => {
      expect((await enter()).status).toBe(200);
      expect((await enter(token({}))).status).toBe(200);
      const expired = await enter(token({}, { expires: '-5m' }));
      expect([expired.status, expired.body]).toEqual([401, 'Jwt is expired']);
      expect((await enter(token({}, { key: others.privateKey }))).body).toBe('Jwt verification fails');
      expect((await enter(token({ aud: 'bank' }))).status).toBe(403);
      expect((await enter(token({ iss: 'https://else.example' }))).body).toBe('Jwt issuer is not configured');
      expect((await enter(undefined, `/?token=${await token({}, { expires: '-5m' })}`)).status).toBe(401);
      const withCookie = async (name: string, value: Promise<string>): Promise<number> =>
        (
          await call({
            ...{ address: mesh.at.pod('gateway'), port: 8000 },
            headers: { ...host, cookie: `theme=dark; ${name}=${await value}` },
          })
        ).status;
      expect(await withCookie('session', token({}))).toBe(200);
      expect(await withCookie('session', token({}, { expires: '-5m' }))).toBe(401);
      expect(await withCookie('other', token({}, { expires: '-5m' }))).toBe(200);
    });

    it('choose the route by their claims', async () => {
      const route = async (value?: Promise<string>, path?: string): Promise<unknown> =>
        (await enter(value, path)).echo().headers['x-route'];
      expect(await route()).toBe('rest');
      expect(await route(token({ groups: ['guests', 'staff'] }))).toBe('staff');
      expect(await route(token({ groups: 'staff' }))).toBe('staff');
      expect(await route(token({ groups: ['guests'] }))).toBe('rest');
      expect(await route(token({ plan: { name: 'gold-2' } }))).toBe('gold');
      expect(await route(token({ plan: { name: 'iron' } }))).toBe('rest');
      expect(await route(undefined, '/anonymous')).toBe('anonymous');
      expect(await route(token({}), '/anonymous')).toBe('rest');
    });

    it('are judged by their claims', async () => {
      expect((await enter(token({ plan: { name: 'gold' } }), '/vault')).status).toBe(200);
      expect((await enter(token({ plan: { name: 'iron' } }), '/vault')).status).toBe(403);
      expect((await enter(undefined, '/vault')).status).toBe(403);
      expect((await enter(token({ plan: { name: 'iron' } }), '/')).status).toBe(200);
    });
  });

  it('by keys that the control plane fetches, and fetches again', async () => {
    const [first, second] = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }));
    if (first === undefined || second === undefined) throw new Error('no keys');
    let page = '';
    const publish = async (key: KeyObject): Promise<void> => {
      page = JSON.stringify({ keys: [{ ...(await exportJWK(key)), kid: 'one', alg: 'ES256' }] });
    };
    await publish(first.publicKey);
    const app = await startHttpApp({
      ...{
        name: 'keys',
        address: mesh.at.other(220),
        port: 8889,
        handler: () => (page === '' ? { status: 500 } : { body: page }),
      },
    });
    const ask = async ({ privateKey }: { readonly privateKey: KeyObject }): Promise<number> => {
      const signed = new SignJWT({})
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setIssuer('https://issuer.example');
      const headers = { authorization: `Bearer ${await signed.setExpirationTime('1h').sign(privateKey)}` };
      return (await mesh.call('client', { host: 'web', headers })).status;
    };
    await mesh.apply('policies', [
      istio('RequestAuthentication', 'fetched', {
        ...{
          ...WEB,
          jwtRules: [{ issuer: 'https://issuer.example', jwksUri: `http://${mesh.at.other(220)}:8889/keys` }],
        },
      }),
    ]);
    await until(async () => (await ask(first)) === 200, 'the first key');
    expect(await ask(second)).toBe(401);
    await publish(second.publicKey);
    await until(async () => (await ask(second)) === 200, 'the second key');
    expect(await ask(first)).toBe(401);
    // Where there are none to be had the last good ones stay.
    page = '';
    const asked = app.seen.length;
    await until(async () => app.seen.length > asked + 1, 'two failures');
    // Were there other keys now, the first answer would be the last one of a connection that knows the old ones.
    expect([await ask(second), await ask(second)]).toEqual([200, 200]);
    await app.stop();
    await mesh.apply('policies', []);
  });
});

/** Sum of the counters of the server's sidecar whose names fit. */
async function counted(mesh: Mesh<LocalControlPlane>, regex: string): Promise<number> {
  const stats = await mesh.proxy('web').stats(regex);
  return [...stats.values()].reduce((sum, value) => sum + value, 0);
}
