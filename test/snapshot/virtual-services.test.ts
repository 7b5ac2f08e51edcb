import { describe, expect, it } from 'vitest';
import type { HTTPMatchRequest, VirtualServiceSpec } from '../../src/config/generated/types.ts';
import { mergeDelegateRoutes } from '../../src/snapshot/delegates.ts';
import { resolveGatewayName } from '../../src/snapshot/virtual-services.ts';
import { gateway, virtualService } from '../support/builders.ts';
import { scopeFor, world } from '../support/snapshot-builders.ts';

const to = (host: string) => [{ destination: { host } }];

describe('names in a VirtualService', () => {
  it('become absolute', () => {
    const spec: VirtualServiceSpec = {
      hosts: ['web', 'x.example.com', '*'],
      gateways: ['gw', './own', 'other/gw', 'mesh'],
      http: [
        {
          match: [{ gateways: ['gw', 'mesh'] }],
          route: to('web'),
          mirror: { host: 'shadow' },
          mirrors: [{ destination: { host: 'shadow2' } }],
        },
      ],
      tcp: [{ match: [{ gateways: ['gw'] }], route: to('db') }],
      tls: [{ match: [{ sniHosts: ['x'], gateways: ['gw'] }], route: to('tls.example.com') }],
    };
    const [node] = scopeFor(world([virtualService('v', spec, { namespace: 'a' })])).virtualServices;
    const svc = (name: string) => `${name}.a.svc.cluster.local`;
    expect(node?.hosts).toEqual([svc('web'), 'x.example.com', '*']);
    expect(node?.gateways).toEqual(['a/gw', 'a/own', 'other/gw', 'mesh']);
    expect(node?.http[0]).toMatchObject({
      match: [{ gateways: ['a/gw', 'mesh'] }],
      route: to(svc('web')),
      mirror: { host: svc('shadow') },
      mirrors: [{ destination: { host: svc('shadow2') } }],
    });
    expect(node?.tcp).toMatchObject([{ match: [{ gateways: ['a/gw'] }], route: to(svc('db')) }]);
    expect(node?.tls).toMatchObject([{ match: [{ gateways: ['a/gw'] }], route: to('tls.example.com') }]);
  });

  it.each([
    ['mesh', 'mesh'],
    ['gw', 'ns/gw'],
    ['./gw', 'ns/gw'],
    ['a/gw', 'a/gw'],
    ['gw.a', 'a/gw'],
    ['gw.a.svc.cluster.local', 'a/gw'],
  ])('gateway %s is %s', (name, expected) => {
    expect(resolveGatewayName(name, 'ns')).toBe(expected);
  });
});

describe('which VirtualServices a sidecar sees', () => {
  const at = world([
    virtualService('open', { hosts: ['x'] }, { namespace: 'b', created: 1 }),
    virtualService('late', { hosts: ['x'] }, { namespace: 'b', created: 9 }),
    virtualService('given', { hosts: ['x'], exportTo: ['a'] }, { namespace: 'b', created: 5 }),
    virtualService('own', { hosts: ['x'], exportTo: ['.'] }, { namespace: 'a', created: 7 }),
    virtualService('none', { hosts: ['x'], exportTo: ['~'] }, { namespace: 'a' }),
    virtualService('edge', { hosts: ['x'], gateways: ['gw'] }, { namespace: 'a' }),
    virtualService('delegate', {}, { namespace: 'a' }),
  ]);
  const names = (namespace: string) => scopeFor(at, { namespace }).virtualServices.map((each) => each.name);

  it('private ones, then those exported to it, then public ones, each oldest first', () => {
    expect(names('a')).toEqual(['own', 'given', 'open', 'late']);
    expect(names('b')).toEqual(['open', 'late']);
  });

  it('own routes of the Gateway API before other public ones', () => {
    const annotations = { 'internal.istio.io/route-semantics': 'gateway' };
    const some = world([
      virtualService('old', { hosts: ['x'] }, { namespace: 'b', created: 1 }),
      virtualService('theirs', { hosts: ['x'] }, { namespace: 'b', created: 2, annotations }),
      virtualService('own', { hosts: ['x'] }, { namespace: 'a', created: 3, annotations }),
    ]);
    const seen = (namespace: string) => scopeFor(some, { namespace }).virtualServices.map((each) => each.name);
    expect(seen('a')).toEqual(['own', 'old', 'theirs']);
    expect(seen('c')).toEqual(['old', 'theirs', 'own']);
  });

  it('follows the default of the mesh', () => {
    const closed = world([virtualService('v', { hosts: ['x'] }, { namespace: 'a' })], {
      mesh: { defaultVirtualServiceExportTo: ['.'] },
    });
    expect(scopeFor(closed, { namespace: 'a' }).virtualServices).toHaveLength(1);
    expect(scopeFor(closed, { namespace: 'b' }).virtualServices).toHaveLength(0);
  });
});

describe('delegates', () => {
  const root = (namespace?: string): VirtualServiceSpec => ({
    hosts: ['shop.example.com'],
    http: [
      { match: [{ uri: { prefix: '/cart' } }], delegate: { name: 'cart', ...(namespace ? { namespace } : {}) } },
      { route: to('rest') },
    ],
  });
  const routes = (...objects: Parameters<typeof world>[0]) =>
    scopeFor(world(objects)).virtualServices.find((each) => each.name === 'root')?.http;
  const cart = (spec: VirtualServiceSpec, namespace = 'team') => virtualService('cart', spec, { namespace });
  const rest = { route: to('rest.default.svc.cluster.local') };

  it('stand in for the route of the root, with their own names resolved where they are', () => {
    const merged = routes(virtualService('root', root('team')), cart({ http: [{ route: to('cart') }] }));
    expect(merged).toEqual([
      expect.objectContaining({ match: [{ uri: { prefix: '/cart' } }], route: to('cart.team.svc.cluster.local') }),
      rest,
    ]);
    expect(merged?.[0]).not.toHaveProperty('delegate');
  });

  it.each<[string, readonly Parameters<typeof world>[0][number][]]>([
    ['missing', []],
    ['with hosts', [cart({ hosts: ['x'], http: [{ route: to('cart') }] })]],
    ['not exported to the root', [cart({ exportTo: ['.'], http: [{ route: to('cart') }] })]],
    ['in another namespace', [cart({ http: [{ route: to('cart') }] }, 'default')]],
    ['that delegates again', [cart({ http: [{ delegate: { name: 'deeper' } }] })]],
  ])('%s: the route is left out', (_case, delegates) => {
    expect(routes(virtualService('root', root('team')), ...delegates)).toEqual([rest]);
  });

  it('are found in the namespace of the root by default, and may be exported to it by name', () => {
    const own = cart({ http: [{ route: to('cart') }] }, 'default');
    expect(routes(virtualService('root', root()), own)).toHaveLength(2);
    const given = cart({ exportTo: ['default'], http: [{ route: to('cart') }] });
    expect(routes(virtualService('root', root('team')), given)).toHaveLength(2);
  });

  it('take settings that they lack from the root', () => {
    const [one] = mergeDelegateRoutes(
      {
        name: 'r',
        timeout: '7s',
        retries: { attempts: 1 },
        rewrite: { uri: '/r' },
        headers: { request: { add: { a: 'b' } } },
      },
      [{ name: 'c', timeout: '3s', route: to('x') }],
    );
    expect(one).toMatchObject({
      name: 'r-c',
      timeout: '3s',
      retries: { attempts: 1 },
      rewrite: { uri: '/r' },
      headers: { request: { add: { a: 'b' } } },
      route: to('x'),
    });
  });
});

describe('matches of root and delegate', () => {
  const merge = (root: readonly HTTPMatchRequest[], child: readonly HTTPMatchRequest[]) =>
    mergeDelegateRoutes({ match: root }, [{ match: child }])[0]?.match;
  const uri = (kind: 'exact' | 'prefix' | 'regex', value: string): HTTPMatchRequest => ({ uri: { [kind]: value } });

  it.each<[string, HTTPMatchRequest, HTTPMatchRequest]>([
    ['a longer prefix', uri('prefix', '/a'), uri('prefix', '/a/b')],
    ['an exact path below', uri('prefix', '/a'), uri('exact', '/a/b')],
    ['the same exact path', uri('exact', '/a'), uri('exact', '/a')],
    ['only the delegate', {}, uri('regex', '.*')],
    ['only the root', uri('regex', '.*'), {}],
    ['other headers', { headers: { a: { exact: '1' } } }, { headers: { b: { exact: '2' } } }],
    ['the same port', { port: 80 }, { port: 80 }],
    ['gateways within', { gateways: ['a', 'b'] }, { gateways: ['b'] }],
    ['the same source', { sourceLabels: { a: '1' } }, { sourceLabels: { a: '1', b: '2' } }],
    ['the same namespace', { sourceNamespace: 'x' }, { sourceNamespace: 'x' }],
  ])('%s agrees', (_case, root, child) => {
    expect(merge([root], [child])).toHaveLength(1);
  });

  it.each<[string, HTTPMatchRequest, HTTPMatchRequest]>([
    ['another prefix', uri('prefix', '/a'), uri('prefix', '/b')],
    ['a shorter prefix', uri('prefix', '/a/b'), uri('prefix', '/a')],
    ['a prefix under an exact path', uri('exact', '/a'), uri('prefix', '/a')],
    ['another exact path', uri('exact', '/a'), uri('exact', '/b')],
    ['a regex under a prefix', uri('prefix', '/a'), uri('regex', '/a.*')],
    ['a prefix under a regex', uri('regex', '/a.*'), uri('prefix', '/a')],
    ['two regexes', uri('regex', '/a'), uri('regex', '/a')],
    ['case', { ignoreUriCase: true }, {}],
    ['another header value', { headers: { a: { exact: '1' } } }, { headers: { a: { exact: '2' } } }],
    ['another query', { queryParams: { a: { exact: '1' } } }, { queryParams: { a: { prefix: '2' } } }],
    ['another excluded header', { withoutHeaders: { a: { exact: '1' } } }, { withoutHeaders: { a: { exact: '2' } } }],
    ['another method', { method: { exact: 'GET' } }, { method: { exact: 'PUT' } }],
    ['another port', { port: 80 }, { port: 81 }],
    ['a source namespace that the delegate lacks', { sourceNamespace: 'x' }, {}],
    ['another source label', { sourceLabels: { a: '1' } }, { sourceLabels: { a: '2' } }],
    ['a gateway beyond', { gateways: ['a'] }, { gateways: ['b'] }],
  ])('%s conflicts', (_case, root, child) => {
    expect(merge([root], [child])).toBeUndefined();
  });

  it('combines every pair that agrees, and drops all when one match agrees with none', () => {
    const roots = [uri('prefix', '/a'), uri('prefix', '/b')];
    expect(merge(roots, [uri('prefix', '/a/1'), { method: { exact: 'GET' } }])).toEqual([
      expect.objectContaining(uri('prefix', '/a/1')),
      expect.objectContaining({ ...uri('prefix', '/a'), method: { exact: 'GET' } }),
      expect.objectContaining({ ...uri('prefix', '/b'), method: { exact: 'GET' } }),
    ]);
    expect(merge(roots, [uri('prefix', '/a/1'), uri('prefix', '/c')])).toBeUndefined();
  });

  it('unites maps, the delegate winning, and joins names', () => {
    expect(
      merge(
        [{ name: 'r', headers: { a: { prefix: 'x' }, b: { exact: '1' } }, statPrefix: 'root' }],
        [{ name: 'c', headers: { a: { exact: 'xy' } } }],
      ),
    ).toEqual([
      expect.objectContaining({
        name: 'r-c',
        headers: { a: { exact: 'xy' }, b: { exact: '1' } },
        statPrefix: 'root',
      }),
    ]);
  });
});

describe('which VirtualServices a router has', () => {
  it('those bound to one of its Gateways and visible to it, by Gateway, oldest first', () => {
    const at = world([
      gateway('gw', { selector: { istio: 'in' }, servers: [] }, { namespace: 'a' }),
      gateway('gw', { selector: { istio: 'in' }, servers: [] }, { namespace: 'b' }),
      virtualService('one', { hosts: ['x'], gateways: ['gw'] }, { namespace: 'a', created: 2 }),
      virtualService('two', { hosts: ['x'], gateways: ['gw', 'a/gw'] }, { namespace: 'b', created: 1 }),
      virtualService('shy', { hosts: ['x'], gateways: ['gw'], exportTo: ['.'] }, { namespace: 'a' }),
      virtualService('mesh', { hosts: ['x'] }, { namespace: 'a' }),
    ]);
    const scope = scopeFor(at, { type: 'router', namespace: 'istio-system', labels: { istio: 'in' } });
    const bound = [...(scope.gateway?.virtualServices ?? [])].map(([name, list]) => [
      name,
      list.map((each) => each.name),
    ]);
    expect(bound).toEqual([
      ['a/gw', ['two', 'one']],
      ['b/gw', ['two']],
    ]);
    expect(scope.virtualServices.map((each) => each.name)).toEqual(['two', 'one']);
  });
});
