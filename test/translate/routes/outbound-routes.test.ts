import { describe, expect, it } from 'vitest';
import type { Draft } from '../../../src/ir/draft.ts';
import { outboundRoutes } from '../../../src/translate/routes/index.ts';
import { virtualHost } from '../../../src/translate/routes/route-config.ts';
import { renderService } from '../../../src/translate/routes/service.ts';
import { renderRoutes } from '../../../src/translate/routes/virtual-service.ts';
import { destinationRule, service, serviceEntry, sidecar, virtualService } from '../../support/builders.ts';
import { draftNamed, hostsOf, proxyClass, routeConfig, routesOf, services, world } from './support.ts';

const to = (host: string, subset?: string) => ({ destination: { host, ...(subset === undefined ? {} : { subset }) } });
const names = (draft: Draft | undefined): readonly (string | undefined)[] => hostsOf(draft).map((host) => host.name);

describe('names', () => {
  const mesh = world([
    ...services(['http:80', 'tcp:90', 'x:81'], 'web'),
    service('headless', { clusterIPs: ['None'], ports: ['x:82', 'http:83'] }),
    serviceEntry('novip', {
      hosts: ['novip.example.com'],
      ports: [{ number: 84, name: 'x', protocol: '' }],
      resolution: 'NONE',
    }),
  ]);
  const routes = outboundRoutes(mesh.scope(proxyClass()), undefined);

  it('are those that listeners ask for', () => {
    expect(routes.drafts.map((draft) => draft.name)).toEqual([
      '80',
      '83',
      '84',
      'headless.default.svc.cluster.local:82',
      'web.default.svc.cluster.local:81',
    ]);
  });

  it('of a sniffed service: its routes for any host, and nothing for the rest', () => {
    const config = routeConfig(draftNamed(routes.drafts, 'web.default.svc.cluster.local:81'));
    expect(config).toMatchObject({
      name: 'web.default.svc.cluster.local:81',
      validateClusters: false,
      maxDirectResponseBodySizeBytes: 1_048_576,
      ignorePortInHostMatching: true,
      virtualHosts: [{ name: 'web.default.svc.cluster.local:81', domains: ['*'], includeRequestAttemptCount: true }],
    });
  });

  it('that nobody knows are answered too', () => {
    expect(names(routes.routeFor('7777'))).toEqual(['allow_any']);
    expect(names(routes.routeFor('unix:///run/x.sock'))).toContain('allow_any');
    expect(names(routes.routeFor('gone.example.com:80'))).toEqual([]);
    expect(routes.routeFor('something')).toBeUndefined();
    expect(routes.routeFor('80')).toBe(draftNamed(routes.drafts, '80'));
  });

  it('include the proxy port where there is one', () => {
    const { drafts } = outboundRoutes(mesh.scope(proxyClass({ settings: { httpProxyPort: 3128 } })), undefined);
    const hosts = hostsOf(draftNamed(drafts, 'http_proxy'));
    const web = hosts.find((host) => host.name === 'web.default.svc.cluster.local:80');
    expect(web?.domains).toEqual(expect.arrayContaining(['web', 'web:80', '10.96.0.1:80']));
    expect(hosts.find((host) => host.name === 'web.default.svc.cluster.local:81')?.domains).not.toContain('web');
  });
});

describe('requests to unknown hosts', () => {
  const catchAll = (...policy: readonly object[]) => {
    const own = policy.map((outboundTrafficPolicy) =>
      sidecar('sc', { egress: [{ hosts: ['*/*'] }], outboundTrafficPolicy } as never),
    );
    const { drafts } = outboundRoutes(world([...services(['http:80'], 'web'), ...own]).scope(proxyClass()), undefined);
    return hostsOf(draftNamed(drafts, '80')).at(-1);
  };

  it('pass through', () => {
    expect(catchAll()).toMatchObject({
      name: 'allow_any',
      domains: ['*'],
      routes: [{ name: 'allow_any', route: { cluster: 'PassthroughCluster', timeout: '0s', maxGrpcTimeout: '0s' } }],
    });
  });

  it('are refused', () => {
    expect(catchAll({ mode: 'REGISTRY_ONLY' })).toMatchObject({
      name: 'block_all',
      routes: [{ directResponse: { status: 502 } }],
    });
  });

  it('go to the egress proxy', () => {
    const egressProxy = { host: 'web', port: { number: 80 }, subset: 'v1' };
    expect(catchAll({ mode: 'ALLOW_ANY', egressProxy })).toMatchObject({
      routes: [{ route: { cluster: 'outbound|80|v1|web.default.svc.cluster.local' } }],
    });
  });
});

describe('VirtualServices', () => {
  it('take the service, for all of its names', () => {
    const mesh = world([
      ...services(['http:80', 'http-b:81'], 'web'),
      virtualService('vs', { hosts: ['web'], http: [{ name: 'r', route: [to('web')] }] }),
    ]);
    const { drafts } = outboundRoutes(mesh.scope(proxyClass()), undefined);
    expect(routesOf(draftNamed(drafts, '81'), 'web.default.svc.cluster.local:81')[0]).toMatchObject({
      name: 'r',
      route: { cluster: 'outbound|81||web.default.svc.cluster.local' },
    });
  });

  it('bring hosts outside of the registry on port 80, or on the ports of their services', () => {
    const mesh = world([
      ...services(['http:80', 'http-b:81'], 'web', 'other'),
      service('late', { ports: ['http:82'] }),
      virtualService('lone', { hosts: ['a.example.com'], http: [{ route: [to('web')] }] }),
      virtualService('both', { hosts: ['late', 'b.example.com'], http: [{ route: [to('web')] }] }),
    ]);
    const { drafts } = outboundRoutes(mesh.scope(proxyClass()), undefined);
    expect(names(draftNamed(drafts, '80'))).toContain('a.example.com:80');
    expect(names(draftNamed(drafts, '81'))).not.toContain('a.example.com:81');
    expect(names(draftNamed(drafts, '82'))).toContain('b.example.com:82');
  });

  it('the most specific wildcard wins, an exact host before it', () => {
    const mesh = world([
      ...services(['http:80'], 'a.one', 'b.one', 'c.two'),
      virtualService('all', { hosts: ['*.svc.cluster.local'], http: [{ name: 'all', route: [to('x.example.com')] }] }),
      virtualService('one', {
        hosts: ['*.one.svc.cluster.local'],
        http: [{ name: 'one', route: [to('x.example.com')] }],
      }),
      virtualService('exact', {
        hosts: ['b.one.svc.cluster.local'],
        http: [{ name: 'exact', route: [to('x.example.com')] }],
      }),
    ]);
    const draft = draftNamed(outboundRoutes(mesh.scope(proxyClass()), undefined).drafts, '80');
    const first = (host: string) => routesOf(draft, `${host}.svc.cluster.local:80`)[0]?.name;
    expect([first('a.one'), first('b.one'), first('c.two')]).toEqual(['one', 'exact', 'all']);
    expect(names(draft)).toHaveLength(4);
  });

  it('a wildcard that covers no service is a host of its own', () => {
    const mesh = world([
      ...services(['http:80'], 'web'),
      virtualService('w', { hosts: ['*.example.com'], http: [{ route: [to('web')] }] }),
    ]);
    const draft = draftNamed(outboundRoutes(mesh.scope(proxyClass()), undefined).drafts, '80');
    expect(hostsOf(draft)[0]).toMatchObject({ name: '*.example.com:80', domains: ['*.example.com'] });
  });

  it('of two for one host the older has it, and the younger is told', () => {
    const mesh = world([
      ...services(['http:80'], 'web'),
      virtualService('young', { hosts: ['web'], http: [{ name: 'young', route: [to('web')] }] }, { created: 2 }),
      virtualService('old', { hosts: ['web'], http: [{ name: 'old', route: [to('web')] }] }, { created: 1 }),
    ]);
    const { drafts, findings } = outboundRoutes(mesh.scope(proxyClass()), undefined);
    const draft = draftNamed(drafts, '80');
    expect(routesOf(draft, 'web.default.svc.cluster.local:80').map((route) => route.name)).toEqual(['old']);
    expect(findings).toMatchObject([{ code: 'MEL0050', severity: 'warning', ref: { name: 'young' } }]);
    expect(draft?.origins.filter((origin) => origin.kind === 'VirtualService')).toMatchObject([
      { name: 'old', field: 'spec.http[0]' },
      { name: 'young', lost: expect.stringContaining('older') },
    ]);
  });

  it('for every host leave nothing to the traffic policy', () => {
    const mesh = world([
      ...services(['http:81'], 'web'),
      virtualService('vs', { hosts: ['*'], http: [{ route: [to('web')] }] }),
    ]);
    const hosts = hostsOf(outboundRoutes(mesh.scope(proxyClass()), undefined).routeFor('80'));
    expect(hosts.map((host) => host.domains)).toEqual([['*']]);
  });

  it('apply by source, port and gateway of their matches', () => {
    const rule = (name: string, match: object) => ({ name, match: [match], route: [to('web')] });
    const mesh = world([
      ...services(['http:80', 'http-b:81'], 'web'),
      virtualService('vs', {
        hosts: ['web'],
        gateways: ['mesh', 'gw'],
        http: [
          rule('labels', { sourceLabels: { app: 'a' } }),
          rule('namespace', { sourceNamespace: 'other' }),
          rule('port', { port: 81, uri: { prefix: '/p' } }),
          rule('gateway', { gateways: ['gw'] }),
          rule('mesh', { gateways: ['mesh'], sourceNamespace: 'nobody' }),
        ],
      }),
    ]);
    const seen = (own: Parameters<typeof proxyClass>[0], port: number) => {
      const { drafts } = outboundRoutes(mesh.scope(proxyClass(own)), undefined);
      return routesOf(draftNamed(drafts, String(port)), `web.default.svc.cluster.local:${port}`).map(
        (route) => route.name,
      );
    };
    expect(seen({ labels: { app: 'a', x: 'y' } }, 80)).toEqual(['labels']);
    expect(seen({ labels: { app: 'b' } }, 80)).toEqual(['mesh']);
    expect(seen({ namespace: 'other' }, 80)).toEqual(['namespace']);
    expect(seen({}, 81)).toEqual(['port', 'mesh']);
  });

  it('without a route for the port leave the service to itself', () => {
    const mesh = world([
      ...services(['http:80'], 'web'),
      virtualService('vs', { hosts: ['web'], http: [{ name: 'r', match: [{ port: 81 }], route: [to('web')] }] }),
    ]);
    const draft = draftNamed(outboundRoutes(mesh.scope(proxyClass()), undefined).drafts, '80');
    expect(routesOf(draft, 'web.default.svc.cluster.local:80')[0]?.name).toBe('default');
  });

  it('end at the first route that takes everything', () => {
    const mesh = world([
      ...services(['http:80'], 'web'),
      virtualService('vs', {
        hosts: ['web'],
        http: [
          {
            name: 'a',
            match: [{ uri: { prefix: '/a' } }, { uri: { prefix: '/' } }, { uri: { prefix: '/b' } }],
            route: [to('web')],
          },
          { name: 'never', route: [to('web')] },
        ],
      }),
    ]);
    const draft = draftNamed(outboundRoutes(mesh.scope(proxyClass()), undefined).drafts, '80');
    expect(routesOf(draft, 'web.default.svc.cluster.local:80').map((route) => route.name)).toEqual(['a', 'a']);
  });
});

describe('Sidecar listeners', () => {
  it('with a port serve what they import, the last one serves the rest', () => {
    const mesh = world([
      ...services(['http:80', 'http-b:81'], 'web.a', 'api.b'),
      sidecar('sc', {
        egress: [
          { port: { number: 80, protocol: 'HTTP', name: 'http' }, hosts: ['a/*'] },
          { bind: 'unix:///run/api.sock', port: { number: 0, protocol: 'HTTP', name: 'u' }, hosts: ['b/*'] },
          { hosts: ['b/*'] },
        ],
      } as never),
    ]);
    const { drafts } = outboundRoutes(mesh.scope(proxyClass()), undefined);
    expect(drafts.map((draft) => draft.name)).toEqual(['80', '81', 'unix:///run/api.sock']);
    expect(names(draftNamed(drafts, '80'))).toEqual(['web.a.svc.cluster.local:80', 'allow_any']);
    expect(names(draftNamed(drafts, '81'))).toEqual(['api.b.svc.cluster.local:81', 'allow_any']);
    expect(names(draftNamed(drafts, 'unix:///run/api.sock'))).toContain('api.b.svc.cluster.local:81');
  });
});

describe('work', () => {
  const weights = (first: number) =>
    virtualService('vs', {
      hosts: ['web'],
      http: [
        {
          route: [
            { ...to('web', 'v1'), weight: first },
            { ...to('web', 'v2'), weight: 100 - first },
          ],
        },
      ],
    });
  const before = world([...services(['http:80'], 'web', 'a', 'b', 'c.other'), weights(10)]);
  const counts = () => [renderRoutes.counts.runs, renderService.counts.runs, virtualHost.counts.runs];
  const spent = (run: () => void): readonly number[] => {
    const start = counts();
    run();
    return counts().map((count, index) => count - (start[index] ?? 0));
  };

  it('for a weight is one virtual host', () => {
    const scope = before.scope(proxyClass());
    const routes = outboundRoutes(scope, undefined);
    const after = before.next(weights(20)).scope(proxyClass(), scope);
    expect(spent(() => expect(outboundRoutes(after, routes).drafts[0]).not.toBe(routes.drafts[0]))).toEqual([1, 0, 1]);
  });

  it('for nothing is nothing, and other ports keep their drafts', () => {
    const own = proxyClass();
    const scope = before.scope(own);
    const routes = outboundRoutes(scope, undefined);
    expect(outboundRoutes(scope, routes)).toBe(routes);
    const next = before.next(service('late', { ports: ['http:8080'], clusterIPs: ['10.96.9.9'] })).scope(own, scope);
    const then = outboundRoutes(next, routes);
    expect(draftNamed(then.drafts, '80')).toBe(draftNamed(routes.drafts, '80'));
    expect(draftNamed(then.drafts, '8080')).toBeDefined();
  });

  it('is shared by classes: a further namespace encodes the virtual hosts of its own services only', () => {
    const first = proxyClass({ namespace: 'n1' });
    outboundRoutes(before.scope(first), undefined);
    expect(spent(() => outboundRoutes(before.scope(proxyClass({ namespace: 'n2' })), undefined))).toEqual([0, 0, 0]);
    expect(spent(() => outboundRoutes(before.scope(proxyClass({ namespace: 'other' })), undefined))).toEqual([0, 0, 1]);
  });

  it('follows the rule of a destination', () => {
    const own = proxyClass();
    const scope = before.scope(own);
    const routes = outboundRoutes(scope, undefined);
    const rule = destinationRule('dr', {
      host: 'web',
      trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: 'x' } } },
    });
    const after = before.next(rule).scope(own, scope);
    let then = routes;
    expect(spent(() => (then = outboundRoutes(after, routes)))).toEqual([1, 0, 1]);
    expect(routesOf(then.drafts[0], 'web.default.svc.cluster.local:80')[0]?.route).toHaveProperty('hashPolicy');
  });

  it('leads to the same bytes from before and from nothing', () => {
    const own = proxyClass();
    let current = before;
    let scope = current.scope(own);
    let routes = outboundRoutes(scope, undefined);
    const changes = [
      weights(30),
      service('late', { ports: ['http:80', 'x:81'], clusterIPs: ['10.96.9.9'] }),
      virtualService('wide', { hosts: ['*.svc.cluster.local'], http: [{ route: [to('a')] }] }),
      virtualService('vs', { hosts: ['b'], http: [{ route: [to('late')] }] }),
      destinationRule('dr', {
        host: 'late',
        trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true } } },
      }),
    ];
    for (const change of changes) {
      current = current.next(change);
      scope = current.scope(own, scope);
      routes = outboundRoutes(scope, routes);
      const cold = outboundRoutes(scope, undefined);
      expect(routes.drafts.map((draft) => [draft.name, draft.bytes])).toEqual(
        cold.drafts.map((draft) => [draft.name, draft.bytes]),
      );
      expect(routes.drafts.map((draft) => draft.origins)).toEqual(cold.drafts.map((draft) => draft.origins));
    }
  });
});
