import { describe, expect, it } from 'vitest';
import type { Origin } from '../../../src/ir/draft.ts';
import {
  destinationRule,
  endpointSlice,
  pod,
  service,
  serviceEntry,
  sidecar,
  virtualService,
} from '../../support/builders.ts';
import { world } from '../../support/snapshot-builders.ts';
import { httpFilterNames, listenerFilterNames, listenerNamed, listening, told } from './support.ts';

const HTTP = 'raw_buffer http/1.1+h2c';
const vip = (last: number) => ({ clusterIPs: [`10.96.0.${last}`] });

function at(objects: Parameters<typeof world>[0], name: string, options: Parameters<typeof listening>[1] = {}) {
  return listenerNamed(listening(world(objects), options).drafts, name);
}

describe('the address and the chains of a service port', () => {
  it('shares one listener for HTTP on a port', () => {
    const objects = [service('a', vip(1)), service('b', vip(2))];
    const listener = at(objects, '0.0.0.0_80');
    expect(told(listener)).toEqual([`${HTTP} -> rds 80`, 'default -> PassthroughCluster']);
    expect(listenerFilterNames(listener)).toEqual(['http_inspector']);
    expect(listener.bindToPort).toBe(false);
  });

  it.each([
    ['tcp', ['any -> outbound|9000||a.default.svc.cluster.local'], []],
    ['https', ['any -> outbound|9000||a.default.svc.cluster.local'], []],
    ['mongo', ['any -> outbound|9000||a.default.svc.cluster.local'], []],
    [
      'sniffed',
      [`${HTTP} -> rds a.default.svc.cluster.local:9000`, 'default -> outbound|9000||a.default.svc.cluster.local'],
      ['http_inspector'],
    ],
  ])('listens for %s on the VIP', (name, chains, inspectors) => {
    const listener = at([service('a', { ...vip(1), ports: [`${name}:9000`] })], '10.96.0.1_9000');
    expect(told(listener)).toEqual(chains);
    expect(listenerFilterNames(listener)).toEqual(inspectors);
  });

  it('does not listen for UDP', () => {
    const { drafts } = listening(world([service('a', { ...vip(1), ports: ['dns:53/UDP'] })]));
    expect(drafts.map((draft) => draft.name)).toEqual(['virtualOutbound', 'virtualInbound']);
  });

  it('matches prefixes where the address is one, and names the service by SNI', () => {
    const entry = serviceEntry('net', {
      hosts: ['net.example.com'],
      addresses: ['172.30.0.0/16'],
      ports: [
        { name: 'tcp', number: 3000, protocol: 'TCP' },
        { name: 'tls', number: 3443, protocol: 'TLS' },
      ],
      resolution: 'NONE',
    });
    expect(told(at([entry], '0.0.0.0_3000'))).toEqual([
      '172.30.0.0/16 -> outbound|3000||net.example.com',
      'default -> PassthroughCluster',
    ]);
    const tls = at([entry], '0.0.0.0_3443');
    expect(told(tls)).toEqual([
      'net.example.com 172.30.0.0/16 -> outbound|3443||net.example.com',
      'default -> PassthroughCluster',
    ]);
    expect(listenerFilterNames(tls)).toEqual(['tls_inspector']);
  });

  it('gives each endpoint of a headless service a listener, and none to itself', () => {
    const pods = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((ip) => pod(`db-${ip}`, { ip, labels: { app: 'db' } }));
    const objects = [
      ...pods,
      service('db', { clusterIPs: ['None'], ports: ['tcp:5432'], selector: { app: 'db' } }),
      endpointSlice('db', pods, { ports: ['tcp:5432'] }),
    ];
    const names = listening(world(objects), { ip: '10.0.0.1' }).drafts.map((draft) => draft.name);
    expect(names).toContain('10.0.0.2_5432');
    expect(names).toContain('10.0.0.3_5432');
    expect(names).not.toContain('10.0.0.1_5432');
    expect(names).not.toContain('0.0.0.0_5432');
  });

  it('listens on both wildcards for a dual stack proxy', () => {
    const listener = at([service('a', vip(1))], '0.0.0.0_80', { ips: ['10.0.0.1', 'fd00::1'] });
    expect(listener.additionalAddresses).toEqual([{ address: { socketAddress: { address: '::', portValue: 80 } } }]);
  });
});

describe('services that meet on one address and port', () => {
  const shared = { clusterIPs: ['10.96.0.9'] };
  const make = (...ports: readonly string[]) =>
    ports.map((port, index) => service(`s${index}`, { ...shared, ports: [`${port}:7000`], created: index + 1 }));
  const host = (index: number) => `s${index}.default.svc.cluster.local`;
  const tcp = (index: number) => `outbound|7000||${host(index)}`;

  it.each([
    ['tcp then tcp', ['tcp', 'tcp'], [`any -> ${tcp(0)}`]],
    ['tcp then sniffed', ['tcp', 'x'], [`${HTTP} -> rds ${host(1)}:7000`, `default -> ${tcp(0)}`]],
    ['sniffed then tcp', ['x', 'tcp'], [`${HTTP} -> rds ${host(0)}:7000`, `default -> ${tcp(0)}`]],
    ['sniffed then sniffed', ['x', 'y'], [`${HTTP} -> rds ${host(0)}:7000`, `default -> ${tcp(0)}`]],
    ['mongo then tcp', ['mongo', 'tcp'], [`any -> ${tcp(0)}`]],
    ['tcp then mongo', ['tcp', 'mongo'], [`any -> ${tcp(0)}`]],
  ])('%s', (_case, ports, expected) => {
    expect(told(at(make(...ports), '10.96.0.9_7000'))).toEqual(expected);
  });

  it('says who lost, to whom', () => {
    const drafts = listening(world(make('tcp', 'tcp'))).drafts;
    const origins = drafts.find((draft) => draft.name === '10.96.0.9_7000')?.origins ?? [];
    const lost = origins.filter((origin: Origin) => origin.lost !== undefined);
    expect(lost.map(({ name, lost: reason }) => [name, reason])).toEqual([['s1', `port 7000 is taken by ${host(0)}`]]);
    expect(origins.find(({ name }) => name === 's0')?.lost).toBeUndefined();
  });

  it('lets HTTP and TCP share all addresses', () => {
    const plain = serviceEntry('tcp', {
      hosts: ['tcp.example.com'],
      ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }],
      resolution: 'NONE',
    });
    const web = service('web', { ports: ['http:7000'], created: 2 });
    expect(told(at([web, plain], '0.0.0.0_7000'))).toEqual([
      `${HTTP} -> rds 7000`,
      'default -> outbound|7000||tcp.example.com',
    ]);
  });
});

describe('routes for connections', () => {
  const objects = [
    service('db', { ...vip(1), ports: ['tcp:5432'] }),
    destinationRule('db', { host: 'db', subsets: [{ name: 'v1' }, { name: 'v2' }] }),
  ];
  const to = (subset: string, weight?: number) => ({
    destination: { host: 'db', subset },
    ...(weight ? { weight } : {}),
  });
  const cluster = (subset: string) => `outbound|5432|${subset}|db.default.svc.cluster.local`;

  it('splits by weight and falls through subnets to the rest', () => {
    const routes = virtualService('db', {
      hosts: ['db'],
      tcp: [
        { match: [{ destinationSubnets: ['10.96.0.0/16'] }], route: [to('v1', 80), to('v2', 20)] },
        { match: [{ port: 1 }], route: [to('v2')] },
        { route: [to('v1')] },
      ],
    });
    expect(told(at([...objects, routes], '10.96.0.1_5432'))).toEqual([
      `10.96.0.0/16 -> ${cluster('v1')}*80 ${cluster('v2')}*20`,
      `default -> ${cluster('v1')}`,
    ]);
  });

  it('takes prefixes for the networks that they are, and that of the unspecified address for none', () => {
    const routes = virtualService('db', {
      hosts: ['db'],
      tcp: [
        { match: [{ destinationSubnets: ['10.96.1.2/16'] }], route: [to('v1')] },
        { match: [{ destinationSubnets: ['10.96.3.4/16'] }], route: [to('v2')] },
        { match: [{ destinationSubnets: ['0.0.0.0/0'] }], route: [to('v2')] },
      ],
    });
    expect(told(at([...objects, routes], '10.96.0.1_5432'))).toEqual([
      `10.96.1.2/16 -> ${cluster('v1')}`,
      `default -> ${cluster('v2')}`,
    ]);
  });

  it('asks for the labels of the client', () => {
    const routes = virtualService('db', {
      hosts: ['db'],
      tcp: [{ match: [{ sourceLabels: { app: 'x' } }], route: [to('v2')] }],
    });
    const all = [...objects, routes];
    expect(told(at(all, '10.96.0.1_5432', { labels: { app: 'x' } }))).toEqual([`any -> ${cluster('v2')}`]);
    expect(told(at(all, '10.96.0.1_5432', { labels: { app: 'y' } }))).toEqual([`any -> ${cluster('')}`]);
  });

  it('gives each SNI one chain and the rest to the catch-all', () => {
    const secure = service('secure', { ...vip(2), ports: ['tls:443'] });
    const route = (subset: string) => [{ destination: { host: 'secure', subset } }];
    const routes = virtualService('secure', {
      hosts: ['secure'],
      tls: [
        { match: [{ port: 443, sniHosts: ['A.example.com'] }], route: route('v1') },
        { match: [{ sniHosts: ['a.example.com'] }, { sniHosts: ['*.example.com'] }], route: route('v2') },
      ],
    });
    expect(told(at([secure, routes], '10.96.0.2_443'))).toEqual([
      'a.example.com -> outbound|443|v1|secure.default.svc.cluster.local',
      '*.example.com -> outbound|443|v2|secure.default.svc.cluster.local',
      'default -> PassthroughCluster',
    ]);
  });

  it('gives what is for any SNI to the chain that asks for none', () => {
    const secure = service('secure', { ...vip(2), ports: ['tls:443'] });
    const route = (subset: string) => [{ destination: { host: 'secure', subset } }];
    const routes = virtualService('secure', {
      hosts: ['secure'],
      tls: [
        { match: [{ sniHosts: ['a.example.com'] }], route: route('v1') },
        { match: [{ sniHosts: ['b.example.com', '*'] }], route: route('v2') },
      ],
    });
    expect(told(at([secure, routes], '10.96.0.2_443'))).toEqual([
      'a.example.com -> outbound|443|v1|secure.default.svc.cluster.local',
      'default -> outbound|443|v2|secure.default.svc.cluster.local',
    ]);
  });

  it('takes connection settings from the rule', () => {
    const rule = destinationRule('db', {
      host: 'db',
      trafficPolicy: {
        connectionPool: { tcp: { idleTimeout: '30s', maxConnectionDuration: '1h' } },
        loadBalancer: { consistentHash: { useSourceIp: true } },
        tunnel: { protocol: 'POST', targetHost: 'proxy.example.com', targetPort: 443 },
      },
    });
    const listener = at([service('db', { ...vip(1), ports: ['tcp:5432'] }), rule], '10.96.0.1_5432');
    const [chain] = listener.filterChains as readonly { filters: readonly { typedConfig: object }[] }[];
    expect(chain?.filters.at(-1)?.typedConfig).toMatchObject({
      idleTimeout: '30s',
      maxDownstreamConnectionDuration: '3600s',
      hashPolicy: [{ sourceIp: {} }],
      tunnelingConfig: { hostname: 'proxy.example.com:443', usePost: true },
    });
  });
});

describe('what a Sidecar and the proxy ask for', () => {
  it('binds real ports in mode NONE', () => {
    const objects = [service('a', { ...vip(1), ports: ['http:80', 'tcp:9000'] })];
    const { drafts } = listening(world(objects), { metadata: { INTERCEPTION_MODE: 'NONE' } });
    expect(drafts.map((draft) => draft.name).sort()).toEqual(['127.0.0.1_80', '127.0.0.1_9000']);
    const listener = listenerNamed(drafts, '127.0.0.1_80');
    expect(told(listener)).toEqual(['any -> rds 80']);
    expect(listener.bindToPort).toBeUndefined();
    expect(listener.maxConnectionsToAcceptPerSocketEvent).toBe(1);
  });

  it('keeps the port of an explicit egress listener for it', () => {
    const objects = [
      service('a', { ...vip(1), ports: ['tcp:7000'] }),
      service('b', { clusterIPs: ['10.96.0.1'], ports: ['tcp:7000'], namespace: 'other' }),
      sidecar('default', {
        egress: [{ port: { number: 7000, protocol: 'TCP', name: 'tcp' }, hosts: ['other/*'] }, { hosts: ['./*'] }],
      }),
    ];
    const { drafts } = listening(world(objects));
    expect(told(listenerNamed(drafts, '10.96.0.1_7000'))).toEqual(['any -> outbound|7000||b.other.svc.cluster.local']);
    const origins = drafts.find((draft) => draft.name === '10.96.0.1_7000')?.origins ?? [];
    expect(origins.find(({ name }) => name === 'a')?.lost).toBe('port 7000 is set up by the Sidecar');
  });

  it('sends what is unknown where the policy says', () => {
    const policy = (mode: string) => ({ mesh: { outboundTrafficPolicy: { mode } } });
    const listener = (mode: string) =>
      listenerNamed(listening(world([service('a', vip(1))], policy(mode))).drafts, 'virtualOutbound');
    expect(told(listener('ALLOW_ANY'))).toEqual([':15001 -> BlackHoleCluster', 'any -> PassthroughCluster']);
    expect(told(listener('REGISTRY_ONLY'))).toEqual([':15001 -> BlackHoleCluster', 'any -> BlackHoleCluster']);
    expect(told(listener('ALLOW_ANY_DYNAMIC_DNS'))).toEqual([
      ':15001 -> BlackHoleCluster',
      'http/1.1+h2c -> routes allow_any_dynamic_dns',
      'any -> PassthroughCluster',
    ]);
  });

  it('has an explicit HTTP proxy where one is asked for', () => {
    const listener = at([], '127.0.0.1_15007', { metadata: { HTTP_PROXY_PORT: '15007' } });
    expect(told(listener)).toEqual(['any -> rds http_proxy']);
  });

  it('does not bind privileged ports in an unprivileged pod', () => {
    const objects = [service('a', { ...vip(1), ports: ['http:80', 'http-b:8080'] })];
    const metadata = { INTERCEPTION_MODE: 'NONE', UNPRIVILEGED_POD: 'true' };
    expect(listening(world(objects), { metadata }).drafts.map((draft) => draft.name)).toEqual(['127.0.0.1_8080']);
  });

  it('recognises the same labels where HTTP/1.0 is accepted', () => {
    const listener = at([service('a', vip(1))], '0.0.0.0_80', { metadata: { HTTP10: '1' } });
    expect(told(listener)[0]).toBe('raw_buffer http/1.1+h2c -> rds 80');
  });
});

it('puts the filters of HTTP chains in order, with stock ones only', () => {
  const listener = at([service('a', { ...vip(1), ports: ['grpc-web:80'] })], '0.0.0.0_80');
  expect(httpFilterNames(listener)).toEqual([
    'envoy.filters.http.grpc_web',
    'envoy.filters.http.grpc_stats',
    'meltemi.alpn',
    'envoy.filters.http.fault',
    'envoy.filters.http.cors',
    'envoy.filters.http.router',
  ]);
});
