import { describe, expect, it } from 'vitest';
import { tableGet } from '../../src/lib/table.ts';
import { endpointSlice, pod, service, serviceEntry, sidecar, virtualService } from '../support/builders.ts';
import { named, scopeFor, world } from '../support/snapshot-builders.ts';

const EXPORT_TO = 'networking.istio.io/exportTo';
const route = (host: string, port?: number) => ({
  route: [{ destination: { host, ...(port === undefined ? {} : { port: { number: port } }) } }],
});

describe('services without a Sidecar', () => {
  it.each([
    ['a', ['forb.a.svc.cluster.local:80', 'pub.a.svc.cluster.local:80']],
    ['b', ['forb.a.svc.cluster.local:80', 'pub.a.svc.cluster.local:80']],
    ['c', ['pub.a.svc.cluster.local:80']],
  ])('namespace %s sees what is exported to it', (namespace, expected) => {
    const at = world([
      service('pub', { namespace: 'a' }),
      service('forb', { namespace: 'a', annotations: { [EXPORT_TO]: 'b,.' } }),
      service('hidden', { namespace: 'a', annotations: { [EXPORT_TO]: '~' } }),
    ]);
    expect(named(scopeFor(at, { namespace }).ordered)).toEqual(expected);
  });

  it('takes the default of the mesh where a service says nothing', () => {
    const at = world([service('x', { namespace: 'a' })], { mesh: { defaultServiceExportTo: ['.'] } });
    expect(named(scopeFor(at, { namespace: 'a' }).ordered)).toEqual(['x.a.svc.cluster.local:80']);
    expect(named(scopeFor(at, { namespace: 'b' }).ordered)).toEqual([]);
  });

  const entry = (namespace: string, created: number, port: number, exportTo?: readonly string[]) =>
    serviceEntry(
      `e-${namespace}`,
      {
        hosts: ['x.example.com'],
        ports: [{ number: port, name: 'http', protocol: 'HTTP' }],
        resolution: 'DNS',
        ...(exportTo === undefined ? {} : { exportTo }),
      },
      { namespace, created },
    );

  it.each([
    ['own namespace first', 'b', 82],
    ['the oldest for all others', 'z', 83],
  ])('of one host in several namespaces: %s', (_rule, namespace, port) => {
    const at = world([entry('a', 5, 81), entry('b', 4, 82), entry('c', 3, 83)]);
    expect(named(scopeFor(at, { namespace }).ordered)).toEqual([`x.example.com:${port}`]);
  });

  it('looks up services exported by name before public ones', () => {
    const at = world([entry('a', 1, 81), entry('c', 9, 83, ['z'])]);
    expect(named(scopeFor(at, { namespace: 'z' }).ordered)).toEqual(['x.example.com:83']);
    expect(named(scopeFor(at, { namespace: 'y' }).ordered)).toEqual(['x.example.com:81']);
  });

  it('prefers Kubernetes to ServiceEntries of other namespaces', () => {
    const at = world([
      serviceEntry(
        'fake',
        {
          hosts: ['x.a.svc.cluster.local'],
          ports: [{ number: 99, name: 'http', protocol: 'HTTP' }],
          resolution: 'NONE',
        },
        { namespace: 'b', created: 1 },
      ),
      service('x', { namespace: 'a', created: 9 }),
    ]);
    expect(named(scopeFor(at, { namespace: 'z' }).ordered)).toEqual(['x.a.svc.cluster.local:80']);
    expect(named(scopeFor(at, { namespace: 'b' }).ordered)).toEqual(['x.a.svc.cluster.local:99']);
  });

  it('lists every address of one host to listeners, and one service to clusters', () => {
    const at = world([
      serviceEntry('e', {
        hosts: ['db.example.com'],
        addresses: ['240.1.1.1', '240.1.1.2'],
        ports: [{ number: 5432, name: 'tcp', protocol: 'TCP' }],
        resolution: 'STATIC',
      }),
    ]);
    const scope = scopeFor(at);
    expect(scope.ordered.map((each) => each.service.defaultAddress)).toEqual(['240.1.1.1']);
    expect(scope.egress[0]?.services.map((each) => each.service.defaultAddress)).toEqual(['240.1.1.1', '240.1.1.2']);
  });

  it('orders services by age, then name, then namespace', () => {
    const at = world([
      service('b', { namespace: 'x', created: 1 }),
      service('a', { namespace: 'y', created: 2 }),
      service('a', { namespace: 'x', created: 2 }),
      service('z', { namespace: 'x', created: 0 }),
    ]);
    expect(named(scopeFor(at).ordered)).toEqual([
      'z.x.svc.cluster.local:80',
      'b.x.svc.cluster.local:80',
      'a.x.svc.cluster.local:80',
      'a.y.svc.cluster.local:80',
    ]);
  });
});

describe('egress of a Sidecar', () => {
  const base = [
    service('web', { namespace: 'a', ports: ['http:80', 'tcp:9000'] }),
    service('web', { namespace: 'b', ports: ['http:80', 'tcp:9000'] }),
    service('db', { namespace: 'b', ports: ['tcp:5432'] }),
    service('web', { namespace: 'c', ports: ['http:80', 'tcp:9000'] }),
  ];
  const seen = (hosts: readonly string[], namespace = 'a') => {
    const at = world([...base, sidecar('default', { egress: [{ hosts }] }, { namespace })]);
    return named(scopeFor(at, { namespace }).ordered);
  };

  it.each<[readonly string[], readonly string[]]>([
    [['./*'], ['web.a.svc.cluster.local:80,9000']],
    [['b/db.b.svc.cluster.local'], ['db.b.svc.cluster.local:5432']],
    [['*/*.b.svc.cluster.local'], ['db.b.svc.cluster.local:5432', 'web.b.svc.cluster.local:80,9000']],
    [['b/*', '~b/db.b.svc.cluster.local'], ['web.b.svc.cluster.local:80,9000']],
    [
      ['*/*', '~/*.b.svc.cluster.local'],
      ['web.a.svc.cluster.local:80,9000', 'web.c.svc.cluster.local:80,9000'],
    ],
    [['~/*'], []],
    [['b/web.c.svc.cluster.local'], []],
    [['not-a-host'], []],
  ])('%j imports %j', (hosts, expected) => {
    expect(seen(hosts)).toEqual(expected);
  });

  it('applies to everything when it lists no egress', () => {
    const at = world([...base, sidecar('default', { ingress: [] }, { namespace: 'a' })]);
    expect(scopeFor(at, { namespace: 'a' }).ordered).toHaveLength(4);
  });

  it('chooses by selector, then namespace, then root namespace read with the namespace of the proxy', () => {
    const at = world([
      ...base,
      sidecar('mesh', { egress: [{ hosts: ['./*'] }] }, { namespace: 'istio-system' }),
      sidecar('late', { egress: [{ hosts: ['c/*'] }] }, { namespace: 'a', created: 2 }),
      sidecar('wide', { egress: [{ hosts: ['b/*'] }] }, { namespace: 'a', created: 1 }),
      sidecar(
        'one',
        { workloadSelector: { labels: { app: 'x' } }, egress: [{ hosts: ['~/*'] }] },
        { namespace: 'a', created: 3 },
      ),
    ]);
    expect(named(scopeFor(at, { namespace: 'a', labels: { app: 'x' } }).ordered)).toEqual([]);
    expect(named(scopeFor(at, { namespace: 'a' }).ordered)).toEqual([
      'db.b.svc.cluster.local:5432',
      'web.b.svc.cluster.local:80,9000',
    ]);
    expect(named(scopeFor(at, { namespace: 'c' }).ordered)).toEqual(['web.c.svc.cluster.local:80,9000']);
    expect(scopeFor(at, { type: 'router', namespace: 'c' }).ordered).toHaveLength(4);
  });

  it('trims services to the port of a listener and unites what several listeners import', () => {
    const at = world([
      ...base,
      sidecar(
        'default',
        {
          egress: [
            { hosts: ['c/*'] },
            { port: { number: 80, protocol: 'HTTP', name: 'http' }, hosts: ['*/*'] },
            {
              port: { number: 5432, protocol: 'TCP', name: 'tcp' },
              hosts: ['*/db.b.svc.cluster.local'],
              bind: '127.0.0.2',
            },
            { port: { number: 3128, protocol: 'HTTP_PROXY', name: 'proxy' }, hosts: ['b/*'], captureMode: 'NONE' },
          ],
        },
        { namespace: 'a' },
      ),
    ]);
    const scope = scopeFor(at, { namespace: 'a' });
    expect(scope.egress.map((each) => [each.port?.number, each.bind, each.captureMode, named(each.services)])).toEqual([
      [80, '', 'DEFAULT', ['web.a.svc.cluster.local:80', 'web.b.svc.cluster.local:80', 'web.c.svc.cluster.local:80']],
      [5432, '127.0.0.2', 'DEFAULT', ['db.b.svc.cluster.local:5432']],
      [3128, '', 'NONE', ['db.b.svc.cluster.local:5432', 'web.b.svc.cluster.local:80,9000']],
      [undefined, '', 'DEFAULT', ['web.c.svc.cluster.local:80,9000']],
    ]);
    expect(named(scope.ordered)).toEqual([
      'db.b.svc.cluster.local:5432',
      'web.a.svc.cluster.local:80',
      'web.b.svc.cluster.local:80,9000',
      'web.c.svc.cluster.local:80,9000',
    ]);
  });

  it('adds destinations of its VirtualServices, on the ports that they name', () => {
    const at = world([
      ...base,
      sidecar('default', { egress: [{ hosts: ['./*', '*/*.example.com'] }] }, { namespace: 'a' }),
      virtualService(
        'v',
        { hosts: ['x.example.com'], http: [route('web.b.svc.cluster.local', 80)] },
        { namespace: 'c' },
      ),
      virtualService('w', { hosts: ['y.example.com'], http: [route('web.c.svc.cluster.local')] }, { namespace: 'c' }),
      virtualService('u', { hosts: ['z.other.com'], http: [route('db.b.svc.cluster.local')] }, { namespace: 'c' }),
    ]);
    const scope = scopeFor(at, { namespace: 'a' });
    expect(named(scope.ordered)).toEqual([
      'web.a.svc.cluster.local:80,9000',
      'web.b.svc.cluster.local:80',
      'web.c.svc.cluster.local:80,9000',
    ]);
    expect(named(scope.egress[0]?.services ?? [])).toEqual(['web.a.svc.cluster.local:80,9000']);
    expect(scope.virtualServices.map((each) => each.name)).toEqual(['v', 'w']);
    expect(scope.egress[0]?.virtualServices.map((each) => each.name)).toEqual(['v', 'w']);
  });

  it('does not follow routes that are for sources of other namespaces', () => {
    const at = world([
      ...base,
      sidecar('default', { egress: [{ hosts: ['*/*.example.com'] }] }, { namespace: 'a' }),
      virtualService('v', {
        hosts: ['x.example.com'],
        http: [{ match: [{ sourceNamespace: 'elsewhere' }], ...route('web.b.svc.cluster.local') }],
      }),
    ]);
    expect(named(scopeFor(at, { namespace: 'a' }).ordered)).toEqual([]);
  });

  it('adds a hidden service of the own namespace that a VirtualService leads to', () => {
    const hidden = service('h', { namespace: 'a', annotations: { [EXPORT_TO]: '~' } });
    const leads = virtualService('v', { hosts: ['x.example.com'], http: [route('h')] }, { namespace: 'a' });
    expect(named(scopeFor(world([hidden]), { namespace: 'a' }).ordered)).toEqual([]);
    expect(named(scopeFor(world([hidden, leads]), { namespace: 'a' }).ordered)).toEqual(['h.a.svc.cluster.local:80']);
    expect(named(scopeFor(world([hidden, leads]), { namespace: 'b' }).ordered)).toEqual([]);
  });

  it('replaces the policy of the mesh for unknown destinations', () => {
    const egressProxy = { host: 'gate', port: { number: 8443 }, subset: 's' };
    const policy = (outboundTrafficPolicy: object) =>
      scopeFor(world([sidecar('default', { outboundTrafficPolicy })])).outboundPolicy;
    expect(scopeFor(world([])).outboundPolicy).toEqual({ mode: 'ALLOW_ANY' });
    expect(policy({})).toEqual({ mode: 'REGISTRY_ONLY' });
    expect(policy({ mode: 'ALLOW_ANY', egressProxy })).toEqual({
      mode: 'ALLOW_ANY',
      egressProxy: { host: 'gate.default.svc.cluster.local', port: 8443, subset: 's' },
    });
  });
});

describe('endpoints and inferred mTLS', () => {
  const headless = (injected: boolean) => {
    const one = pod('h-0', { ip: '10.1.0.1', labels: { app: 'h' }, injected });
    return [
      service('h', { clusterIPs: ['None'], selector: { app: 'h' }, ports: ['tcp:9000'] }),
      one,
      endpointSlice('h', [one], { ports: ['tcp:9000'] }),
    ];
  };
  const mode = (objects: Parameters<typeof world>[0]) =>
    tableGet(scopeFor(world(objects)).services, 'h.default.svc.cluster.local')?.mtls;

  it('is off for headless services unless every endpoint takes it', () => {
    expect(mode(headless(true))).toBe('PERMISSIVE');
    expect(mode(headless(false))).toBe('DISABLE');
    expect(mode([service('h', { clusterIPs: ['None'], ports: ['tcp:9000'] })])).toBe('DISABLE');
  });

  it('is unknown outside of the mesh', () => {
    const at = world([
      serviceEntry('e', {
        hosts: ['x.example.com'],
        location: 'MESH_EXTERNAL',
        ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
        resolution: 'DNS',
      }),
    ]);
    expect(tableGet(scopeFor(at).services, 'x.example.com')?.mtls).toBeUndefined();
  });

  it('gives the endpoints of the service that was chosen', () => {
    const entry = (namespace: string, address: string) =>
      serviceEntry(
        'e',
        {
          hosts: ['x.example.com'],
          ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
          resolution: 'STATIC',
          endpoints: [{ address }],
        },
        { namespace },
      );
    const at = world([entry('a', '10.7.0.1'), entry('b', '10.7.0.2')]);
    const addresses = (namespace: string) =>
      tableGet(scopeFor(at, { namespace }).endpoints, 'x.example.com')?.endpoints.map((each) => each.address);
    expect(addresses('b')).toEqual(['10.7.0.2']);
    expect(addresses('z')).toEqual(['10.7.0.1']);
  });
});
