import { describe, expect, it } from 'vitest';
import type { ServiceEntrySpec } from '../../src/config/generated/types.ts';
import { unitedService } from '../../src/registry/host-services.ts';
import { buildRegistry } from '../../src/registry/registry.ts';
import { namespace, service, serviceEntry, tables } from '../support/builders.ts';
import { codes, endpointsAt, OPTIONS, registryOf, serviceAt, servicesAt, sockets } from './support.ts';

const HTTP = { number: 80, name: 'http', protocol: 'HTTP' };
const TCP = { number: 7000, name: 'tcp', protocol: 'TCP' };

function entry(spec: ServiceEntrySpec) {
  return { hosts: ['x.example.com'], ports: [HTTP], ...spec };
}

describe('ServiceEntries', () => {
  it.each([
    [{}, { resolution: 'Passthrough', meshExternal: true }],
    [{ resolution: 'NONE' }, { resolution: 'Passthrough' }],
    [
      { resolution: 'STATIC', location: 'MESH_INTERNAL' },
      { resolution: 'ClientSideLB', meshExternal: false },
    ],
    [{ resolution: 'DNS' }, { resolution: 'DNSLB' }],
    [{ resolution: 'DNS_ROUND_ROBIN' }, { resolution: 'DNSRoundRobinLB' }],
    [{ resolution: 'DYNAMIC_DNS' }, { resolution: 'DynamicDNS' }],
    [{ subjectAltNames: ['a', 'b', 'a'] }, { subjectAltNames: ['a', 'b'] }],
    [{ workloadSelector: { labels: { a: 'b' } } }, { selectsWorkloads: true, selector: { a: 'b' } }],
    [{ exportTo: ['.'] }, { exportTo: new Set(['default']) }],
  ] as [ServiceEntrySpec, object][])('%j is %j', (spec, expected) => {
    const built = serviceAt(registryOf([serviceEntry('x', entry(spec))]), 'x.example.com');
    expect(built).toMatchObject({ name: 'x.example.com', registry: 'External', headless: false, ...expected });
  });

  it.each([
    ['HTTP', 'HTTP'],
    ['http2', 'HTTP2'],
    ['GRPC-Web', 'GRPC-Web'],
    ['TLS', 'TLS'],
    ['MONGO', 'Mongo'],
    ['', 'AUTO'],
    ['WHAT', 'AUTO'],
  ])('port protocol %s is %s', (written, protocol) => {
    const ports = [{ number: 80, name: 'p', protocol: written, targetPort: 8080 }];
    const built = serviceAt(registryOf([serviceEntry('x', entry({ ports }))]), 'x.example.com');
    expect(built.ports).toEqual([{ name: 'p', number: 80, protocol, targetPort: 8080 }]);
  });

  it('makes one service for each host and address', () => {
    const registry = registryOf([
      serviceEntry(
        'x',
        entry({ hosts: ['a.org', 'b.org'], addresses: ['10.1.0.0/16', '10.2.0.1/32', 'fd00::1', 'nonsense'] }),
      ),
    ]);
    expect(servicesAt(registry, 'a.org').map((each) => each.defaultAddress)).toEqual([
      '10.1.0.0/16',
      '10.2.0.1',
      'fd00::1',
    ]);
    expect(servicesAt(registry, 'b.org')).toHaveLength(3);
    expect(codes(registry)).toContain('MEL0107');
  });

  it('merges objects that differ in ports only', () => {
    const registry = registryOf([
      serviceEntry('new', entry({ ports: [TCP, { ...HTTP, name: 'web' }], resolution: 'DNS' }), { created: 5 }),
      serviceEntry('old', entry({ resolution: 'DNS' }), { created: 1 }),
    ]);
    const [merged, ...more] = servicesAt(registry, 'x.example.com');
    expect(more).toEqual([]);
    expect(merged?.ports.map((port) => port.name)).toEqual(['http', 'tcp']);
    expect(merged?.created).toBe(1);
    expect(merged?.refs.map((ref) => ref.name)).toEqual(['old', 'new']);
    expect(codes(registry)).toEqual(['MEL0105']);
    // A port that bears another name in the newer object serves under the name that is in force.
    expect(sockets(endpointsAt(registry, 'x.example.com'))).toEqual([
      'x.example.com:80/http',
      'x.example.com:7000/tcp',
    ]);
  });

  it.each([
    ['resolution', { resolution: 'NONE' }, {}],
    ['labels', {}, { labels: { a: 'b' } }],
    ['exportTo', { exportTo: ['.'] }, {}],
    ['workloadSelector', { workloadSelector: { labels: { a: 'b' } } }, {}],
  ] as [string, ServiceEntrySpec, object][])('ignores a newer object with another %s', (_what, spec, meta) => {
    const registry = registryOf([
      serviceEntry('old', entry({ resolution: 'STATIC' }), { created: 1 }),
      serviceEntry('new', entry({ resolution: 'STATIC', ports: [TCP], ...spec }), { created: 2, ...meta }),
    ]);
    expect(serviceAt(registry, 'x.example.com').ports.map((port) => port.number)).toEqual([80]);
    expect(registry.findings).toMatchObject([{ code: 'MEL0104', ref: { name: 'new' } }]);
  });

  it('unites the ports of several addresses', () => {
    const registry = registryOf([
      serviceEntry('a', entry({ addresses: ['10.0.0.1'] }), { created: 1 }),
      serviceEntry('b', entry({ addresses: ['10.0.0.2'], ports: [TCP] }), { created: 2 }),
    ]);
    const list = servicesAt(registry, 'x.example.com');
    expect(list.map((each) => [each.defaultAddress, each.ports.length])).toEqual([
      ['10.0.0.1', 1],
      ['10.0.0.2', 1],
    ]);
    expect(unitedService(list, 'default')?.ports.map((port) => port.number)).toEqual([80, 7000]);
    expect(unitedService(list, 'default')).toBe(unitedService(list, 'default'));
    expect(unitedService(list, 'other')).toBeUndefined();
  });

  it('keeps hosts of several namespaces apart, oldest first', () => {
    const registry = registryOf([
      serviceEntry('x', entry({}), { namespace: 'a', created: 2 }),
      serviceEntry('x', entry({}), { namespace: 'b', created: 1 }),
      serviceEntry('x', entry({}), { namespace: 'c', created: 2 }),
    ]);
    expect(servicesAt(registry, 'x.example.com').map((each) => each.namespace)).toEqual(['b', 'a', 'c']);
  });

  it('yields to a Kubernetes Service of its namespace, adding its endpoints', () => {
    const host = 'web.default.svc.cluster.local';
    const spec = entry({ hosts: [host], resolution: 'STATIC', endpoints: [{ address: '10.9.9.9' }] });
    const registry = registryOf([
      serviceEntry('squat', spec, { created: 0 }),
      serviceEntry('far', spec, { namespace: 'other' }),
      service('web', { created: 9 }),
    ]);
    expect(servicesAt(registry, host).map((each) => [each.namespace, each.registry])).toEqual([
      ['other', 'External'],
      ['default', 'Kubernetes'],
    ]);
    expect(registry.findings).toMatchObject([{ code: 'MEL0103', ref: { name: 'squat' } }]);
  });

  it('tells of hosts that claim one address', () => {
    const registry = registryOf([
      serviceEntry('a', entry({ hosts: ['a.org'], addresses: ['10.0.0.1'], ports: [TCP, HTTP] }), { created: 1 }),
      serviceEntry('b', entry({ hosts: ['b.org'], addresses: ['10.0.0.1'], ports: [TCP, HTTP] }), { created: 2 }),
    ]);
    expect(registry.findings).toMatchObject([
      { code: 'MEL0106', ref: { name: 'b' }, message: '10.0.0.1:7000 of host b.org is that of a.org already' },
    ]);
  });

  it('tells of wildcard hosts that DNS can not resolve', () => {
    const registry = registryOf([serviceEntry('x', entry({ hosts: ['*.org'], resolution: 'DNS' }))]);
    expect(codes(registry)).toEqual(['MEL0112']);
    expect(endpointsAt(registry, '*.org')).toEqual([]);
  });
});

describe('serviceEntryVisibility of the mesh', () => {
  const limits = {
    applyToSidecars: true,
    defaultVisibility: 'NAMESPACE',
    policies: [
      {
        visibility: 'PUBLIC',
        matchingRules: [{ namespaceSelector: { matchLabels: { tier: 'shared' } } }],
      },
      {
        visibility: 'NONE',
        matchingRules: [
          { namespaceSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['secret', 'lab'] }] } },
          { namespaceSelector: { matchLabels: { locked: 'yes' } } },
        ],
      },
    ],
  } as const;
  const exported = (labels: Record<string, string>, exportTo?: readonly string[], entryVisibility: object = limits) =>
    serviceAt(
      registryOf(
        [
          namespace('team', { labels }),
          serviceEntry('x', entry({ ...(exportTo && { exportTo }) }), { namespace: 'team' }),
        ],
        { entryVisibility },
      ),
      'x.example.com',
    ).exportTo;

  it.each([
    [{}, undefined, new Set(['team'])],
    [{}, ['other', 'team'], new Set(['team'])],
    [{}, ['other'], new Set()],
    [{}, ['~'], new Set()],
    [{ tier: 'shared' }, undefined, '*'],
    [{ tier: 'shared' }, ['other'], new Set(['other'])],
    [{ tier: 'lab', locked: 'yes' }, undefined, new Set()],
    [{ tier: 'lab' }, undefined, new Set(['team'])],
  ])('for a namespace with %j and exportTo %j', (labels, exportTo, expected) => {
    expect(exported(labels, exportTo)).toEqual(expected);
  });

  it('is of no effect on sidecars unless it is told to be, and never on Kubernetes Services', () => {
    expect(exported({}, undefined, { ...limits, applyToSidecars: false })).toBe('*');
    const web = registryOf([service('web')], { entryVisibility: limits });
    expect(serviceAt(web, 'web.default.svc.cluster.local').exportTo).toBe('*');
  });

  it('follows the labels of a namespace', () => {
    const x = serviceEntry('x', entry({}), { namespace: 'team' });
    const options = { ...OPTIONS, entryVisibility: limits };
    const before = buildRegistry(undefined, tables(namespace('team', {}), x), options);
    const after = buildRegistry(before, tables(namespace('team', { labels: { tier: 'shared' } }), x), options);
    expect([serviceAt(before, 'x.example.com').exportTo, serviceAt(after, 'x.example.com').exportTo]).toEqual([
      new Set(['team']),
      '*',
    ]);
  });
});
