import { describe, expect, it } from 'vitest';
import type { ServiceEntrySpec } from '../../src/config/generated/types.ts';
import { pod, serviceEntry, workloadEntry } from '../support/builders.ts';
import { codes, endpointsAt, groupAt, registryOf, sockets } from './support.ts';

const PORTS = [
  { number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 },
  { number: 9, name: 'tcp', protocol: 'TCP' },
];

function se(spec: ServiceEntrySpec) {
  return serviceEntry('x', { hosts: ['x.org'], ports: PORTS, location: 'MESH_INTERNAL', ...spec });
}

function built(spec: ServiceEntrySpec) {
  return endpointsAt(registryOf([se(spec)]), 'x.org');
}

describe('endpoints written into a ServiceEntry', () => {
  it('have the port of the endpoint, the target port or the number', () => {
    const endpoints = [{ address: '10.0.0.1' }, { address: '10.0.0.2', ports: { http: 8888 } }];
    expect(sockets(built({ resolution: 'STATIC', endpoints }))).toEqual([
      '10.0.0.1:8080/http',
      '10.0.0.1:9/tcp',
      '10.0.0.2:8888/http',
      '10.0.0.2:9/tcp',
    ]);
  });

  it('are not misled by names that every object has', () => {
    const ports = [{ number: 80, name: 'constructor', protocol: 'HTTP' }];
    const endpoints = [{ address: '10.0.0.1', ports: { http: 1 } }];
    expect(sockets(built({ resolution: 'STATIC', ports, endpoints }))).toEqual(['10.0.0.1:80/constructor']);
  });

  it('keep labels, locality, network, weight and identity', () => {
    const endpoint = {
      address: '10.0.0.1',
      labels: { version: 'v1' },
      locality: 'r/z',
      network: 'n',
      weight: 4,
      serviceAccount: 'sa',
    };
    expect(built({ resolution: 'STATIC', endpoints: [endpoint] })[0]).toEqual({
      address: '10.0.0.1',
      port: 8080,
      portName: 'http',
      labels: {
        version: 'v1',
        'topology.kubernetes.io/region': 'r',
        'topology.kubernetes.io/zone': 'z',
        'topology.istio.io/cluster': 'Kubernetes',
        'topology.istio.io/network': 'n',
      },
      locality: 'r/z',
      network: 'n',
      clusterId: 'Kubernetes',
      identity: 'spiffe://cluster.local/ns/default/sa/sa',
      tlsMode: 'istio',
      health: 'UNKNOWN',
      weight: 4,
      namespace: 'default',
      workloadName: 'x-0',
      nodeName: '',
      hostname: '',
      subdomain: '',
    });
  });

  it.each([
    [{}, 'disabled'],
    [{ serviceAccount: 'sa' }, 'istio'],
    [{ labels: { 'security.istio.io/tlsMode': 'istio' } }, 'istio'],
    [{ serviceAccount: 'sa', labels: { 'security.istio.io/tlsMode': 'disabled' } }, 'disabled'],
  ])('%j speak mTLS: %s', (more, expected) => {
    const group = groupAt(
      registryOf([se({ resolution: 'STATIC', endpoints: [{ address: '10.0.0.1', ...more }] })]),
      'x.org',
    );
    expect(group.endpoints[0]?.tlsMode).toBe(expected);
    expect(group.someWithoutTls).toBe(expected === 'disabled');
  });

  it.each([
    ['STATIC', '10.0.0.1', 8080],
    ['STATIC', 'fd00::1', 8080],
    ['STATIC', 'unix:///var/run/x.sock', 0],
    ['STATIC', 'a.example.org', undefined],
    ['STATIC', '', undefined],
    ['DNS', 'a.example.org', 8080],
    ['DNS', '10.0.0.1', 8080],
    ['DNS', '*.example.org', undefined],
    ['DNS_ROUND_ROBIN', 'a.example.org', 8080],
    ['NONE', 'a.example.org', undefined],
  ] as const)('%s takes %s: %s', (resolution, address, port) => {
    const registry = registryOf([se({ resolution, endpoints: [{ address }] })]);
    expect(endpointsAt(registry, 'x.org')[0]?.port).toBe(port);
    expect(codes(registry)).toEqual(port === undefined ? ['MEL0101'] : []);
  });

  it('are one for DNS_ROUND_ROBIN', () => {
    const endpoints = [{ address: 'a.org' }, { address: 'b.org' }];
    const registry = registryOf([se({ resolution: 'DNS_ROUND_ROBIN', endpoints })]);
    expect(sockets(endpointsAt(registry, 'x.org'))).toEqual(['a.org:8080/http', 'a.org:9/tcp']);
    expect(codes(registry)).toEqual(['MEL0111']);
  });

  it('of merged objects are concatenated, oldest first', () => {
    const make = (name: string, created: number, address: string) =>
      serviceEntry(
        name,
        { hosts: ['x.org'], ports: PORTS, resolution: 'STATIC', endpoints: [{ address }] },
        { created },
      );
    const registry = registryOf([make('b', 2, '10.0.0.2'), make('a', 3, '10.0.0.3'), make('c', 1, '10.0.0.1')]);
    const http = endpointsAt(registry, 'x.org').filter((each) => each.portName === 'http');
    expect(http.map((each) => each.address)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  });
});

describe('the host itself', () => {
  it.each([
    ['DNS', ['x.org:8080/http', 'x.org:9/tcp']],
    ['DNS_ROUND_ROBIN', ['x.org:8080/http', 'x.org:9/tcp']],
    ['STATIC', []],
    ['NONE', []],
    ['DYNAMIC_DNS', []],
  ] as const)('with %s: %j', (resolution, expected) => {
    expect(sockets(built({ resolution }))).toEqual(expected);
  });

  it('has neither mTLS nor network', () => {
    const registry = registryOf([se({ resolution: 'DNS' })], {
      networks: { n: { endpoints: [{ fromRegistry: 'Kubernetes' }] } },
    });
    expect(endpointsAt(registry, 'x.org')[0]).toMatchObject({ tlsMode: 'disabled', network: '', workloadName: 'x' });
  });

  it('is not used when workloads are selected', () => {
    expect(built({ resolution: 'DNS', workloadSelector: { labels: { a: 'b' } } })).toEqual([]);
  });
});

describe('selected workloads', () => {
  const labels = { app: 'legacy' };
  const spec: ServiceEntrySpec = {
    resolution: 'STATIC',
    workloadSelector: { labels },
    endpoints: [{ address: '10.99.0.1' }],
  };

  it('are Pods, then WorkloadEntries, of the namespace; endpoints are ignored', () => {
    const registry = registryOf([
      se(spec),
      workloadEntry('a', { address: '10.5.0.1', labels, ports: { http: 8888 }, weight: 5, serviceAccount: 'vm' }),
      workloadEntry('b', { address: '10.0.0.1', labels }),
      workloadEntry('c', { address: '10.5.0.3', labels }, { namespace: 'other' }),
      workloadEntry('d', { address: 'vm.example.org', labels }),
      pod('p', { ip: '10.0.0.1', labels, serviceAccount: 'app' }),
      pod('unready', { ip: '10.0.0.2', labels, ready: false }),
      pod('done', { ip: '10.0.0.3', labels, phase: 'Succeeded' }),
      pod('elsewhere', { ip: '10.0.0.4', labels, namespace: 'other' }),
    ]);
    const http = endpointsAt(registry, 'x.org').filter((each) => each.portName === 'http');
    expect(http.map((each) => [each.address, each.port, each.health, each.weight, each.workloadName])).toEqual([
      ['10.0.0.1', 8080, 'HEALTHY', 0, 'p'],
      ['10.5.0.1', 8888, 'UNKNOWN', 5, 'a'],
    ]);
    expect(groupAt(registry, 'x.org').identities).toEqual([
      'spiffe://cluster.local/ns/default/sa/app',
      'spiffe://cluster.local/ns/default/sa/vm',
    ]);
    expect(registry.findings).toMatchObject([{ code: 'MEL0101', ref: { kind: 'WorkloadEntry', name: 'd' } }]);
  });

  it('may be names for DNS', () => {
    const registry = registryOf([
      se({ ...spec, resolution: 'DNS' }),
      workloadEntry('d', { address: 'vm.example.org', labels }),
    ]);
    expect(sockets(endpointsAt(registry, 'x.org'))).toEqual(['vm.example.org:8080/http', 'vm.example.org:9/tcp']);
  });

  it('are nobody for an empty selector', () => {
    const registry = registryOf([
      se({ ...spec, workloadSelector: { labels: {} } }),
      pod('p', { ip: '10.0.0.1', labels }),
    ]);
    expect(endpointsAt(registry, 'x.org')).toEqual([]);
  });

  it('bear the name of the group that registered them', () => {
    const annotations = { 'istio.io/autoRegistrationGroup': 'ratings' };
    const registry = registryOf([
      se(spec),
      workloadEntry('ratings-10.0.0.9', { address: '10.0.0.9', labels }, { annotations }),
    ]);
    expect(endpointsAt(registry, 'x.org')[0]?.workloadName).toBe('ratings');
  });
});
