import { describe, expect, it } from 'vitest';
import type { HTTPRoute } from '../../../src/config/generated/types.ts';
import { outboundRoutes } from '../../../src/translate/routes/index.ts';
import { destinationRule, virtualService } from '../../support/builders.ts';
import { draftNamed, hostsOf, proxyClass, type Route, routesOf, services, world } from './support.ts';

const TO = { destination: { host: 'web' } };

/** The first route of a VirtualService with one rule. */
function routeOf(rule: HTTPRoute): Route {
  const mesh = world([
    ...services(['http:80'], 'web', 'other'),
    virtualService('vs', { hosts: ['web'], http: [rule] }),
  ]);
  const { drafts } = outboundRoutes(mesh.scope(proxyClass()), undefined);
  const [route] = routesOf(draftNamed(drafts, '80'), 'web.default.svc.cluster.local:80');
  return route ?? {};
}

interface Case {
  readonly name: string;
  readonly rule: HTTPRoute;
  readonly want: object;
}

const CASES: readonly Case[] = [
  {
    name: 'one destination',
    rule: { name: 'r', route: [TO], timeout: '1m' },
    want: {
      name: 'r',
      route: { cluster: 'outbound|80||web.default.svc.cluster.local', timeout: '60s', maxGrpcTimeout: '60s' },
      decorator: { operation: 'web.default.svc.cluster.local:80/*' },
      metadata: {
        filterMetadata: { istio: { config: '/apis/networking.istio.io/v1/namespaces/default/virtual-service/vs' } },
      },
    },
  },
  {
    name: 'name of the match after that of the rule',
    rule: { name: 'r', match: [{ name: 'm', uri: { exact: '/x' }, statPrefix: 's' }], route: [TO] },
    want: { name: 'r.m', statPrefix: 's', decorator: { operation: 'web.default.svc.cluster.local:80/x' } },
  },
  {
    name: 'weights: zero is left out',
    rule: {
      route: [
        { ...TO, weight: 70, headers: { request: { set: { host: 'h.example.com', 'x-v': '1' } } } },
        { destination: { host: 'other', subset: 'v2', port: { number: 81 } }, weight: 30 },
        { destination: { host: 'gone' }, weight: 0 },
      ],
    },
    want: {
      route: {
        weightedClusters: {
          clusters: [
            {
              name: 'outbound|80||web.default.svc.cluster.local',
              weight: 70,
              hostRewriteLiteral: 'h.example.com',
              requestHeadersToAdd: [{ header: { key: 'x-v', value: '1' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
            },
            { name: 'outbound|81|v2|other.default.svc.cluster.local', weight: 30 },
          ],
        },
      },
      decorator: { operation: 'vs:80/*' },
    },
  },
  {
    name: 'header changes of rule and destination, in this order',
    rule: {
      headers: { request: { add: { b: '2', a: '1' }, remove: ['c', ':path'] }, response: { set: { r: 'x' } } },
      route: [{ ...TO, headers: { request: { add: { d: '4' }, remove: ['e'] } } }],
    },
    want: {
      requestHeadersToAdd: ['a', 'b', 'd'].map((key) => ({ header: { key } })),
      requestHeadersToRemove: ['c', 'e'],
      responseHeadersToAdd: [{ header: { key: 'r', value: 'x' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
    },
  },
  {
    name: 'rewrite',
    rule: { rewrite: { uri: '/new', authority: 'n.example.com' }, route: [TO] },
    want: { route: { prefixRewrite: '/new', hostRewriteLiteral: 'n.example.com' } },
  },
  {
    name: 'rewrite by expression',
    rule: { rewrite: { uriRegexRewrite: { match: '/a/(.*)', rewrite: '/\\1' } }, route: [TO] },
    want: { route: { regexRewrite: { pattern: { regex: '/a/(.*)' }, substitution: '/\\1' } } },
  },
  {
    name: 'authority set as a header',
    rule: { headers: { request: { set: { ':authority': 'x.example.com' } } }, route: [TO] },
    want: { route: { hostRewriteLiteral: 'x.example.com' } },
  },
  {
    name: 'mirrors: without a percentage all, with 0 none',
    rule: {
      route: [TO],
      mirrors: [
        { destination: { host: 'other' } },
        { destination: { host: 'other' }, percentage: { value: 0 } },
        { destination: { host: 'other' }, percentage: { value: 0.5 } },
      ],
    },
    want: {
      route: {
        requestMirrorPolicies: [{ numerator: 100 }, { numerator: 5000, denominator: 'MILLION' }].map(
          (defaultValue) => ({
            cluster: 'outbound|80||other.default.svc.cluster.local',
            runtimeFraction: { defaultValue },
            traceSampled: false,
            disableShadowHostSuffixAppend: true,
          }),
        ),
      },
    },
  },
  {
    name: 'redirect with a port that the scheme implies',
    rule: { redirect: { authority: 'x.example.com', scheme: 'https', port: 443, redirectCode: 308 } },
    want: {
      redirect: {
        hostRedirect: 'x.example.com',
        schemeRedirect: 'https',
        pathRedirect: '',
        responseCode: 'PERMANENT_REDIRECT',
      },
      decorator: { operation: 'vs:80/*' },
    },
  },
  {
    name: 'redirect to the port of the request',
    rule: { redirect: { prefixRewrite: '/p', scheme: 'https', derivePort: 'FROM_REQUEST_PORT' } },
    want: { redirect: { prefixRewrite: '/p', schemeRedirect: 'https', portRedirect: 80 } },
  },
  {
    name: 'direct response',
    rule: { directResponse: { status: 418, body: { string: 'tea' } } },
    want: { directResponse: { status: 418, body: { inlineString: 'tea' } } },
  },
  {
    name: 'faults',
    rule: {
      route: [TO],
      fault: { delay: { fixedDelay: '2s' }, abort: { grpcStatus: 'UNAVAILABLE', percentage: { value: 12.5 } } },
    },
    want: {
      typedPerFilterConfig: {
        'envoy.filters.http.fault': {
          delay: { fixedDelay: '2s', percentage: {} },
          abort: { grpcStatus: 14, percentage: { numerator: 125_000, denominator: 'MILLION' } },
        },
      },
    },
  },
  {
    name: 'cors',
    rule: {
      route: [TO],
      corsPolicy: {
        allowOrigins: [{ exact: 'https://a' }, { regex: '.*b' }],
        allowMethods: ['GET', 'PUT'],
        maxAge: '24h',
        allowCredentials: false,
        unmatchedPreflights: 'IGNORE',
      },
    },
    want: {
      typedPerFilterConfig: {
        'envoy.filters.http.cors': {
          allowOriginStringMatch: [{ exact: 'https://a' }, { safeRegex: { regex: '.*b' } }],
          allowMethods: 'GET,PUT',
          maxAge: '86400',
          allowCredentials: false,
          filterEnabled: { defaultValue: { numerator: 100 } },
          forwardNotMatchingPreflights: false,
        },
      },
    },
  },
];

describe('route actions', () => {
  for (const { name, rule, want } of CASES) it(name, () => expect(routeOf(rule)).toMatchObject(want));

  it('limit gRPC deadlines in the words of the proxy', () => {
    const mesh = world([
      ...services(['http:80'], 'web', 'other'),
      virtualService('vs', { hosts: ['web'], http: [{ route: [TO], timeout: '3s' }] }),
    ]);
    const { drafts } = outboundRoutes(mesh.scope(proxyClass({ dialect: 'current' })), undefined);
    const limits = hostsOf(drafts[0]).map((host) => {
      const action = host.routes?.map((route) => ('route' in route ? route.route : undefined))[0];
      return [host.name, action];
    });
    expect(limits).toMatchObject([
      ['other.default.svc.cluster.local:80', { timeout: '0s', maxStreamDuration: { grpcTimeoutHeaderMax: '0s' } }],
      ['web.default.svc.cluster.local:80', { timeout: '3s' }],
      ['allow_any', { timeout: '0s', maxStreamDuration: { grpcTimeoutHeaderMax: '0s' } }],
    ]);
    expect(JSON.stringify(limits)).not.toContain('maxGrpcTimeout');
  });

  it('have no retry policy where attempts are 0', () => {
    const route = routeOf({ route: [TO], retries: { attempts: 0 } });
    expect(route.route).not.toHaveProperty('retryPolicy');
  });
});

describe('rules that can not be expressed', () => {
  const cases: readonly (readonly [string, HTTPRoute, string])[] = [
    [
      'redirect code',
      { match: [{ uri: { exact: '/a' } }], redirect: { redirectCode: 305 } },
      'spec.http[0].redirect.redirectCode',
    ],
    ['no destination', { match: [{ uri: { exact: '/a' } }], route: [] }, 'spec.http[0].route'],
    ['no weight', { match: [{ uri: { exact: '/a' } }], route: [{ ...TO, weight: 0 }, TO] }, 'spec.http[0].route'],
    ['number out of range', { match: [{ uri: { exact: '/a' } }], directResponse: { status: -1 } }, 'spec.http[0]'],
  ];
  for (const [name, rule, path] of cases) {
    it(`are left out with a finding, the others stay: ${name}`, () => {
      const mesh = world([
        ...services(['http:80'], 'web'),
        virtualService('vs', { hosts: ['web'], http: [rule, { name: 'rest', route: [TO] }] }),
      ]);
      const { drafts, findings } = outboundRoutes(mesh.scope(proxyClass()), undefined);
      const routes = routesOf(draftNamed(drafts, '80'), 'web.default.svc.cluster.local:80');
      expect(routes.map((route) => route.name)).toEqual(['rest']);
      expect(findings).toMatchObject([{ severity: 'error', code: 'MEL0051', path, ref: { name: 'vs' } }]);
    });
  }
});

describe('consistent hashing', () => {
  const hash = (consistentHash: object) => ({ loadBalancer: { consistentHash } });
  const rule = (trafficPolicy: object, subsets: readonly object[] = []) =>
    destinationRule('dr', { host: 'web', trafficPolicy, subsets } as never);
  const routes = (dr: ReturnType<typeof rule>, http?: HTTPRoute): readonly Route[] => {
    const own = http === undefined ? [] : [virtualService('vs', { hosts: ['web'], http: [http] })];
    const mesh = world([...services(['http:80'], 'web'), dr, ...own]);
    const { drafts } = outboundRoutes(mesh.scope(proxyClass()), undefined);
    return routesOf(draftNamed(drafts, '80'), 'web.default.svc.cluster.local:80');
  };

  const kinds: readonly (readonly [object, object])[] = [
    [{ httpHeaderName: 'x' }, { header: { headerName: 'x' } }],
    [{ httpQueryParameterName: 'q' }, { queryParameter: { name: 'q' } }],
    [{ useSourceIp: true }, { connectionProperties: { sourceIp: true } }],
    [
      { httpCookie: { name: 'c', path: '/p', ttl: '0s', attributes: [{ name: 'a', value: 'b' }] } },
      { cookie: { name: 'c', path: '/p', ttl: '0s', attributes: [{ name: 'a', value: 'b' }] } },
    ],
  ];
  for (const [given, want] of kinds) {
    it(JSON.stringify(given), () =>
      expect(routes(rule(hash(given)))[0]).toMatchObject({ route: { hashPolicy: [want] } }),
    );
  }

  it('of the subset comes before that of the rule, and leaves retries to the hash', () => {
    const dr = rule(hash({ httpHeaderName: 'all' }), [
      { name: 'v1', labels: { v: '1' }, trafficPolicy: hash({ httpHeaderName: 'own' }) },
    ]);
    const [route] = routes(dr, { route: [{ destination: { host: 'web', subset: 'v1' } }] });
    expect(route).toMatchObject({ route: { hashPolicy: [{ header: { headerName: 'own' } }] } });
    expect(route?.route).not.toHaveProperty('retryPolicy.retryHostPredicate');
  });

  it('of a port counts where the destination names the port', () => {
    const dr = rule({ portLevelSettings: [{ port: { number: 80 }, ...hash({ httpHeaderName: 'port' }) }] });
    const to = (destination: object): HTTPRoute => ({ route: [{ destination: { host: 'web', ...destination } }] });
    expect(routes(dr, to({}))[0]?.route).not.toHaveProperty('hashPolicy');
    expect(routes(dr, to({ port: { number: 80 } }))[0]).toMatchObject({ route: { hashPolicy: [{}] } });
    expect(routes(dr)[0]).toMatchObject({ route: { hashPolicy: [{}] } });
  });
});
