import { describe, expect, it } from 'vitest';
import { decode, Encoded } from '../../../src/codec/index.ts';
import type { AuthorizationPolicySpec, Rule } from '../../../src/config/generated/types.ts';
import { parseMeshConfig } from '../../../src/config/mesh.ts';
import type { ScopedService } from '../../../src/ir/traffic.ts';
import { smallTable } from '../../../src/lib/table.ts';
import { meshProviders } from '../../../src/translate/observability/providers.ts';
import { authorizationFilters } from '../../../src/translate/security/authorization.ts';
import { authorizationPolicy } from '../../support/builders.ts';

type Json = Record<string, unknown>;
type Named = { readonly name?: string | undefined; readonly typedConfig?: unknown };

interface Options {
  readonly mesh?: Readonly<Record<string, unknown>>;
  readonly dialect?: 'classic' | 'current';
  readonly annotations?: Readonly<Record<string, string>>;
}

function filters(spec: AuthorizationPolicySpec, { mesh = {}, dialect = 'classic', annotations = {} }: Options = {}) {
  const config = parseMeshConfig(mesh).mesh;
  const authz = {
    service: {
      hostname: 'authz.example.com',
      namespace: 'default',
      ports: [1, 2, 3, 9000].map((number) => ({ number })),
    },
  } as unknown as ScopedService;
  const providers = meshProviders(config, smallTable([['authz.example.com', authz]]));
  return opened(
    authorizationFilters({
      policies: [authorizationPolicy('p', spec, { annotations })],
      mesh: config,
      providers,
      dialect,
    }),
  ) as ReturnType<typeof authorizationFilters>;
}

/** Filters hold their rules encoded: here they are read again. */
function opened(value: unknown): unknown {
  if (value instanceof Encoded) return decode('envoy.config.rbac.v3.RBAC', value.bytes);
  if (Array.isArray(value)) return value.map(opened);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, opened(each)]));
}

/** The RBAC policy of the only rule; undefined where it was left out. */
function policyOf(rule: Rule, on: 'http' | 'tcp' = 'http', action: 'ALLOW' | 'DENY' = 'ALLOW', options: Options = {}) {
  const [filter] = filters({ action, rules: [rule] }, options)[on].rules as readonly Named[];
  const { rules } = (filter?.typedConfig ?? {}) as { rules: { policies?: Record<string, Json> } };
  return rules.policies?.['ns[default]-policy[p]-rule[0]'] as
    | { principals: [{ andIds: { ids: Json[] } }]; permissions: [{ andRules: { rules: Json[] } }] }
    | undefined;
}

const spiffe = (matcher: Json) => ({ authenticated: { principalName: matcher } });
const regex = (text: string) => ({ safeRegex: { regex: text } });
const claim = (path: string[], value: Json) => ({
  metadata: { filter: 'envoy.filters.http.jwt_authn', path: ['payload', ...path].map((key) => ({ key })), value },
});
const anyOf = (match: Json) => ({ orMatch: { valueMatchers: [{ listMatch: { oneOf: match } }, match] } });

describe('where a request comes from', () => {
  const from = (source: NonNullable<NonNullable<Rule['from']>[number]['source']>): Rule => ({ from: [{ source }] });

  it.each<[string, Rule, Json]>([
    ['principal', from({ principals: ['td/ns/a/sa/b'] }), spiffe({ exact: 'spiffe://td/ns/a/sa/b' })],
    ['principal prefix', from({ principals: ['td/ns/a/*'] }), spiffe({ prefix: 'spiffe://td/ns/a/' })],
    ['principal suffix', from({ principals: ['*/sa/b.c'] }), spiffe(regex('spiffe://.*/sa/b\\.c'))],
    ['any principal', from({ principals: ['*'] }), spiffe(regex('.+'))],
    ['namespace', from({ namespaces: ['prod'] }), spiffe(regex('.*/ns/prod/.*'))],
    ['namespace prefix', from({ namespaces: ['te-*'] }), spiffe(regex('.*/ns/te-.*/.*'))],
    ['own service account', from({ serviceAccounts: ['a'] }), spiffe(regex('spiffe://.+/ns/default/(.+/|)sa/a(/.+)?'))],
    ['service account', from({ serviceAccounts: ['n/a'] }), spiffe(regex('spiffe://.+/ns/n/(.+/|)sa/a(/.+)?'))],
    ['trust domain', from({ trustDomains: ['td.io'] }), spiffe({ prefix: 'spiffe://td.io/' })],
    ['trust domains', from({ trustDomains: ['*.io'] }), spiffe(regex('spiffe://[^/]*\\.io/.*'))],
    ['ip', from({ ipBlocks: ['10.1.2.3'] }), { directRemoteIp: { addressPrefix: '10.1.2.3', prefixLen: 32 } }],
    ['prefix', from({ remoteIpBlocks: ['fd00::/8'] }), { remoteIp: { addressPrefix: 'fd00::', prefixLen: 8 } }],
    [
      'header',
      { when: [{ key: 'request.headers[x-a]', values: ['v*'] }] },
      { header: { name: 'x-a', stringMatch: { prefix: 'v' } } },
    ],
    [
      'any header',
      { when: [{ key: 'request.headers[x-a]', values: ['*'] }] },
      { header: { name: 'x-a', presentMatch: true } },
    ],
  ])('%s', (_case, rule, expected) => {
    expect(policyOf(rule)?.principals).toEqual([{ andIds: { ids: [{ orIds: { ids: [expected] } }] } }]);
  });

  it.each<[string, Rule, Json]>([
    [
      'issuer and subject',
      from({ requestPrincipals: ['https://i.io/*'] }),
      {
        andIds: {
          ids: [
            claim(['iss'], { stringMatch: { exact: 'https://i.io' } }),
            claim(['sub'], { stringMatch: regex('.+') }),
          ],
        },
      },
    ],
    [
      'suffix of the subject',
      from({ requestPrincipals: ['*me'] }),
      {
        andIds: {
          ids: [claim(['iss'], { stringMatch: regex('.+') }), claim(['sub'], { stringMatch: { suffix: 'me' } })],
        },
      },
    ],
    [
      'audience',
      { when: [{ key: 'request.auth.audiences', values: ['a'] }] },
      claim(['aud'], anyOf({ stringMatch: { exact: 'a' } })),
    ],
    [
      'presenter',
      { when: [{ key: 'request.auth.presenter', values: ['a'] }] },
      claim(['azp'], anyOf({ stringMatch: { exact: 'a' } })),
    ],
    [
      'nested claim',
      { when: [{ key: 'request.auth.claims[a][b]', values: ['x', '*y'] }] },
      claim(
        ['a', 'b'],
        anyOf({ orMatch: { valueMatchers: [{ stringMatch: { exact: 'x' } }, { stringMatch: { suffix: 'y' } }] } }),
      ),
    ],
  ])('%s', (_case, rule, expected) => {
    expect(policyOf(rule)?.principals).toEqual([{ andIds: { ids: [expected] } }]);
  });

  it('says it as the newer Envoy wants to hear it', () => {
    const rule = from({ requestPrincipals: ['a/b'] });
    const text = JSON.stringify(policyOf(rule, 'http', 'ALLOW', { dialect: 'current' }));
    expect(text).toContain('"sourcedMetadata":{"metadataMatcher":');
    expect(text).not.toContain('"metadata":');
  });

  it('joins fields by and, values by or, and negates', () => {
    const rule = from({ namespaces: ['a', 'b'], notNamespaces: ['c'] });
    expect(policyOf(rule)?.principals[0].andIds.ids).toEqual([
      { orIds: { ids: [spiffe(regex('.*/ns/a/.*')), spiffe(regex('.*/ns/b/.*'))] } },
      { notId: { orIds: { ids: [spiffe(regex('.*/ns/c/.*'))] } } },
    ]);
  });
});

describe('what a request is for', () => {
  const to = (operation: NonNullable<NonNullable<Rule['to']>[number]['operation']>): Rule => ({ to: [{ operation }] });
  const template = (pathTemplate: string) => ({
    uriTemplate: {
      name: 'uri-template',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
        pathTemplate,
      },
    },
  });
  const header = (name: string, stringMatch: Json) => ({ header: { name, stringMatch } });

  it.each<[string, Rule, Json]>([
    ['host', to({ hosts: ['a.io'] }), header(':authority', { exact: 'a.io', ignoreCase: true })],
    ['hosts', to({ hosts: ['*.io'] }), header(':authority', { suffix: '.io', ignoreCase: true })],
    ['method', to({ methods: ['GET'] }), header(':method', { exact: 'GET' })],
    ['path', to({ paths: ['/a/*'] }), { urlPath: { path: { prefix: '/a/' } } }],
    ['any path', to({ paths: ['*'] }), { urlPath: { path: regex('.+') } }],
    ['segment', to({ paths: ['/a/{*}/b'] }), template('/a/*/b')],
    ['segments', to({ paths: ['/a/{**}'] }), template('/a/**')],
    ['port', to({ ports: ['80'] }), { destinationPort: 80 }],
    [
      'address',
      { when: [{ key: 'destination.ip', values: ['10.0.0.0/8'] }] },
      { destinationIp: { addressPrefix: '10.0.0.0', prefixLen: 8 } },
    ],
    ['SNI', { when: [{ key: 'connection.sni', values: ['*.io'] }] }, { requestedServerName: { suffix: '.io' } }],
  ])('%s', (_case, rule, expected) => {
    expect(policyOf(rule)?.permissions).toEqual([{ andRules: { rules: [{ orRules: { rules: [expected] } }] } }]);
  });

  it('reads metadata of other filters, also members of lists', () => {
    const rule: Rule = {
      when: [{ key: 'experimental.envoy.filters.network.mysql_proxy[db.t]', values: ['[update]'] }],
    };
    expect(policyOf(rule)?.permissions[0].andRules.rules).toEqual([
      {
        metadata: {
          filter: 'envoy.filters.network.mysql_proxy',
          path: [{ key: 'db.t' }],
          value: { listMatch: { oneOf: { stringMatch: { exact: 'update' } } } },
        },
      },
    ]);
  });
});

describe('what cannot be expressed', () => {
  const mixed: Rule = { to: [{ operation: { methods: ['GET'], ports: ['80'] } }] };

  it('drops the whole rule of an ALLOW, on TCP', () => {
    expect(policyOf(mixed, 'tcp', 'ALLOW')).toBeUndefined();
    expect(policyOf(mixed, 'http', 'ALLOW')).toBeDefined();
  });

  it('drops the field of a DENY, on TCP', () => {
    expect(policyOf(mixed, 'tcp', 'DENY')?.permissions).toEqual([
      { andRules: { rules: [{ orRules: { rules: [{ destinationPort: 80 }] } }] } },
    ]);
  });

  it.each<[string, Rule]>([
    ['an address that is none', { from: [{ source: { ipBlocks: ['10.0.0.0/8', 'x'] } }] }],
    ['a port that is none', { to: [{ operation: { ports: ['http'] } }] }],
    ['an unknown condition', { when: [{ key: 'request.weather', values: ['fine'] }] }],
  ])('allows less for %s', (_case, rule) => {
    expect(policyOf(rule, 'http', 'ALLOW')).toBeUndefined();
  });

  it('denies more for an address that is none', () => {
    const rule: Rule = { from: [{ source: { ipBlocks: ['x'] } }] };
    expect(policyOf(rule, 'http', 'DENY')?.principals).toEqual([{ andIds: { ids: [{ any: true }] } }]);
  });
});

describe('trust domains', () => {
  const mesh = { trustDomain: 'new.io', trustDomainAliases: ['old.io'] };
  const names = (principal: string) => {
    const policy = policyOf({ from: [{ source: { principals: [principal] } }] }, 'http', 'ALLOW', { mesh });
    return [...JSON.stringify(policy).matchAll(/spiffe:\/\/[^"]+/g)].map(([text]) => text);
  };

  it.each([
    ['new.io/ns/a/sa/b', ['spiffe://new.io/ns/a/sa/b', 'spiffe://old.io/ns/a/sa/b']],
    ['old.io/ns/a/sa/b', ['spiffe://new.io/ns/a/sa/b', 'spiffe://old.io/ns/a/sa/b']],
    ['cluster.local/ns/a/sa/b', ['spiffe://new.io/ns/a/sa/b', 'spiffe://old.io/ns/a/sa/b']],
    ['else.io/ns/a/sa/b', ['spiffe://else.io/ns/a/sa/b']],
    ['*/ns/a/sa/b', ['spiffe://.*/ns/a/sa/b']],
    // Not the name of one account.
    ['old.io/ns/a/*', ['spiffe://old.io/ns/a/']],
  ])('%s', (principal, expected) => {
    expect(names(principal)).toEqual(expected);
  });
});

describe('filters', () => {
  it('come in the order in which actions decide', () => {
    const config = parseMeshConfig({}).mesh;
    const policies = (['ALLOW', 'AUDIT', 'DENY'] as const).map((action) =>
      authorizationPolicy(action, { action, rules: [{}] }),
    );
    const made = opened(
      authorizationFilters({ policies, mesh: config, providers: new Map(), dialect: 'classic' }),
    ) as ReturnType<typeof authorizationFilters>;
    const actions = made.http.rules.map((filter) => ((filter.typedConfig as Json)['rules'] as Json)['action']);
    expect(actions).toEqual(['LOG', 'DENY', undefined]);
  });

  it('of a policy without rules never match', () => {
    const [filter] = filters({}).http.rules as readonly Named[];
    expect(filter?.typedConfig).toHaveProperty('rules.policies', {
      'ns[default]-policy[p]-rule[0]': {
        permissions: [{ notRule: { any: true } }],
        principals: [{ notId: { any: true } }],
      },
    });
  });

  it.each(['ALLOW', 'DENY'] as const)('of a dry run of %s have no effect', (action) => {
    const annotations = { 'istio.io/dry-run': 'true' };
    const [filter] = filters({ action, rules: [{}] }, { annotations }).http.rules as readonly Named[];
    expect(filter?.typedConfig).toMatchObject({
      shadowRules: { policies: { 'ns[default]-policy[p]-rule[0]': {} } },
      shadowRulesStatPrefix: `istio_dry_run_${action.toLowerCase()}_`,
    });
    expect(filter?.typedConfig).not.toHaveProperty('rules.policies');
  });
});

describe('CUSTOM', () => {
  const spec: AuthorizationPolicySpec = { action: 'CUSTOM', provider: { name: 'x' }, rules: [{}] };
  const provider = (settings: Json) => ({ mesh: { extensionProviders: [{ name: 'x', ...settings }] } });
  const at = { service: 'authz.example.com', port: 9000 };

  it('asks a gRPC authorizer for what its rules match, on both kinds of chains', () => {
    const made = filters(spec, provider({ envoyExtAuthzGrpc: { ...at, timeout: '500ms', failOpen: true } }));
    for (const [stage, rbac] of [
      [made.http, 'http'],
      [made.tcp, 'network'],
    ] as const) {
      const [rules, authorizer] = stage.custom as readonly Named[];
      expect(rules?.typedConfig).toMatchObject({
        shadowRules: { action: 'DENY', policies: { 'istio-ext-authz-x-ns[default]-policy[p]-rule[0]': {} } },
        shadowRulesStatPrefix: 'istio_ext_authz_',
      });
      expect(authorizer?.typedConfig).toMatchObject({
        grpcService: { envoyGrpc: { clusterName: 'outbound|9000||authz.example.com' }, timeout: '0.500s' },
        failureModeAllow: true,
        filterEnabledMetadata: {
          filter: `envoy.filters.${rbac}.rbac`,
          path: [{ key: 'istio_ext_authz_shadow_effective_policy_id' }],
          value: { stringMatch: { prefix: 'istio-ext-authz-x' } },
        },
      });
    }
  });

  it('asks an HTTP authorizer about requests only', () => {
    const made = filters(
      spec,
      provider({
        envoyExtAuthzHttp: {
          ...at,
          pathPrefix: '/check',
          statusOnError: '503',
          includeRequestHeadersInCheck: ['x-a', 'x-b-*'],
          includeAdditionalHeadersInCheck: { 'x-c': 'v' },
          headersToUpstreamOnAllow: ['authorization'],
        },
      }),
    );
    expect(made.tcp.custom).toEqual([]);
    expect(made.http.custom[1]?.typedConfig).toMatchObject({
      httpService: {
        serverUri: { uri: 'http://authz.example.com', timeout: '600s' },
        pathPrefix: '/check',
        authorizationRequest: { headersToAdd: [{ key: 'x-c', value: 'v' }] },
        authorizationResponse: { allowedUpstreamHeaders: { patterns: [{ exact: 'authorization', ignoreCase: true }] } },
      },
      allowedHeaders: { patterns: [{ exact: 'x-a' }, { prefix: 'x-b-' }] },
      statusOnError: { code: 'ServiceUnavailable' },
    });
  });

  it.each<[string, Options]>([
    ['an unknown provider', {}],
    ['one whose service is not there', provider({ envoyExtAuthzGrpc: { service: 'gone.example.com', port: 1 } })],
    ['one that is no authorizer', provider({ envoyFileAccessLog: { path: '/dev/null' } })],
    ['a status that is none', provider({ envoyExtAuthzGrpc: { ...at, statusOnError: '799' } })],
  ])('denies what it should have asked about: %s', (_case, options) => {
    const made = filters(spec, options);
    for (const stage of [made.http, made.tcp]) {
      expect(stage.custom).toHaveLength(1);
      expect(stage.custom[0]?.typedConfig).toMatchObject({
        rules: {
          action: 'DENY',
          policies: { 'istio-ext-authz-x-ns[default]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action': {} },
        },
      });
    }
  });
});
