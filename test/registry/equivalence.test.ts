import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ConfigObject } from '../../src/config/object.ts';
import { deepEqual } from '../../src/lib/equal.ts';
import { tableEntries, tableGet } from '../../src/lib/table.ts';
import type { RegistryOptions } from '../../src/registry/input.ts';
import { buildRegistry, type Registry } from '../../src/registry/registry.ts';
import { serviceTargets } from '../../src/registry/service-targets.ts';
import {
  endpointSlice,
  namespace,
  node,
  pod,
  service,
  serviceEntry,
  type TestTables,
  tables,
  workloadEntry,
} from '../support/builders.ts';
import { contentOf, OPTIONS, proxy } from './support.ts';

// A small world in which everything meets everything: few names, few addresses, few labels.
const name = fc.constantFrom('a', 'b', 'c');
const ns = fc.constantFrom('x', 'y');
const ip = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.1.0.1', 'fd00::1');
const labels = fc.dictionary(fc.constantFrom('app', 'v'), fc.constantFrom('1', '2'), { maxKeys: 2 });
const created = fc.constantFrom(0, 1, 2);
const hosts = fc.uniqueArray(
  fc.constantFrom('h.org', '*.org', 'a.x.svc.cluster.local', 'b.y.svc.cluster.local', 'out.org'),
  { minLength: 1, maxLength: 2 },
);
const ports = fc.uniqueArray(fc.constantFrom('http:80:8080', 'tcp:90', 'grpc:91:named', 'dns:53/UDP'), {
  maxLength: 3,
});
const entryPorts = fc.uniqueArray(
  fc.constantFrom(
    { number: 80, name: 'http', protocol: 'HTTP' },
    { number: 80, name: 'web', protocol: 'HTTP' },
    { number: 90, name: 'tcp', protocol: 'TCP', targetPort: 91 },
  ),
  { maxLength: 2 },
);

const OBJECTS: fc.Arbitrary<ConfigObject> = fc.oneof(
  fc
    .record({
      name,
      namespace: ns,
      labels,
      created,
      ports,
      selector: fc.option(labels, { nil: undefined }),
      kind: fc.constantFrom('ip', 'headless', 'alias'),
      target: hosts,
      annotations: fc.constantFrom({}, { 'networking.istio.io/exportTo': '.' }),
      network: fc.boolean(),
    })
    .map(({ kind, target, selector, network, ...rest }) =>
      service(rest.name, {
        ...rest,
        ...(selector === undefined ? {} : { selector }),
        labels: network ? { ...rest.labels, 'topology.istio.io/network': 'n' } : rest.labels,
        externalIPs: network ? ['9.9.9.9'] : [],
        clusterIPs: kind === 'headless' ? ['None'] : kind === 'alias' ? [] : ['10.96.0.1'],
        ...(kind === 'alias' ? { type: 'ExternalName', externalName: target[0] ?? '' } : {}),
      }),
    ),
  fc
    .record({ name, namespace: ns, ip, labels, ready: fc.boolean(), node: name, hostNetwork: fc.boolean() })
    .map((options) => pod(options.name, { ...options, ports: ['named:7777'] })),
  fc
    .record({
      name,
      namespace: ns,
      service: name,
      ips: fc.uniqueArray(ip, { maxLength: 3 }),
      pods: fc.uniqueArray(name, { maxLength: 2 }),
      ready: fc.boolean(),
    })
    .map(({ ips, pods, service: of, ready, ...meta }) =>
      endpointSlice(
        of,
        [
          ...ips,
          ...pods.map((target) => ({
            addresses: ['10.0.0.1'],
            ready,
            nodeName: 'a',
            targetRef: { kind: 'Pod', namespace: meta.namespace, name: target },
          })),
        ],
        meta,
      ),
    ),
  fc
    .record({
      name,
      namespace: ns,
      labels,
      created,
      hosts,
      resolution: fc.constantFrom('NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'),
      ports: entryPorts,
      addresses: fc.uniqueArray(fc.constantFrom('10.96.0.1', '10.50.0.0/16'), { maxLength: 2 }),
      endpoints: fc.uniqueArray(
        fc.constantFrom({ address: '10.0.0.1' }, { address: 'e.org' }, { address: '10.0.0.2', serviceAccount: 's' }),
        { maxLength: 2 },
      ),
      selector: fc.option(labels, { nil: undefined }),
      status: fc.constantFrom(undefined, '240.240.1.1'),
    })
    .map(({ name: own, namespace: of, labels: l, created: at, status, selector, ...spec }) =>
      serviceEntry(
        own,
        {
          ...spec,
          ...(selector === undefined ? {} : { workloadSelector: { labels: selector } }),
        } as Parameters<typeof serviceEntry>[1],
        { namespace: of, labels: l, created: at },
        status === undefined ? undefined : { addresses: spec.hosts.map((host) => ({ host, value: status })) },
      ),
    ),
  fc
    .record({
      name,
      namespace: ns,
      address: fc.oneof(ip, fc.constant('vm.org')),
      labels,
      checked: fc.boolean(),
      healthy: fc.boolean(),
    })
    .map(({ name: own, namespace: of, address, labels: l, checked, healthy }) =>
      workloadEntry(
        own,
        { address, labels: l, ports: { http: 1234 } },
        { namespace: of, annotations: checked ? { 'proxy.istio.io/health-checks-enabled': 'true' } : {} },
        { conditions: [{ type: 'Healthy', status: healthy ? 'True' : 'False' }] },
      ),
    ),
  fc.record({ name, region: fc.constantFrom('r1', 'r2') }).map(({ name: own, region }) => node(own, { region })),
  fc.record({ name: fc.constantFrom('x', 'y', 'istio-system'), on: fc.boolean() }).map(({ name: own, on }) =>
    namespace(own, {
      annotations: on ? { 'networking.istio.io/traffic-distribution': 'PreferClose' } : {},
      labels: on ? { 'topology.istio.io/network': 'sys' } : {},
    }),
  ),
);

type Step =
  | { readonly kind: 'objects'; readonly put: readonly ConfigObject[]; readonly drop: readonly ConfigObject[] }
  | { readonly kind: 'options'; readonly options: Partial<RegistryOptions> };

const STEPS: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('objects' as const),
        put: fc.array(OBJECTS, { maxLength: 6 }),
        drop: fc.array(OBJECTS, { maxLength: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('options' as const),
        options: fc.constantFrom<Partial<RegistryOptions>>(
          { mode: 'files' },
          { mode: 'kubernetes' },
          { defaultServiceExportTo: ['.'] },
          { autoAllocate: false },
          { networks: { n: { endpoints: [{ fromCidr: '10.0.0.0/16' }], gateways: [{ address: '1.1.1.1' }] } } },
          { serviceSettings: [{ settings: { clusterLocal: true }, hosts: ['*'] }] },
        ),
      }),
    },
  ),
  { minLength: 1, maxLength: 8 },
);

/** Every entry that is equal to the one before is the same object; buckets and tables likewise. */
function expectShared(before: Registry, after: Registry): void {
  for (const of of ['services', 'endpoints'] as const) {
    for (const [host, list] of tableEntries<readonly object[]>(after[of])) {
      const old = tableGet<readonly object[]>(before[of], host);
      if (old === undefined) continue;
      for (const each of list) {
        const same = old.find((other) => deepEqual(plain(other), plain(each)));
        if (same !== undefined) expect(each).toBe(same);
      }
      if (old.length === list.length && old.every((each, i) => each === list[i])) expect(list).toBe(old);
    }
    for (const [i, bucket] of after[of].buckets.entries()) {
      const old = before[of].buckets[i];
      if (
        old !== undefined &&
        old.size === bucket.size &&
        [...bucket].every(([key, value]) => old.get(key) === value)
      ) {
        expect(bucket).toBe(old);
      }
    }
  }
}

/** Maps and sets as lists, so that content is compared. */
function plain(value: object): object {
  return Object.fromEntries(
    Object.entries(value).map(([key, each]): [string, unknown] => [
      key,
      each instanceof Map || each instanceof Set ? [...each] : each,
    ]),
  );
}

const PROXIES = ['10.0.0.1', '10.0.0.2', '10.1.0.1'].flatMap((address) =>
  ['x', 'y'].map((of) => proxy({ addresses: [address], namespace: of, instance: `a.${of}`, labels: { app: '1' } })),
);

it('a registry built step by step equals one built at once, and shares what is equal', () => {
  fc.assert(
    fc.property(fc.array(OBJECTS, { maxLength: 60, size: 'max' }), STEPS, (start, steps) => {
      let input: TestTables = tables().with(...start);
      let options: RegistryOptions = OPTIONS;
      let warm = buildRegistry(undefined, input, options);
      for (const step of steps) {
        if (step.kind === 'options') options = { ...options, ...step.options };
        else input = input.without(...step.drop).with(...step.put);
        const next = buildRegistry(warm, input, options);
        expectShared(warm, next);
        warm = next;
        const cold = buildRegistry(undefined, input, options, warm.vips);
        expect(contentOf(warm)).toEqual(contentOf(cold));
        for (const each of PROXIES) expect(serviceTargets(warm, each)).toEqual(serviceTargets(cold, each));
      }
    }),
    { numRuns: 300 },
  );
});
