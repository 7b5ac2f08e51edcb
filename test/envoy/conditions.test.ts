import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CallAnswer, call, talk } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { istio } from './fixtures.ts';

const envoy = newestEnvoy();

const ISSUER = 'https://issuer.example';
const SECRET = 'of nobody else';
const LUA = 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua';
const HTTP = 8080;
const TCP = 7000;
/** A type of the PROXY protocol's extensions that is free for private use. */
const TIER = 0xea;

/** What a rule asks, and who gets through by it: `NAME` of a caller below. */
type Case = readonly [rule: object, callers: readonly string[]];

const source = (from: object): object => ({ from: [{ source: from }] });
const operation = (to: object): object => ({ to: [{ operation: to }] });
const when = (key: string, values: readonly string[]): object => ({ when: [{ key, values }] });
const unless = (key: string, notValues: readonly string[]): object => ({ when: [{ key, notValues }] });

/** Every class of condition that both HTTP and plain connections have. */
const BOTH: readonly Case[] = [
  [source({ principals: ['cluster.local/ns/shop/sa/client'] }), ['client']],
  [source({ principals: ['*/sa/visitor'] }), ['visitor']],
  [source({ notPrincipals: ['cluster.local/ns/shop/*'] }), ['visitor']],
  [source({ namespaces: ['vis*'] }), ['visitor']],
  [source({ notNamespaces: ['visitors'] }), ['client']],
  [source({ serviceAccounts: ['visitors/visitor'] }), ['visitor']],
  [source({ ipBlocks: ['127.0.0.0/8'] }), ['client', 'visitor']],
  [source({ notIpBlocks: ['127.0.0.0/8'] }), []],
  [operation({ ports: [String(HTTP), String(TCP)] }), ['client', 'visitor']],
  [operation({ notPorts: [String(HTTP), String(TCP)] }), []],
  [when('source.ip', ['10.0.0.0/8', '127.0.0.1']), ['client', 'visitor']],
  [unless('source.ip', ['127.0.0.1']), []],
  [when('source.namespace', ['shop']), ['client']],
  [when('source.principal', ['cluster.local/ns/shop/*']), ['client']],
  [unless('source.principal', ['cluster.local/ns/shop/*']), ['visitor']],
  [when('source.serviceAccount', ['shop/client']), ['client']],
  [when('source.trustDomain', ['cluster.local']), ['client', 'visitor']],
  [unless('source.trustDomain', ['cluster.local']), []],
  [when('destination.ip', ['127.0.0.0/8']), ['client', 'visitor']],
  [when('destination.ip', ['10.0.0.0/8']), []],
  [when('destination.port', [String(HTTP), String(TCP)]), ['client', 'visitor']],
  [when('connection.sni', ['outbound_*']), ['client', 'visitor']],
  [unless('connection.sni', ['outbound_*']), []],
];

describe.skipIf(envoy === '')('conditions of AuthorizationPolicies', () => {
  let mesh: Mesh<LocalControlPlane>;

  beforeAll(async () => {
    const egress = [
      { name: 'http', number: HTTP },
      { name: 'tcp', number: TCP, protocol: 'TCP' },
    ];
    mesh = await startMesh({
      envoy,
      workloads: [
        { name: 'client', egress },
        { name: 'visitor', namespace: 'visitors', egress },
        { name: 'web', service: 'web', ports: [{ name: 'http', number: HTTP }] },
        { name: 'ledger', service: 'ledger', ports: [{ name: 'tcp', number: TCP, protocol: 'TCP' }] },
      ],
    });
  });
  afterAll(() => mesh?.finish());

  const policy = (app: string, rules: readonly object[], action = 'ALLOW'): object =>
    istio('AuthorizationPolicy', `${app}-${action.toLowerCase()}`, {
      selector: { matchLabels: { app } },
      action,
      rules,
    });
  const get = (from: string, path: string, headers: Record<string, string> = {}, method = 'GET') =>
    mesh.call(from, { host: 'web.shop', path, headers, method });
  const allowed = async (answer: Promise<CallAnswer>): Promise<boolean> => (await answer).status === 200;

  /** The rule of case N counts for the path `/N` alone: all are told apart in one go. */
  const onPath = (rule: object, index: number): object => {
    const { to = [{ operation: {} }], ...rest } = rule as { readonly to?: readonly { readonly operation: object }[] };
    return { ...rest, to: to.map(({ operation: each }) => ({ operation: { ...each, paths: [`/${index}`] } })) };
  };
  /** Connections of before end with their next answer, which is had here. */
  const apply = async (objects: readonly object[]): Promise<void> => {
    await mesh.apply('policies', objects);
    for (const from of ['client', 'visitor']) await get(from, '/last');
  };

  it('on requests: who calls, from where, and to where', async () => {
    await apply([
      policy(
        'web',
        BOTH.map(([rule], index) => onPath(rule, index)),
      ),
    ]);
    for (const [index, [rule, callers]] of BOTH.entries()) {
      for (const caller of ['client', 'visitor'])
        expect
          .soft(await allowed(get(caller, `/${index}`)), `${caller} by ${JSON.stringify(rule)}`)
          .toBe(callers.includes(caller));
    }
    expect(await allowed(get('client', '/none'))).toBe(false);
  });

  it('on connections', async () => {
    for (const [rule, callers] of BOTH) {
      await mesh.apply('policies', [policy('ledger', [rule])]);
      for (const caller of ['client', 'visitor'])
        expect
          .soft((await mesh.talk(caller, TCP, 'open')) === 'ledger open', `${caller} by ${JSON.stringify(rule)}`)
          .toBe(callers.includes(caller));
    }
    // What only requests have denies every connection, and allows none.
    await mesh.apply('policies', [policy('ledger', [operation({ methods: ['PUT'] })])]);
    expect(await mesh.talk('client', TCP, 'open')).toBeUndefined();
    await mesh.apply('policies', [policy('ledger', [operation({ methods: ['PUT'], ports: [String(TCP)] })], 'DENY')]);
    expect(await mesh.talk('client', TCP, 'open')).toBeUndefined();
    await mesh.apply('policies', [policy('ledger', [operation({ methods: ['PUT'], ports: ['9'] })], 'DENY')]);
    expect(await mesh.talk('client', TCP, 'open')).toBe('ledger open');
  });

  it('on what listener filters have found out of a connection', async () => {
    const found = istio('EnvoyFilter', 'found', {
      workloadSelector: { labels: { app: 'ledger' } },
      configPatches: [
        {
          applyTo: 'LISTENER_FILTER',
          match: { context: 'SIDECAR_INBOUND', listener: { portNumber: TCP } },
          patch: {
            operation: 'INSERT_FIRST',
            value: {
              name: 'envoy.filters.listener.proxy_protocol',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
                rules: [{ tlv_type: TIER, on_tlv_present: { key: 'tier' } }],
                allow_requests_without_proxy_protocol: true,
              },
            },
          },
        },
      ],
    });
    const key = 'experimental.envoy.filters.listener.proxy_protocol[tier]';
    const open = async (rule: object): Promise<readonly string[]> => {
      await mesh.apply('policies', [found, policy('ledger', [rule])]);
      const names: string[] = [];
      for (const tier of ['gold', 'iron', ''])
        if ((await talk(mesh.at.pod('ledger'), TCP, proxied(tier))) === 'ledger open wide') names.push(tier);
      return names;
    };
    expect(await open(when(key, ['gold']))).toEqual(['gold']);
    expect(await open(when(key, ['g*', '*on']))).toEqual(['gold', 'iron']);
    expect(await open(unless(key, ['gold']))).toEqual(['iron', '']);
  });

  it('on what filters of Envoy have found out', async () => {
    const found = `function envoy_on_request(handle)
      local tier = handle:headers():get("x-tier")
      if tier then handle:streamInfo():dynamicMetadata():set("envoy.filters.http.lua", "tier", tier) end
      if tier then handle:streamInfo():dynamicMetadata():set("envoy.filters.http.lua", "tiers", {"any", tier}) end
    end`;
    const value = {
      name: 'found',
      typed_config: { '@type': LUA, default_source_code: { inline_string: found } },
    };
    const filter = istio('EnvoyFilter', 'found', {
      workloadSelector: { labels: { app: 'web' } },
      configPatches: [
        {
          applyTo: 'HTTP_FILTER',
          match: {
            context: 'SIDECAR_INBOUND',
            listener: { filterChain: { filter: { name: 'envoy.filters.network.http_connection_manager' } } },
          },
          patch: { operation: 'INSERT_FIRST', value },
        },
      ],
    });
    const key = (name: string): string => `experimental.envoy.filters.http.lua[${name}]`;
    const cases: readonly (readonly [object, readonly string[]])[] = [
      [when(key('tier'), ['gold']), ['gold']],
      [when(key('tier'), ['g*', 'iron']), ['gold', 'iron']],
      [when(key('tiers'), ['[gold]']), ['gold']],
      [when(key('tiers'), ['[any]']), ['gold', 'iron', 'tin']],
      [unless(key('tier'), ['gold']), ['iron', 'tin', '']],
    ];
    await apply([
      filter,
      policy(
        'web',
        cases.map(([rule], index) => onPath(rule, index)),
      ),
    ]);
    for (const [index, [rule, tiers]] of cases.entries()) {
      for (const tier of ['gold', 'iron', 'tin', ''])
        expect
          .soft(
            await allowed(get('client', `/${index}`, tier === '' ? {} : { 'x-tier': tier })),
            `${tier} by ${JSON.stringify(rule)}`,
          )
          .toBe(tiers.includes(tier));
    }
  });

  it('on requests: what they say, and by whose token', async () => {
    const token = signed({
      iss: ISSUER,
      sub: 'ann',
      aud: 'shop',
      azp: 'till',
      group: ['staff', 'night'],
      at: { floor: '2' },
    });
    const bearer = { authorization: `Bearer ${token}` };
    const fits: readonly (readonly [object, Record<string, string>, Record<string, string>])[] = [
      [operation({ hosts: ['WEB.shop', 'other'] }), {}, { host: 'web.shop.svc' }],
      [operation({ notHosts: ['web.shop.*'] }), {}, { host: 'web.shop.svc' }],
      [source({ remoteIpBlocks: ['203.0.113.0/24'] }), { 'x-forwarded-for': '203.0.113.9' }, {}],
      [source({ notRemoteIpBlocks: ['203.0.113.0/24'] }), {}, { 'x-forwarded-for': '203.0.113.9' }],
      [when('remote.ip', ['203.0.113.9']), { 'x-forwarded-for': '203.0.113.9' }, { 'x-forwarded-for': '203.0.113.8' }],
      [when('request.headers[x-key]', ['a*']), { 'x-key': 'abc' }, { 'x-key': 'bc' }],
      [when('request.headers[x-key]', ['*c']), { 'x-key': 'abc' }, { 'x-key': 'ab' }],
      [when('request.headers[x-key]', ['*']), { 'x-key': 'abc' }, {}],
      [unless('request.headers[x-key]', ['abc']), { 'x-key': 'bc' }, { 'x-key': 'abc' }],
      [source({ requestPrincipals: [`${ISSUER}/ann`] }), bearer, {}],
      [source({ requestPrincipals: ['*'] }), bearer, {}],
      [source({ notRequestPrincipals: ['*/ann'] }), {}, bearer],
      [when('request.auth.principal', [`${ISSUER}/*`]), bearer, {}],
      [when('request.auth.audiences', ['shop']), bearer, {}],
      [when('request.auth.presenter', ['till']), bearer, {}],
      [when('request.auth.claims[group]', ['night']), bearer, {}],
      [unless('request.auth.claims[group]', ['night']), {}, bearer],
      [when('request.auth.claims[at][floor]', ['2']), bearer, {}],
    ];
    const jwks = JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', kid: 'one', k: base64url(SECRET) }] });
    await apply([
      istio('RequestAuthentication', 'jwt', {
        selector: { matchLabels: { app: 'web' } },
        jwtRules: [{ issuer: ISSUER, jwks }],
      }),
      policy('web', [
        ...fits.map(([rule], index) => onPath(rule, index)),
        operation({ paths: ['/method'], methods: ['PU*'] }),
        operation({ paths: ['/other'], notMethods: ['DELETE'] }),
        operation({ paths: ['*/end', '/items/{*}/price', '/deep/{**}/leaf'], notPaths: ['/not/end'] }),
      ]),
    ]);
    // From outside of the sidecars: these headers come from the client itself.
    const ask = (path: string, headers: Record<string, string>) =>
      call({
        address: mesh.at.pod('web'),
        port: HTTP,
        path,
        headers: { host: 'web.shop', connection: 'close', ...headers },
      });
    for (const [index, [rule, good, bad]] of fits.entries()) {
      expect.soft(await allowed(ask(`/${index}`, good)), `allowed by ${JSON.stringify(rule)}`).toBe(true);
      expect.soft(await allowed(ask(`/${index}`, bad)), `not allowed by ${JSON.stringify(rule)}`).toBe(false);
    }
    expect([await allowed(get('client', '/method', {}, 'PUT')), await allowed(get('client', '/method'))]).toEqual([
      true,
      false,
    ]);
    expect([await allowed(get('client', '/other', {}, 'DELETE')), await allowed(get('client', '/other'))]).toEqual([
      false,
      true,
    ]);
    const paths = ['/the/end', '/not/end', '/items/7/price', '/items/7/8/price', '/deep/a/b/leaf', '/deep/a/b/stem'];
    const open: boolean[] = [];
    for (const path of paths) open.push(await allowed(get('client', path)));
    expect(open).toEqual([true, false, true, false, true, false]);
  });
});

/** Says "open wide" behind a header of the PROXY protocol (version 2) that names a tier, or none. */
function proxied(tier: string): Buffer {
  const tlv = tier === '' ? Buffer.alloc(0) : Buffer.from([TIER, 0, tier.length, ...Buffer.from(tier)]);
  const addresses = [127, 0, 0, 9, 127, 0, 0, 8, 0xa0, 0, 0x1b, 0x58];
  const signature = '\r\n\r\n\0\r\nQUIT\n';
  const head = [...Buffer.from(signature), 0x21, 0x11, 0, addresses.length + tlv.length, ...addresses];
  return Buffer.concat([Buffer.from(head), tlv, Buffer.from('open wide')]);
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

/** A token that does not run out within a test. */
function signed(claims: object): string {
  const text = [
    { alg: 'HS256', kid: 'one' },
    { exp: 4_000_000_000, ...claims },
  ]
    .map((part) => base64url(JSON.stringify(part)))
    .join('.');
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}
