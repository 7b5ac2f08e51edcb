// What one change costs and what it leaves alone: members of a scope are inputs of every renderer behind it.

import { describe, expect, it } from 'vitest';
import type { ConfigObject } from '../../src/config/object.ts';
import type { Scope } from '../../src/ir/snapshot.ts';
import { tableDiff } from '../../src/lib/table.ts';
import { scopeOf } from '../../src/snapshot/index.ts';
import {
  authorizationPolicy,
  destinationRule,
  endpointSlice,
  gateway,
  peerAuthentication,
  pod,
  service,
  serviceEntry,
  sidecar,
  virtualService,
} from '../support/builders.ts';
import {
  linkOf,
  type ProxyOptions,
  proxy,
  type World,
  withMesh,
  withObjects,
  withoutObjects,
  world,
} from '../support/snapshot-builders.ts';

const NAMES = Array.from({ length: 40 }, (_, n) => `s${n}`);
const instance = (name: string, ip: string) => pod(`${name}-${ip}`, { namespace: 'a', ip, labels: { app: name } });
const slice = (name: string, ...ips: readonly string[]) =>
  endpointSlice(
    name,
    ips.map((ip) => instance(name, ip)),
    { namespace: 'a' },
  );
const route = { route: [{ destination: { host: 's1' } }] };
const base: readonly ConfigObject[] = [
  ...NAMES.flatMap((name, n) => {
    const one = instance(name, `10.2.0.${n}`);
    return [
      service(name, { namespace: 'a', selector: { app: name }, created: n }),
      one,
      endpointSlice(name, [one], { namespace: 'a' }),
    ];
  }),
  service('h', { namespace: 'a', clusterIPs: ['None'], ports: ['tcp:9000'] }),
  virtualService('v', { hosts: ['s1'], http: [route] }, { namespace: 'a' }),
  destinationRule('d', { host: 's2' }, { namespace: 'a' }),
  gateway('g', {
    selector: { istio: 'in' },
    servers: [{ port: { number: 80, protocol: 'HTTP', name: 'http' }, hosts: ['*'] }],
  }),
  sidecar('lean', { egress: [{ hosts: ['a/*'] }] }, { namespace: 'lean' }),
  sidecar(
    'split',
    { egress: [{ port: { number: 80, protocol: 'HTTP', name: 'http' }, hosts: ['*/*'] }, { hosts: ['a/*'] }] },
    { namespace: 'split' },
  ),
];

const CLASSES: readonly (readonly [string, ProxyOptions])[] = [
  ['a client', { namespace: 'client' }],
  ['a client with a Sidecar', { namespace: 'lean' }],
  ['a client with listeners of its own', { namespace: 'split' }],
  ['a router', { type: 'router', namespace: 'istio-system', labels: { istio: 'in' } }],
];

const step = (options: ProxyOptions, change: (before: World) => World, start: readonly ConfigObject[] = base) => {
  const before = world(start);
  const from = scopeOf(before.snapshot, linkOf(before, proxy(options)).proxyClass, undefined);
  const after = change(before);
  const to = scopeOf(after.snapshot, from.proxyClass, from);
  return { from, to };
};
const MEMBERS = [
  'mesh',
  'networks',
  'peerAuthn',
  'services',
  'endpoints',
  'ordered',
  'egress',
  'virtualServices',
  'outboundPolicy',
  'gateway',
  'policies',
] as const satisfies readonly (keyof Scope)[];
const changed = (from: Scope, to: Scope) => MEMBERS.filter((member) => from[member] !== to[member]);
const hosts = <V>(from: Scope, to: Scope, table: (scope: Scope) => Parameters<typeof tableDiff<V>>[0]) =>
  [...tableDiff(table(from), table(to))].map(([host]) => host).sort();

describe.each(CLASSES)('for %s', (_name, options) => {
  const isRouter = options.type === 'router';

  it('no change gives the same snapshot', () => {
    const before = world(base);
    expect(withObjects(before, ...base.slice(0, 1)).snapshot === before.snapshot).toBe(true);
  });

  it('a change that it does not see gives the same scope', () => {
    const { from, to } = step(options, (at) =>
      withObjects(
        at,
        authorizationPolicy('p', {}, { namespace: 'far' }),
        sidecar('s', {}, { namespace: 'far' }),
        virtualService('w', { hosts: ['x'], exportTo: ['.'] }, { namespace: 'far' }),
        destinationRule('e', { host: 's1.a.svc.cluster.local', exportTo: ['.'] }, { namespace: 'far' }),
        service('x', { namespace: 'far', annotations: { 'networking.istio.io/exportTo': '.' } }),
      ),
    );
    expect(to === from).toBe(true);
  });

  it('an endpoint changes endpoints of one host', () => {
    const { from, to } = step(options, (at) => withObjects(at, instance('s3', '10.3.0.1'), slice('s3', '10.3.0.1')));
    expect(changed(from, to)).toEqual(['endpoints']);
    expect(hosts(from, to, (scope) => scope.endpoints)).toEqual(['s3.a.svc.cluster.local']);
  });

  it('the first endpoint of a headless service settles its mTLS', () => {
    const first = instance('h', '10.4.0.1');
    const { from, to } = step(options, (at) =>
      withObjects(at, first, endpointSlice('h', [first], { namespace: 'a', ports: ['tcp:9000'] })),
    );
    expect(hosts(from, to, (scope) => scope.services)).toEqual(['h.a.svc.cluster.local']);
  });

  it('a service changes one entry', () => {
    const { from, to } = step(options, (at) =>
      withObjects(
        at,
        service('s3', { namespace: 'a', selector: { app: 's3' }, created: 3, ports: ['http:80', 'tcp:1'] }),
      ),
    );
    expect(changed(from, to).filter((member) => member !== 'endpoints')).toEqual(['services', 'ordered', 'egress']);
    expect(hosts(from, to, (scope) => scope.services)).toEqual(['s3.a.svc.cluster.local']);
    expect(to.ordered.filter((each) => !from.ordered.includes(each))).toHaveLength(1);
    expect(to.ordered.map((each) => each.service.hostname)).toEqual(from.ordered.map((each) => each.service.hostname));
  });

  it('a VirtualService leaves services alone', () => {
    const { from, to } = step(options, (at) =>
      withObjects(at, virtualService('v', { hosts: ['s1'], http: [{ timeout: '1s', ...route }] }, { namespace: 'a' })),
    );
    expect(changed(from, to)).toEqual(isRouter ? [] : ['egress', 'virtualServices']);
  });

  it('a DestinationRule changes the service that it is for', () => {
    const { from, to } = step(options, (at) =>
      withObjects(at, destinationRule('d', { host: 's5', subsets: [{ name: 'x' }] }, { namespace: 'a' })),
    );
    expect(hosts(from, to, (scope) => scope.services)).toEqual(['s2.a.svc.cluster.local', 's5.a.svc.cluster.local']);
    expect(changed(from, to)).toEqual(['services', 'ordered', 'egress']);
  });

  it('a wildcard rule changes services that have no rule of their own, and its end brings the old ones back', () => {
    const wild = destinationRule('w', { host: '*' }, { namespace: 'a' });
    const { from, to } = step(options, (at) => withObjects(at, wild));
    expect(hosts(from, to, (scope) => scope.services)).toHaveLength(NAMES.length);
    const back = step(options, (at) => withoutObjects(withObjects(at, wild), wild));
    expect(back.to === back.from).toBe(true);
  });

  it('an unrelated setting of the mesh changes the mesh alone', () => {
    const { from, to } = step(options, (at) => withMesh(at, { accessLogFile: '/dev/stdout' }));
    expect(changed(from, to)).toEqual(['mesh']);
  });

  it('a PeerAuthentication of the mesh changes modes', () => {
    const { from, to } = step(options, (at) =>
      withObjects(at, peerAuthentication('p', { mtls: { mode: 'STRICT' } }, { namespace: 'istio-system' })),
    );
    expect(to.ordered.filter((each) => each.mtls === 'STRICT')).toHaveLength(NAMES.length);
    expect(changed(from, to)).toContain('peerAuthn');
  });
});

describe('for a router', () => {
  const router = CLASSES[3]?.[1] ?? {};
  const bound = (timeout: string) =>
    virtualService(
      'b',
      { hosts: ['x.com'], gateways: ['default/g'], http: [{ timeout, ...route }] },
      { namespace: 'a' },
    );

  it('a VirtualService of its Gateway changes the Gateway, not its servers', () => {
    const { from, to } = step(router, (at) => withObjects(at, bound('2s')), [...base, bound('1s')]);
    expect(changed(from, to)).toEqual(['virtualServices', 'gateway']);
    expect(to.gateway?.ports).toBe(from.gateway?.ports);
    expect(to.gateway?.routes).toBe(from.gateway?.routes);
  });

  it('a Gateway of others changes nothing', () => {
    const { from, to } = step(router, (at) =>
      withObjects(at, gateway('o', { selector: { istio: 'out' }, servers: [] }, { namespace: 'far' })),
    );
    expect(to === from).toBe(true);
  });
});

describe('clients without anything of their own', () => {
  it('share tables and lists, from whichever namespace', () => {
    const at = world(base);
    const [one, two] = ['client', 'other'].map((namespace) =>
      scopeOf(at.snapshot, linkOf(at, proxy({ namespace })).proxyClass, undefined),
    );
    expect(two?.services === one?.services).toBe(true);
    expect(two?.endpoints === one?.endpoints).toBe(true);
    expect(two?.ordered === one?.ordered).toBe(true);
  });

  it('share every bucket but those of their own rules', () => {
    const at = world([
      ...base,
      destinationRule('mine', { host: 's7.a.svc.cluster.local' }, { namespace: 'other' }),
      serviceEntry(
        'own',
        {
          hosts: ['x.com'],
          ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
          resolution: 'DNS',
          exportTo: ['.'],
        },
        { namespace: 'other' },
      ),
    ]);
    const [one, two] = ['client', 'other'].map((namespace) =>
      scopeOf(at.snapshot, linkOf(at, proxy({ namespace })).proxyClass, undefined),
    );
    if (one === undefined || two === undefined) throw new Error('no scope');
    expect(hosts(one, two, (scope) => scope.services)).toEqual(['s7.a.svc.cluster.local', 'x.com']);
    const differing = two.services.buckets.filter((bucket, index) => bucket !== one.services.buckets[index]);
    expect(differing).toHaveLength(2);
  });
});
