import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigObject } from '../../../src/config/object.ts';
import { httpsChain } from '../../../src/translate/gateway/http-chains.ts';
import { gatewayListeners } from '../../../src/translate/gateway/listeners.ts';
import { gatewayRouteFindings, gatewayRoutes } from '../../../src/translate/gateway/routes.ts';
import { virtualHost } from '../../../src/translate/routes/route-config.ts';
import { renderRoutes } from '../../../src/translate/routes/virtual-service.ts';
import { service, virtualService } from '../../support/builders.ts';
import { draftNamed, hostsOf, proxyClass, routesOf, services, world } from '../routes/support.ts';
import { edge, gatewayScope, ROUTER, server } from './support.ts';

const GATEWAYS = ['istio-system/gw'];
const to = (host: string, port?: number) => ({
  destination: { host, ...(port === undefined ? {} : { port: { number: port } }) },
});
const bound = (name: string, hosts: readonly string[], http: readonly object[], meta: object = {}) =>
  virtualService(name, { hosts, gateways: GATEWAYS, http } as never, meta);

describe('hosts', () => {
  it('are the narrower of those of server and VirtualService', () => {
    const drafts = gatewayRoutes(
      gatewayScope([
        ...services(['http:8000'], 'web'),
        edge('gw', [server('http:80', ['*.example.com', 'www.other.org'])]),
        bound('wide', ['*'], [{ name: 'wide', match: [{ uri: { exact: '/' } }], route: [to('web')] }]),
        bound('a', ['A.example.com', 'a.nowhere.com'], [{ name: 'a', route: [to('web')] }], { created: 1 }),
      ]),
    );
    expect(drafts.map((draft) => draft.name)).toEqual(['http.80']);
    // The same routes: one virtual host, named after the most specific host.
    expect(hostsOf(drafts[0]).map((host) => [host.name, host.domains])).toEqual([
      ['a.example.com:80', ['a.example.com']],
      ['www.other.org:80', ['www.other.org', '*.example.com']],
    ]);
  });

  it('of several Gateways stay apart, also with the same routes', () => {
    const gateways = ['istio-system/gw', 'istio-system/other'];
    const hosts = ['a.example.com', 'b.example.com', 'c.example.com'];
    const [draft] = gatewayRoutes(
      gatewayScope([
        ...services(['http:80'], 'web'),
        edge('gw', [server('http:80', ['a.example.com', 'b.example.com'])]),
        edge('other', [server('http:80', ['c.example.com'])]),
        virtualService('web', { hosts, gateways, http: [{ route: [to('web')] }] }),
      ]),
    );
    expect(hostsOf(draft).map((host) => [host.name, host.domains])).toEqual([
      ['a.example.com:80', ['a.example.com', 'b.example.com']],
      ['c.example.com:80', ['c.example.com']],
    ]);
  });

  it('with a namespace are for VirtualServices of that namespace', () => {
    const drafts = gatewayRoutes(
      gatewayScope([
        ...services(['http:80'], 'web', 'api.team'),
        edge('gw', [server('http:80', ['team/*.example.com', './own.example.com'])]),
        bound('web', ['web.example.com'], [{ route: [to('web')] }]),
        bound('api', ['api.example.com'], [{ route: [to('api')] }], { namespace: 'team' }),
        bound('own', ['own.example.com'], [{ route: [to('x')] }], { namespace: 'istio-system' }),
      ]),
    );
    expect(hostsOf(drafts[0]).map((host) => host.name)).toEqual(['api.example.com:80', 'own.example.com:80']);
  });

  it('nobody is bound to: not found', () => {
    const [draft] = gatewayRoutes(gatewayScope([edge('gw', [server('http:80', ['*'])])]));
    expect(hostsOf(draft)).toEqual([{ name: 'blackhole:80', domains: ['*'] }]);
  });
});

describe('several VirtualServices for one host', () => {
  const scope = gatewayScope([
    ...services(['http:80'], 'web', 'api'),
    edge('gw', [server('http:80', ['a.example.com'])]),
    bound('young', ['a.example.com'], [{ name: 'young-x', match: [{ uri: { prefix: '/x' } }], route: [to('api')] }], {
      created: 2,
    }),
    bound(
      'old',
      ['a.example.com'],
      [
        { name: 'old-y', match: [{ uri: { prefix: '/y' } }], route: [to('web')] },
        { name: 'old', route: [to('web')] },
      ],
      { created: 1 },
    ),
  ]);

  it('are served together, oldest first, what takes everything last', () => {
    const [draft] = gatewayRoutes(scope);
    expect(routesOf(draft, 'a.example.com:80').map((route) => route.name)).toEqual(['old-y', 'young-x', 'old']);
    expect(draft?.origins.map((origin) => `${origin.kind}/${origin.name} ${origin.field}`)).toEqual([
      'Gateway/gw spec.servers[0]',
      'VirtualService/old spec.http[0]',
      'VirtualService/old spec.http[1]',
      'VirtualService/young spec.http[0]',
    ]);
  });
});

describe('destinations', () => {
  it('without a port go to the only one of the service, else to that of the server', () => {
    const drafts = gatewayRoutes(
      gatewayScope([
        ...services(['http:8000'], 'one'),
        ...services(['http:80', 'http-b:81'], 'two.b'),
        edge('gw', [server('http:80', ['*'])]),
        bound(
          'vs',
          ['a.example.com'],
          [
            { match: [{ uri: { exact: '/1' } }], route: [to('one')] },
            { match: [{ uri: { exact: '/2' } }], route: [to('two.b.svc.cluster.local')] },
            { match: [{ uri: { exact: '/3' } }], route: [to('two.b.svc.cluster.local', 81)] },
          ],
        ),
      ]),
    );
    expect(
      routesOf(drafts[0], 'a.example.com:80').map((route) => (route.route as { cluster: string }).cluster),
    ).toEqual([
      'outbound|8000||one.default.svc.cluster.local',
      'outbound|80||two.b.svc.cluster.local',
      'outbound|81||two.b.svc.cluster.local',
    ]);
  });
});

describe('matches', () => {
  it('count by the port of the server and by the gateway', () => {
    const only = (name: string, match: object) => ({ name, match: [match], route: [to('web')] });
    const drafts = gatewayRoutes(
      gatewayScope([
        ...services(['http:80'], 'web'),
        edge('gw', [server('http:80', ['*']), server('https:443', ['*'], { mode: 'SIMPLE', credentialName: 'c' })]),
        bound(
          'vs',
          ['a.example.com'],
          [
            only('tls', { port: 443, uri: { prefix: '/t' } }),
            only('mesh', { gateways: ['mesh'] }),
            only('gw', { gateways: GATEWAYS }),
          ],
        ),
      ]),
    );
    const seen = (name: string, port: number) =>
      routesOf(draftNamed(drafts, name), `a.example.com:${port}`).map((route) => route.name);
    expect(seen('http.80', 80)).toEqual(['gw']);
    expect(seen('https.443.https.gw.istio-system', 443)).toEqual(['tls', 'gw']);
  });
});

describe('httpsRedirect', () => {
  it('holds for hosts with routes and without', () => {
    const [draft] = gatewayRoutes(
      gatewayScope([
        ...services(['http:80'], 'web'),
        edge('gw', [server('http:80', ['a.example.com', 'default/b.example.com'], { httpsRedirect: true })]),
        bound('vs', ['a.example.com'], [{ route: [to('web')] }]),
      ]),
    );
    expect(hostsOf(draft).map(({ domains, requireTls, routes }) => [domains, requireTls, routes?.length ?? 0])).toEqual(
      [
        [['a.example.com'], 'ALL', 1],
        [['b.example.com'], 'ALL', 0],
      ],
    );
  });
});

describe('work', () => {
  it('for one VirtualService is its virtual host; other route names keep their drafts', () => {
    const own = proxyClass(ROUTER);
    const weights = (first: number) =>
      bound(
        'vs',
        ['a.example.com'],
        [
          {
            route: [
              { ...to('web'), weight: first },
              { ...to('api'), weight: 100 - first },
            ],
          },
        ],
      );
    const before = world([
      ...services(['http:80'], 'web', 'api'),
      edge('gw', [server('http:80', ['a.example.com', 'b.example.com']), server('http:81', ['c.example.com'])]),
      weights(10),
      bound('b', ['b.example.com'], [{ route: [to('web')] }]),
      bound('c', ['c.example.com'], [{ route: [to('web')] }]),
    ]);
    const scope = before.scope(own);
    const drafts = gatewayRoutes(scope);
    expect(gatewayRoutes(scope, drafts)).toBe(drafts);
    const after = before.next(weights(20)).scope(own, scope);
    const counts = (): readonly number[] => {
      const { runs, hits } = renderRoutes.counts;
      return [runs, hits, virtualHost.counts.runs];
    };
    const [runs = 0, hits = 0, hosts = 0] = counts();
    const then = gatewayRoutes(after, drafts);
    // One of its two servers has the host.
    expect(counts()).toEqual([runs + 1, hits, hosts + 1]);
    expect(draftNamed(then, 'http.81')).toBe(draftNamed(drafts, 'http.81'));
    expect(draftNamed(then, 'http.80')?.bytes).toEqual(draftNamed(gatewayRoutes(after), 'http.80')?.bytes);
  });
});

it('leads to the same from before and from nothing, after any changes', () => {
  const hosts = ['a.example.com', 'b.example.com', 'A.example.com', '*.example.com', 'c.other.org', '*'];
  const some = fc.uniqueArray(fc.constantFrom(...hosts), { minLength: 1, maxLength: 3 });
  const few = fc.constantFrom('x', 'y', 'z');
  const redirect = { httpsRedirect: true };
  const servers = fc
    .tuple(some, some, fc.boolean(), fc.boolean())
    .map(([plain, tls, redirects, https]) => [
      server('http:80', plain, redirects ? redirect : undefined),
      server('http-b:80', tls),
      ...(https ? [server('https:443', tls, { mode: 'SIMPLE', credentialName: 'c' })] : []),
    ]);
  const aGateway = fc.tuple(few, servers, fc.nat(2)).map(([name, list, created]) => edge(name, list, created));
  const match = fc.constantFrom({ uri: { prefix: '/' } }, { uri: { prefix: '/x' } }, { uri: { regex: '' } });
  const boundHere = fc
    .tuple(few, some, fc.subarray(['istio-system/x', 'istio-system/y', 'istio-system/z']), few, match, fc.nat(2))
    .map(([name, names, gateways, destination, clause, created]) =>
      virtualService(name, { hosts: names, gateways, http: [{ match: [clause], route: [to(destination)] }] } as never, {
        created,
      }),
    );
  const aService = fc
    .tuple(few, fc.constantFrom(['http:80'], ['http:80', 'http-b:81'], ['http-b:81']))
    .map(([name, ports]) => service(name, { ports, clusterIPs: ['10.96.0.1'] }));
  const step = fc.oneof({ arbitrary: boundHere, weight: 3 }, aGateway, aService);
  // Few hosts are put together anew, among many the changed ones are looked for; some runs go from one to the other.
  const crowd = (size: number): readonly ConfigObject[] => {
    const all = Array.from({ length: size }, (_, index) => `${index}.example.com`);
    const routes = { hosts: all, gateways: ['istio-system/crowd'], http: [{ route: [to('x')] }] };
    return size === 0 ? [] : [edge('crowd', [server('http:80', all)]), virtualService('crowd', routes)];
  };
  fc.assert(
    fc.property(
      fc.array(aGateway, { maxLength: 3 }),
      fc.array(step, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 14, 20),
      (first, steps, others) => {
        const own = proxyClass(ROUTER);
        let at = world([...first, ...crowd(others)]);
        let scope = at.scope(own);
        let warm = gatewayRoutes(scope);
        for (const object of steps) {
          at = at.next(object);
          scope = at.scope(own, scope);
          warm = gatewayRoutes(scope, warm);
        }
        const shown = (drafts: typeof warm) =>
          drafts.map(({ name, bytes, origins }) => [name, Buffer.from(bytes).toString('hex'), origins]);
        expect(shown(warm)).toEqual(shown(gatewayRoutes(scope)));
      },
    ),
    { numRuns: 100 },
  );
});

describe('work of one change', () => {
  const COUNT = 40;
  const own = proxyClass(ROUTER);
  const names = Array.from({ length: COUNT }, (_, index) => `gw-${index}`);
  const routesOn = (name: string, path: string) =>
    virtualService(name, {
      hosts: [`${name}.example.com`],
      gateways: [`istio-system/${name}`],
      http: [{ match: [{ uri: { prefix: path } }], route: [to('web')] }],
    });
  const tls = { mode: 'SIMPLE', credentialName: 'c' } as const;
  const before = world([
    ...services(['http:80'], 'web', 'other'),
    ...names.flatMap((name) => [
      edge(name, [server('http:80', [`${name}.example.com`]), server('https:443', [`${name}.example.com`], tls)]),
      routesOn(name, '/a'),
    ]),
  ]);
  const scope = before.scope(own);
  const drafts = gatewayRoutes(scope);
  const changed = (object: ConfigObject): readonly number[] => {
    const after = before.next(object).scope(own, scope);
    const start = [renderRoutes.counts, virtualHost.counts].map(({ runs, hits }) => runs + hits);
    const then = gatewayRoutes(after, drafts);
    const calls = [renderRoutes.counts, virtualHost.counts].map(({ runs, hits }, i) => runs + hits - (start[i] ?? 0));
    return [...calls, then.filter((draft) => !drafts.includes(draft)).length];
  };

  it('looks at the servers of one Gateway, whatever the number of others', () => {
    expect(changed(routesOn('gw-7', '/b'))).toEqual([2, 2, 2]);
  });

  it('of routes leaves the listeners alone', () => {
    const listeners = gatewayListeners(scope);
    const { runs, hits } = httpsChain.counts;
    expect(gatewayListeners(before.next(routesOn('gw-7', '/b')).scope(own, scope), listeners)).toBe(listeners);
    expect(httpsChain.counts).toMatchObject({ runs, hits });
  });

  it('of a service that no routes lead to looks at nothing', () => {
    expect(changed(service('other', { ports: ['http:81'], clusterIPs: ['10.96.0.9'] }))).toEqual([0, 0, 0]);
  });

  it('of hundreds of VirtualServices for one host looks at the one', () => {
    const all = (index: number, path: string) =>
      bound(
        `vs-${index}`,
        ['a.example.com'],
        [{ match: [{ uri: { prefix: path } }, { uri: { exact: '/' } }], route: [to('web')] }],
      );
    const many = world([
      ...services(['http:80'], 'web'),
      edge('gw', [server('http:80', ['a.example.com'])]),
      ...Array.from({ length: COUNT }, (_, index) => all(index, `/${index}`)),
    ]);
    const first = many.scope(own);
    const made = gatewayRoutes(first);
    const start = renderRoutes.counts.runs + renderRoutes.counts.hits;
    const after = many.next(all(7, '/other')).scope(own, first);
    const then = gatewayRoutes(after, made);
    expect(renderRoutes.counts.runs + renderRoutes.counts.hits - start).toBe(1);
    expect(then).toEqual(gatewayRoutes(after));
    expect(routesOf(then[0], 'a.example.com:80')).toHaveLength(2 * COUNT);
  });
});

describe('rules that can not be expressed', () => {
  it('are left out with a finding', () => {
    const scope = gatewayScope([
      ...services(['http:80'], 'web'),
      edge('gw', [server('http:80', ['a.example.com'])]),
      bound(
        'vs',
        ['a.example.com'],
        [
          { match: [{ uri: { exact: '/' } }], redirect: { redirectCode: 399 } },
          { name: 'rest', route: [to('web')] },
        ],
      ),
    ]);
    expect(routesOf(gatewayRoutes(scope)[0], 'a.example.com:80').map((route) => route.name)).toEqual(['rest']);
    expect(gatewayRouteFindings(gatewayRoutes(scope))).toMatchObject([{ code: 'MEL0051', ref: { name: 'vs' } }]);
  });
});
