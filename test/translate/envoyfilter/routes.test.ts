import { describe, expect, it } from 'vitest';
import type { EnvoyConfigObjectPatch } from '../../../src/config/generated/types.ts';
import { endpointSlice, gateway, pod, service, virtualService } from '../../support/builders.ts';
import { type ProxyOptions, world } from '../../support/snapshot-builders.ts';
import { at, filter, listenerDrafts, messageOf, sent } from './support.ts';

const one = pod('client', { ip: '10.0.0.1', labels: { app: 'web' } });
const HOST = 'web.default.svc.cluster.local:80';
const mesh = [
  service('web', { ports: ['http:80:8080'], selector: { app: 'web' }, clusterIPs: ['10.96.0.1'] }),
  service('api', { ports: ['http:80'], clusterIPs: ['10.96.0.2'] }),
  one,
  endpointSlice('web', [one], { ports: ['http:8080'] }),
  virtualService('web', {
    hosts: ['web'],
    http: [
      { name: 'old', match: [{ uri: { prefix: '/old' } }], redirect: { uri: '/new' } },
      { name: 'teapot', match: [{ uri: { prefix: '/tea' } }], directResponse: { status: 418 } },
      { name: 'all', route: [{ destination: { host: 'web' } }] },
    ],
  }),
];

type Json = Readonly<Record<string, unknown>>;
type Operation = NonNullable<EnvoyConfigObjectPatch['patch']>['operation'];

function patch(
  applyTo: EnvoyConfigObjectPatch['applyTo'],
  operation: Operation,
  routeConfiguration: object | undefined,
  value?: object,
  context = 'SIDECAR_OUTBOUND',
): EnvoyConfigObjectPatch {
  return {
    applyTo,
    match: { context, ...(routeConfiguration === undefined ? {} : { routeConfiguration }) },
    patch: { operation, ...(value === undefined ? {} : { value }) },
  } as EnvoyConfigObjectPatch;
}

function routes(patches: readonly EnvoyConfigObjectPatch[], name = '80', options: ProxyOptions = {}): Json {
  return messageOf(sent(world([...mesh, filter(patches)]), options).shared.routes, name);
}

function hosts(config: Json): readonly Json[] {
  return config['virtualHosts'] as readonly Json[];
}

function hostNamed(config: Json, name = HOST): Json {
  const found = hosts(config).find((host) => host['name'] === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

const plain = routes([]);
const header = { response_headers_to_remove: ['server'] };

describe('ROUTE_CONFIGURATION', () => {
  it.each<[string, object | undefined, boolean]>([
    ['every one without a match', undefined, true],
    ['its name', { name: '80' }, true],
    ['its port', { portNumber: 80 }, true],
    ['not another name', { name: '81' }, false],
    ['not another port', { portNumber: 81 }, false],
  ])('is meant by %s', (_, match, meant) => {
    const config = routes([patch('ROUTE_CONFIGURATION', 'MERGE', match, header)]);
    expect(config).toEqual(meant ? { ...plain, responseHeadersToRemove: ['server'] } : plain);
  });

  it('keeps its name', () => {
    expect(routes([patch('ROUTE_CONFIGURATION', 'MERGE', undefined, { name: 'other', ...header })])['name']).toBe('80');
  });

  it('is only ever merged', () => {
    expect(
      routes([
        patch('ROUTE_CONFIGURATION', 'REMOVE', { name: '80' }),
        patch('ROUTE_CONFIGURATION', 'ADD', undefined, header),
      ]),
    ).toEqual(plain);
  });

  it('is within the listener on the way in', () => {
    const into = patch(
      'ROUTE_CONFIGURATION',
      'MERGE',
      { name: 'inbound|8080||', portNumber: 8080 },
      header,
      'SIDECAR_INBOUND',
    );
    const first = patch(
      'HTTP_ROUTE',
      'INSERT_FIRST',
      undefined,
      { name: 'first', direct_response: { status: 200 } },
      'SIDECAR_INBOUND',
    );
    const result = sent(world([...mesh, filter([into, first])]), { ip: '10.0.0.1', labels: { app: 'web' } });
    const inbound = messageOf(listenerDrafts(result), 'virtualInbound');
    const configs = (inbound['filterChains'] as readonly Json[]).flatMap((chain) => {
      const config = at(chain, 'filters.0.typedConfig.routeConfig') as Json | undefined;
      return config === undefined ? [] : [config];
    });
    const named = configs.filter((config) => config['name'] === 'inbound|8080||');
    expect(named.length).toBeGreaterThan(0);
    for (const config of named) expect(config['responseHeadersToRemove']).toEqual(['server']);
    for (const config of configs) expect(at(config, 'virtualHosts.0.routes.0.name')).toBe('first');
    expect(
      configs
        .filter((config) => config['name'] === 'InboundPassthroughCluster')
        .every((config) => !('responseHeadersToRemove' in config)),
    ).toBe(true);
    expect(messageOf(result.shared.routes, '80')).toEqual(plain);
  });

  it('of a gateway is known by port, server and Gateway', () => {
    const tls = { mode: 'SIMPLE', credentialName: 'c' } as const;
    const objects = [
      ...mesh,
      service('gw', { ports: ['http:80:8080', 'https:443:8443'], selector: { app: 'gw' }, clusterIPs: ['10.96.0.9'] }),
      gateway('gw', {
        selector: { app: 'gw' },
        servers: [
          { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] },
          { port: { number: 443, name: 'https', protocol: 'HTTPS' }, hosts: ['*'], tls },
        ],
      }),
      virtualService('gate', { hosts: ['*'], gateways: ['gw'], http: [{ route: [{ destination: { host: 'web' } }] }] }),
    ];
    const router: ProxyOptions = { type: 'router', name: 'gw', labels: { app: 'gw' }, ip: '10.0.0.9' };
    const changed = (match: object): readonly string[] => {
      const merge = patch('ROUTE_CONFIGURATION', 'MERGE', match, header, 'GATEWAY');
      const drafts = sent(world([...objects, filter([merge])]), router).shared.routes;
      const hit = drafts.filter(({ name }) => messageOf(drafts, name)['responseHeadersToRemove'] !== undefined);
      return hit.map(({ name }) => name.split('.')[0] ?? '');
    };
    expect(changed({ portNumber: 80 })).toEqual(['http']);
    expect(changed({ portNumber: 443 })).toEqual(['https']);
    expect(changed({ portName: 'https' })).toEqual(['https']);
    expect(changed({ gateway: 'default/gw' })).toEqual(['https']);
    expect(changed({ gateway: 'default/other' })).toEqual([]);
    expect(changed({}).toSorted()).toEqual(['http', 'https']);
  });
});

describe('VIRTUAL_HOST', () => {
  const value = { request_headers_to_add: [{ header: { key: 'x', value: '1' } }] };

  it.each<[string, object, boolean]>([
    ['a name', { vhost: { name: HOST } }, true],
    ['a domain', { vhost: { domainName: 'web.default' } }, true],
    ['a name and a domain of another', { vhost: { name: HOST, domainName: 'api.default' } }, false],
    ['a name in another configuration', { name: '81', vhost: { name: HOST } }, false],
  ])('is meant by %s', (_, match, meant) => {
    const config = routes([patch('VIRTUAL_HOST', 'MERGE', match, value)]);
    const changed = hosts(config).filter((host) => host['requestHeadersToAdd'] !== undefined);
    expect(changed.map((host) => host['name'])).toEqual(meant ? [HOST] : []);
    expect(hosts(config).length).toBe(hosts(plain).length);
  });

  it('is removed, and added behind the others', () => {
    const config = routes([
      patch('VIRTUAL_HOST', 'ADD', { name: '80' }, { name: 'own', domains: ['own.example.com'] }),
      patch('VIRTUAL_HOST', 'REMOVE', { vhost: { name: HOST } }),
      patch('VIRTUAL_HOST', 'MERGE', { vhost: { name: 'own' } }, value),
    ]);
    const names = hosts(plain).map((host) => host['name']);
    expect(hosts(config).map((host) => host['name'])).toEqual([...names.filter((name) => name !== HOST), 'own']);
    expect(hostNamed(config, 'own')).toEqual({ name: 'own', domains: ['own.example.com'] });
  });

  it('leaves all others as they were, to the byte', () => {
    const config = routes([patch('VIRTUAL_HOST', 'MERGE', { vhost: { name: HOST } }, value)]);
    const others = (of: Json) => hosts(of).filter((host) => host['name'] !== HOST);
    expect(others(config)).toEqual(others(plain));
  });
});

describe('HTTP_ROUTE', () => {
  const names = (config: Json): readonly unknown[] =>
    (hostNamed(config)['routes'] as readonly Json[]).map((route) => route['name']);
  const within = (route?: object): object => ({ vhost: { name: HOST, ...(route === undefined ? {} : { route }) } });
  const own = { name: 'own', match: { prefix: '/own' }, direct_response: { status: 200 } };

  it.each<[string, Operation, object | undefined, readonly string[]]>([
    ['adds behind all', 'ADD', undefined, ['old', 'teapot', 'all', 'own']],
    ['inserts first', 'INSERT_FIRST', undefined, ['own', 'old', 'teapot', 'all']],
    ['inserts first where one is found', 'INSERT_FIRST', { name: 'all' }, ['own', 'old', 'teapot', 'all']],
    ['inserts nothing first where none is found', 'INSERT_FIRST', { name: 'none' }, ['old', 'teapot', 'all']],
    ['inserts before', 'INSERT_BEFORE', { name: 'teapot' }, ['old', 'own', 'teapot', 'all']],
    ['inserts after', 'INSERT_AFTER', { name: 'teapot' }, ['old', 'teapot', 'own', 'all']],
    ['inserts before all', 'INSERT_BEFORE', undefined, ['own', 'old', 'teapot', 'all']],
    ['inserts behind all', 'INSERT_AFTER', undefined, ['old', 'teapot', 'all', 'own']],
    ['inserts by action', 'INSERT_BEFORE', { action: 'DIRECT_RESPONSE' }, ['old', 'own', 'teapot', 'all']],
    ['removes by name', 'REMOVE', { name: 'old' }, ['teapot', 'all']],
    ['removes by action', 'REMOVE', { action: 'REDIRECT' }, ['teapot', 'all']],
    ['removes all', 'REMOVE', undefined, []],
  ])('%s', (_, operation, route, expected) => {
    const config = routes([patch('HTTP_ROUTE', operation, within(route), operation === 'REMOVE' ? undefined : own)]);
    expect(expected.length === 0 ? hostNamed(config)['routes'] : names(config)).toEqual(
      expected.length === 0 ? undefined : expected,
    );
  });

  it('merges into those that it means, before any is inserted', () => {
    const config = routes([
      patch('HTTP_ROUTE', 'INSERT_FIRST', within(), { ...own, direct_response: undefined, route: { cluster: 'x' } }),
      patch('HTTP_ROUTE', 'MERGE', within({ action: 'ROUTE' }), { route: { timeout: '9s' } }),
    ]);
    const all = hostNamed(config)['routes'] as readonly Json[];
    expect(all.map((route) => [route['name'], at(route, 'route.timeout')])).toEqual([
      ['own', undefined],
      ['old', undefined],
      ['teapot', undefined],
      ['all', '9s'],
    ]);
    expect(at(all[3], 'route.cluster')).toBe('outbound|80||web.default.svc.cluster.local');
  });

  it('puts another action in the place of one', () => {
    const config = routes([
      patch('HTTP_ROUTE', 'MERGE', within({ name: 'all' }), { direct_response: { status: 503 } }),
    ]);
    const route = (hostNamed(config)['routes'] as readonly Json[])[2];
    expect(route?.['route']).toBeUndefined();
    expect(route?.['directResponse']).toEqual({ status: 503 });
  });
});
