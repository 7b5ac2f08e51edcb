import { describe, expect, it } from 'vitest';
import { outboundRoutes } from '../../../src/translate/routes/index.ts';
import { virtualService } from '../../support/builders.ts';
import { draftNamed, hostsOf, proxyClass, routesOf, services, world } from './support.ts';

const HOST = 'web.shop.svc.cluster.local';

/** A VirtualService as it is made from an object of another API. */
function made(semantics: string, namespace: string, hosts: readonly string[] = [HOST]) {
  return virtualService(
    'made',
    {
      hosts,
      http: [
        {
          name: 'cut',
          match: [{ uri: { prefix: '/a.b/' } }],
          rewrite: { uri: '/' },
          route: [{ destination: { host: HOST } }],
        },
        {
          name: 'gone',
          match: [{ uri: { prefix: '/' }, headers: { x: { exact: '1' } } }],
          route: [{ destination: {} }],
        },
      ],
    },
    { namespace, annotations: { 'internal.istio.io/route-semantics': semantics } },
  );
}

const routesFor = (object: ReturnType<typeof made>, namespace: string) => {
  const mesh = world([...services(['http:80'], 'web.shop'), object]);
  const draft = draftNamed(outboundRoutes(mesh.scope(proxyClass({ namespace })), undefined).drafts, '80');
  return { draft, routes: routesOf(draft, `${HOST}:80`) };
};

describe('routes of the Gateway API', () => {
  it('match paths by elements, and answer 500 for backends that are not there', () => {
    const { routes } = routesFor(made('gateway', 'shop'), 'client');
    expect(routes).toMatchObject([
      {
        match: { pathSeparatedPrefix: '/a.b' },
        route: {
          clusterNotFoundResponseCode: 'INTERNAL_SERVER_ERROR',
          regexRewrite: { pattern: { regex: '^/a\\.b(/?)(.*)' }, substitution: '/\\2' },
        },
      },
      { match: { prefix: '/' }, route: { cluster: 'UnknownService' } },
    ]);
  });

  it('of a third namespace do not count', () => {
    const names = (own: string, client: string) =>
      routesFor(made('gateway', own), client).routes.map((route) => route.name);
    expect(names('third', 'client')).toEqual(['default']);
    expect(names('client', 'client')).toEqual(['cut', 'gone']);
    expect(names('shop', 'client')).toEqual(['cut', 'gone']);
  });

  it('for a wildcard are for the wildcard, not for the services below it', () => {
    const { draft, routes } = routesFor(made('gateway', 'shop', ['*.shop.svc.cluster.local', HOST]), 'client');
    expect(routes.map((route) => route.name)).toEqual(['cut', 'gone']);
    expect(hostsOf(draft).map((host) => host.name)).toContain('*.shop.svc.cluster.local:80');
  });
});

describe('routes of an Ingress', () => {
  it('match paths by elements and are ordinary otherwise', () => {
    const [route] = routesFor(made('ingress', 'shop'), 'client').routes;
    expect(route).toMatchObject({ match: { pathSeparatedPrefix: '/a.b' }, route: { prefixRewrite: '/' } });
    expect(route?.route).not.toHaveProperty('clusterNotFoundResponseCode');
  });
});
