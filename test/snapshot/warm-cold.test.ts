// After any sequence of changes, what was derived step by step equals what is built from nothing; and a part that came
// out equal is the same object as before.

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import type { Table } from '../../src/lib/table.ts';
import { type Link, type LinkedScope, mayConcern, scopeOf, smallChange } from '../../src/snapshot/index.ts';
import {
  authorizationPolicy,
  destinationRule,
  endpointSlice,
  envoyFilter,
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
  proxy,
  rebuilt,
  type World,
  withObjects,
  withoutObjects,
  world,
} from '../support/snapshot-builders.ts';

const NAMESPACES = ['a', 'b', 'istio-system'] as const;
const namespace = fc.constantFrom(...NAMESPACES);
const name = fc.constantFrom('x', 'y');
const created = fc.constantFrom(0, 1, 2);
const app = fc.constantFrom('x', 'y');
const host = fc.constantFrom(
  'x',
  'y',
  'x.b.svc.cluster.local',
  'e.example.com',
  '*.svc.cluster.local',
  '*.example.com',
  '*',
);
const exportTo = fc.constantFrom<readonly string[] | undefined>(undefined, ['*'], ['.'], ['a'], ['b', '.'], ['~']);
const mode = fc.constantFrom('STRICT' as const, 'PERMISSIVE' as const, 'DISABLE' as const, 'UNSET' as const);
const meta = fc.record({ namespace, created });
const selector = fc.option(
  app.map((value) => ({ app: value })),
  { nil: undefined },
);

const anyService = fc
  .record({
    name,
    meta,
    exportTo,
    ports: fc.constantFrom(['http:80'], ['http:80', 'tcp:9000']),
    ip: fc.constantFrom('10.9.0.1', 'None'),
    app,
  })
  .map((each) =>
    service(each.name, {
      ...each.meta,
      ports: each.ports,
      clusterIPs: [each.ip],
      selector: { app: each.app },
      ...(each.exportTo === undefined
        ? {}
        : { annotations: { 'networking.istio.io/exportTo': each.exportTo.join(',') } }),
    }),
  );

const anyEntry = fc
  .record({
    name,
    meta,
    exportTo,
    port: fc.constantFrom(80, 81),
    host: fc.constantFrom('e.example.com', '*.example.com'),
    addresses: fc.constantFrom(undefined, ['240.0.0.1', '240.0.0.2']),
  })
  .map((each) =>
    serviceEntry(
      `e-${each.name}`,
      {
        hosts: [each.host],
        ports: [{ number: each.port, name: 'http', protocol: 'HTTP' }],
        resolution: each.addresses === undefined ? 'NONE' : 'STATIC',
        ...(each.addresses === undefined ? {} : { addresses: each.addresses }),
        ...(each.exportTo === undefined ? {} : { exportTo: each.exportTo }),
      },
      each.meta,
    ),
  );

const anyVirtualService = fc
  .record({
    name,
    meta,
    exportTo,
    hosts: fc.constantFrom(undefined, ['x'], ['e.example.com'], ['*.example.com', 'y']),
    gateways: fc.constantFrom(undefined, ['x'], ['a/x', 'mesh']),
    delegate: fc.option(fc.record({ name, namespace }), { nil: undefined }),
    to: host,
    port: fc.constantFrom(undefined, 80, 9000),
    sourceLabels: selector,
    prefix: fc.constantFrom('/', '/p', '/p/q'),
  })
  .map((each) => {
    const match = [
      { uri: { prefix: each.prefix }, ...(each.sourceLabels === undefined ? {} : { sourceLabels: each.sourceLabels }) },
    ];
    const destination = { host: each.to, ...(each.port === undefined ? {} : { port: { number: each.port } }) };
    return virtualService(
      each.name,
      {
        ...(each.hosts === undefined ? {} : { hosts: each.hosts }),
        ...(each.gateways === undefined ? {} : { gateways: each.gateways }),
        ...(each.exportTo === undefined ? {} : { exportTo: each.exportTo }),
        http: [each.delegate === undefined ? { match, route: [{ destination }] } : { match, delegate: each.delegate }],
      },
      each.meta,
    );
  });

const anyRule = fc
  .record({ name, meta, exportTo, host, selector, subset: fc.constantFrom('v1', 'v2'), passthrough: fc.boolean() })
  .map((each) =>
    destinationRule(
      each.name,
      {
        host: each.host,
        subsets: [{ name: each.subset }],
        ...(each.passthrough ? { trafficPolicy: { loadBalancer: { simple: 'PASSTHROUGH' } } } : {}),
        ...(each.exportTo === undefined ? {} : { exportTo: each.exportTo }),
        ...(each.selector === undefined ? {} : { workloadSelector: { matchLabels: each.selector } }),
      },
      each.meta,
    ),
  );

const egressHosts = fc.uniqueArray(
  fc.constantFrom(
    './*',
    '*/*',
    'b/*',
    '*/x.b.svc.cluster.local',
    '*/*.example.com',
    '~b/y.b.svc.cluster.local',
    'a/x.a.svc.cluster.local',
  ),
  { minLength: 1, maxLength: 3 },
);
const anySidecar = fc
  .record({
    name,
    meta,
    selector,
    port: fc.constantFrom(undefined, 80, 9000),
    first: egressHosts,
    last: egressHosts,
    ingress: fc.boolean(),
  })
  .map((each) =>
    sidecar(
      each.name,
      {
        ...(each.selector === undefined ? {} : { workloadSelector: { labels: each.selector } }),
        egress: [
          ...(each.port === undefined
            ? []
            : [{ port: { number: each.port, protocol: 'HTTP', name: 'p' }, hosts: each.first }]),
          { hosts: each.last },
        ],
        ...(each.ingress ? { ingress: [{ port: { number: 7000, protocol: 'TCP', name: 't' } }] } : {}),
      },
      each.meta,
    ),
  );

const anyGateway = fc
  .record({
    name,
    meta,
    selector,
    port: fc.constantFrom(80, 443),
    host: fc.constantFrom('*', 'e.example.com'),
    tls: fc.boolean(),
  })
  .map((each) =>
    gateway(
      each.name,
      {
        ...(each.selector === undefined ? {} : { selector: each.selector }),
        servers: [
          {
            port: { number: each.port, protocol: each.tls ? 'HTTPS' : 'HTTP', name: 'p' },
            hosts: [each.host],
            ...(each.tls ? { tls: { mode: 'SIMPLE' as const, credentialName: 'c' } } : {}),
          },
        ],
      },
      each.meta,
    ),
  );

const anyPeerAuthn = fc.record({ name, meta, mode, selector }).map((each) =>
  peerAuthentication(
    each.name,
    {
      mtls: { mode: each.mode },
      ...(each.selector === undefined ? {} : { selector: { matchLabels: each.selector } }),
    },
    each.meta,
  ),
);
const anyPolicy = fc
  .record({ name, meta, selector })
  .map((each) =>
    authorizationPolicy(
      each.name,
      each.selector === undefined ? {} : { selector: { matchLabels: each.selector } },
      each.meta,
    ),
  );
const anyFilter = fc.record({ name, meta, selector, priority: fc.constantFrom(0, 1) }).map((each) =>
  envoyFilter(
    each.name,
    {
      priority: each.priority,
      ...(each.selector === undefined ? {} : { workloadSelector: { labels: each.selector } }),
    },
    each.meta,
  ),
);
const IPS = ['10.2.0.1', '10.2.0.2'] as const;
const anyPod = fc
  .record({ ip: fc.constantFrom(...IPS), app, namespace, injected: fc.boolean() })
  .map((each) =>
    pod(`p-${each.ip}`, { namespace: each.namespace, ip: each.ip, labels: { app: each.app }, injected: each.injected }),
  );
const anySlice = fc
  .record({ name, namespace, ips: fc.subarray([...IPS]) })
  .map((each) => endpointSlice(each.name, each.ips, { namespace: each.namespace, ports: ['http:80', 'tcp:9000'] }));

const anyObject: fc.Arbitrary<ConfigObject> = fc.oneof(
  { weight: 4, arbitrary: anyService },
  { weight: 2, arbitrary: anyEntry },
  { weight: 4, arbitrary: anyVirtualService },
  { weight: 4, arbitrary: anyRule },
  { weight: 3, arbitrary: anySidecar },
  { weight: 2, arbitrary: anyGateway },
  { weight: 1, arbitrary: anyPeerAuthn },
  { weight: 1, arbitrary: anyPolicy },
  { weight: 1, arbitrary: anyFilter },
  { weight: 2, arbitrary: anyPod },
  { weight: 2, arbitrary: anySlice },
);
const change = fc.record({ remove: fc.boolean(), object: anyObject });

const KINDS: readonly Kind[] = [
  'Service',
  'ServiceEntry',
  'VirtualService',
  'DestinationRule',
  'Sidecar',
  'Gateway',
  'PeerAuthentication',
  'AuthorizationPolicy',
  'EnvoyFilter',
  'Pod',
  'EndpointSlice',
];

const PROXIES = [
  proxy({ namespace: 'c' }),
  proxy({ namespace: 'a', labels: { app: 'x' } }),
  proxy({ namespace: 'b', labels: { app: 'y' }, name: 'p-10.2.0.1', ip: '10.2.0.1' }),
  proxy({ namespace: 'istio-system' }),
  proxy({ namespace: 'd' }),
  proxy({ type: 'router', namespace: 'istio-system', labels: { app: 'x' }, name: 'p-10.2.0.2', ip: '10.2.0.2' }),
];

const entries = (table: Table<unknown>) =>
  table.buckets.flatMap((bucket) => [...bucket]).sort((a, b) => (a[0] < b[0] ? -1 : 1));
/** What a scope shows, in a form that can be compared. */
const shown = (scope: LinkedScope) => ({
  class: scope.proxyClass.key,
  services: entries(scope.services),
  endpoints: entries(scope.endpoints),
  ordered: scope.ordered,
  egress: scope.egress,
  virtualServices: scope.virtualServices,
  outboundPolicy: scope.outboundPolicy,
  gateway: scope.gateway && {
    ...scope.gateway,
    routes: [...scope.gateway.routes],
    virtualServices: [...scope.gateway.virtualServices],
  },
  policies: {
    ...scope.policies,
    peerAuthn: { ...scope.policies.peerAuthn, portLevel: [...scope.policies.peerAuthn.portLevel] },
  },
  findings: scope.findings,
  sizes: [scope.services.size, scope.endpoints.size],
});
const shownWorkload = ({ workload }: Link) => ({
  ...workload,
  policies: {
    ...workload.policies,
    peerAuthn: { ...workload.policies.peerAuthn, portLevel: [...workload.policies.peerAuthn.portLevel] },
  },
});

interface Run {
  readonly at: World;
  readonly links: readonly Link[];
  readonly scopes: readonly LinkedScope[];
}

/** Of a namespace that random objects aren't of: what it sees differs little from change to change. */
const NARROW = sidecar('narrow', { egress: [{ hosts: ['b/*'] }] }, { namespace: 'd' });

/** Scopes as the plane makes them: one that a change doesn't concern is not looked at. */
function advance(at: World, before: Run | undefined): Run {
  const links = PROXIES.map((each, n) => linkOf(at, each, before?.links[n]));
  const change = before && smallChange(before.at.snapshot, at.snapshot);
  const scopes = links.map((link, n) => {
    const scope = before?.scopes[n];
    const same = scope !== undefined && change !== undefined && scope.proxyClass === link.proxyClass;
    return same && !mayConcern(change, scope) ? scope : scopeOf(at.snapshot, link.proxyClass, scope);
  });
  return { at, links, scopes };
}

const PARTS = [
  'services',
  'endpoints',
  'ordered',
  'egress',
  'virtualServices',
  'outboundPolicy',
  'gateway',
  'policies',
] as const;

describe('linking step by step', () => {
  it('equals linking from nothing, and keeps what is equal', () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 40, size: 'max' }), (changes) => {
        const interned = new Map<string, ConfigObject>();
        let run = advance(world([NARROW]), undefined);
        for (const { remove, object } of changes) {
          const text = JSON.stringify(object);
          const kept = interned.get(text) ?? object;
          interned.set(text, kept);
          const at = remove ? withoutObjects(run.at, kept) : withObjects(run.at, kept);
          const next = advance(at, run);
          const cold = advance(rebuilt(at, KINDS), undefined);
          next.scopes.forEach((scope, n) => {
            const fresh = cold.scopes[n];
            const before = run.scopes[n];
            if (fresh === undefined || before === undefined) throw new Error('no scope');
            expect(shown(scope)).toEqual(shown(fresh));
            const [warmLink, coldLink] = [next.links[n], cold.links[n]];
            if (warmLink === undefined || coldLink === undefined) throw new Error('no link');
            expect(shownWorkload(warmLink)).toEqual(shownWorkload(coldLink));
            if (before.proxyClass !== scope.proxyClass) return;
            for (const part of PARTS) {
              const same = isDeepStrictEqual(shown(before)[part], shown(scope)[part]);
              if (same) expect(scope[part] === before[part], `${part} is kept`).toBe(true);
            }
            expect(scopeOf(at.snapshot, scope.proxyClass, scope) === scope).toBe(true);
          });
          expect(at.snapshot.findings).toEqual(rebuilt(at, KINDS).snapshot.findings);
          run = next;
        }
      }),
      { numRuns: Number(process.env['SNAPSHOT_RUNS'] ?? 20) },
    );
  }, 900_000);
});
