import { describe, expect, it } from 'vitest';
import type { ConfigObject } from '../../src/config/object.ts';
import { tableEntries, tableGet } from '../../src/lib/table.ts';
import type { RegistryOptions } from '../../src/registry/input.ts';
import { buildRegistry, type Registry } from '../../src/registry/registry.ts';
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
import { endpointsAt, groupAt, OPTIONS, serviceAt } from './support.ts';

const COUNT = 40;
const host = (i: number): string => `s${i}.ns${i % 4}.svc.cluster.local`;
const labelsOf = (i: number): Record<string, string> => ({ app: `s${i}` });
const podOf = (i: number, more: object = {}) =>
  pod(`p${i}`, { namespace: `ns${i % 4}`, ip: `10.0.0.${i}`, node: `n${i % 3}`, labels: labelsOf(i), ...more });
const sliceOf = (i: number, ...more: string[]) =>
  endpointSlice(`s${i}`, [podOf(i), ...more], { namespace: `ns${i % 4}` });
const serviceOf = (i: number, more: object = {}) =>
  service(`s${i}`, { namespace: `ns${i % 4}`, selector: labelsOf(i), clusterIPs: [`10.96.0.${i}`], ...more });

function mesh(): TestTables {
  const objects: ConfigObject[] = [];
  for (let i = 0; i < COUNT; i++) objects.push(serviceOf(i), podOf(i), sliceOf(i));
  for (let i = 0; i < 3; i++) objects.push(node(`n${i}`, { region: `r${i}` }));
  objects.push(
    serviceEntry('sel', {
      hosts: ['selected.org'],
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      workloadSelector: { labels: { role: 'vm' } },
    }),
  );
  return tables(...objects);
}

interface Changed {
  readonly before: Registry;
  readonly after: Registry;
  /** Hosts whose entry is another object than before. */
  readonly services: string[];
  readonly endpoints: string[];
}

function change(
  apply: (input: TestTables) => TestTables,
  options: Partial<RegistryOptions> = {},
  changedOptions: Partial<RegistryOptions> = {},
): Changed {
  const input = mesh();
  const before = buildRegistry(undefined, input, { ...OPTIONS, ...options });
  const after = buildRegistry(before, apply(input), { ...OPTIONS, ...options, ...changedOptions });
  const differing = (of: (registry: Registry) => Registry['services'] | Registry['endpoints']): string[] => {
    const hosts = new Set([...tableEntries<unknown>(of(before)), ...tableEntries<unknown>(of(after))].map((e) => e[0]));
    return [...hosts].filter((h) => tableGet<unknown>(of(before), h) !== tableGet<unknown>(of(after), h)).sort();
  };
  return { before, after, services: differing((r) => r.services), endpoints: differing((r) => r.endpoints) };
}

describe('nothing changed', () => {
  it('is the same registry', () => {
    const { before, after } = change((input) => input);
    expect(after).toBe(before);
  });

  it('is the same registry for equal settings in new objects', () => {
    const { before, after } = change(
      (input) => input,
      { networks: { n: { endpoints: [{ fromCidr: '10.0.0.0/8' }] } } },
      { networks: { n: { endpoints: [{ fromCidr: '10.0.0.0/8' }] } } },
    );
    expect(after).toBe(before);
  });
});

describe('one change looks at', () => {
  it.each<[string, (input: TestTables) => TestTables, { services: number; endpoints: number }, string[], string[]]>([
    ['a slice', (t) => t.with(sliceOf(5, '10.9.9.9')), { services: 0, endpoints: 1 }, [], [host(5)]],
    ['an equal slice', (t) => t.with(sliceOf(5)), { services: 0, endpoints: 1 }, [], []],
    [
      'labels of a Pod',
      (t) => t.with(podOf(5, { labels: { ...labelsOf(5), x: 'y' } })),
      { services: 0, endpoints: 1 },
      [],
      [host(5)],
    ],
    ['a Pod that no one has', (t) => t.with(podOf(99)), { services: 0, endpoints: 0 }, [], []],
    ['a Pod gone', (t) => t.without(podOf(5)), { services: 0, endpoints: 1 }, [], [host(5)]],
    [
      'a Pod that a ServiceEntry selects',
      (t) => t.with(pod('vm', { ip: '10.8.0.1', labels: { role: 'vm' } })),
      { services: 0, endpoints: 1 },
      [],
      ['selected.org'],
    ],
    [
      'a WorkloadEntry that a ServiceEntry selects',
      (t) => t.with(workloadEntry('vm', { address: '10.8.0.1', labels: { role: 'vm' } })),
      { services: 0, endpoints: 1 },
      [],
      ['selected.org'],
    ],
    [
      'a WorkloadEntry that a Service selects',
      (t) => t.with(workloadEntry('vm', { address: '10.8.0.1', labels: labelsOf(4) }, { namespace: 'ns0' })),
      { services: 0, endpoints: 1 },
      [],
      [host(4)],
    ],
    [
      'a port of a Service',
      (t) => t.with(serviceOf(5, { ports: ['tcp:1'] })),
      { services: 1, endpoints: 1 },
      [host(5)],
      [],
    ],
    ['an equal Service', (t) => t.with(serviceOf(5)), { services: 1, endpoints: 1 }, [], []],
    ['a Service gone', (t) => t.without(serviceOf(5)), { services: 1, endpoints: 1 }, [host(5)], [host(5)]],
    [
      'a new ServiceEntry',
      (t) => t.with(serviceEntry('n', { hosts: ['n.org'], resolution: 'DNS' })),
      { services: 1, endpoints: 1 },
      ['n.org'],
      ['n.org'],
    ],
    [
      'a namespace without a say',
      (t) => t.with(namespace('ns1', { labels: { a: 'b' } })),
      { services: 0, endpoints: 0 },
      [],
      [],
    ],
  ])('%s', (_name, apply, counts, services, endpoints) => {
    const changed = change(apply);
    expect(changed.after.counts).toEqual({ servicesBuilt: counts.services, endpointsBuilt: counts.endpoints });
    expect(changed.services).toEqual(services);
    expect(changed.endpoints).toEqual(endpoints);
    if (services.length === 0) expect(changed.after.services).toBe(changed.before.services);
    if (endpoints.length === 0) expect(changed.after.endpoints).toBe(changed.before.endpoints);
  });

  it('the endpoints on a node whose place changed', () => {
    const { after, services, endpoints } = change((t) => t.with(node('n1', { region: 'elsewhere' })));
    const onNode = Array.from({ length: COUNT }, (_, i) => i).filter((i) => i % 3 === 1);
    expect(services).toEqual([]);
    expect(endpoints).toEqual(onNode.map(host).sort());
    expect(after.counts.endpointsBuilt).toBe(onNode.length);
  });

  it('the services of a namespace whose traffic distribution changed', () => {
    const { after, services, endpoints } = change((t) =>
      t.with(namespace('ns1', { annotations: { 'networking.istio.io/traffic-distribution': 'PreferClose' } })),
    );
    expect(services).toHaveLength(COUNT / 4);
    expect(after.counts.servicesBuilt).toBe(COUNT / 4);
    expect(endpoints).toEqual([]);
  });

  it('the target of an alias', () => {
    const alias = service('a', { type: 'ExternalName', clusterIPs: [], externalName: host(5) });
    const { services, endpoints } = change((t) => t.with(alias));
    expect(services).toEqual(['a.default.svc.cluster.local', host(5)]);
    expect(endpoints).toEqual(['a.default.svc.cluster.local']);
  });

  it('everything once the network of the cluster changed', () => {
    const { after, services } = change((t) =>
      t.with(namespace('istio-system', { labels: { 'topology.istio.io/network': 'n' } })),
    );
    expect(services).toEqual([]);
    expect(endpointsAt(after, host(5))[0]?.network).toBe('n');
  });
});

describe('equal parts keep their identity', () => {
  it('endpoints beside a new one, and identities', () => {
    const { before, after } = change((t) => t.with(sliceOf(5, '10.9.9.9')));
    expect(endpointsAt(after, host(5))[0]).toBe(endpointsAt(before, host(5))[0]);
    expect(groupAt(after, host(5)).identities).toBe(groupAt(before, host(5)).identities);
    expect(groupAt(after, host(5)).someWithoutTls).toBe(true);
  });

  it('services whose neighbours in the same bucket changed', () => {
    const { before, after } = change((t) => t.with(serviceOf(5, { ports: ['tcp:1'] })));
    expect(serviceAt(after, host(6))).toBe(serviceAt(before, host(6)));
    const shared = after.services.buckets.filter((bucket, i) => bucket !== before.services.buckets[i]);
    expect(shared).toHaveLength(1);
  });

  it('tables and services when a setting changes that concerns nobody', () => {
    const { before, after } = change((t) => t, {}, { serviceSettings: [{ hosts: ['none.org'] }] });
    expect(after).not.toBe(before);
    expect(after.services).toBe(before.services);
    expect(after.endpoints).toBe(before.endpoints);
    expect(after.findings).toBe(before.findings);
    expect(after.vips).toBe(before.vips);
  });

  it('the workload index while no workload changed', () => {
    const { before, after } = change((t) => t.with(sliceOf(5, '10.9.9.9')));
    expect(after.workloads).toBe(before.workloads);
  });

  it('findings while they are the same', () => {
    const { before, after } = change((t) => t.with(sliceOf(5, '10.9.9.9')));
    expect(after.findings).toBe(before.findings);
  });
});

it('the registry before a change is still what it was', () => {
  const { before } = change((t) => t.without(podOf(5)).with(serviceOf(5, { ports: ['tcp:1'] })));
  expect(endpointsAt(before, host(5))).toHaveLength(1);
  expect(serviceAt(before, host(5)).ports[0]?.name).toBe('http');
});

describe('files', () => {
  const files = { mode: 'files' } as const;
  const bare = () => {
    let input = mesh();
    for (let i = 0; i < COUNT; i++) input = input.without(sliceOf(i));
    return input;
  };

  it('look at the services that select the Pod', () => {
    const input = bare();
    const before = buildRegistry(undefined, input, { ...OPTIONS, ...files });
    expect(endpointsAt(before, host(5))).toHaveLength(1);
    const second = pod('p5b', { namespace: 'ns1', ip: '10.7.0.1', labels: labelsOf(5) });
    const after = buildRegistry(before, input.with(second), { ...OPTIONS, ...files });
    expect(after.counts).toEqual({ servicesBuilt: 0, endpointsBuilt: 1 });
    expect(endpointsAt(after, host(5))).toHaveLength(2);
    const moved = buildRegistry(after, input.with({ ...second, labels: labelsOf(9) }), { ...OPTIONS, ...files });
    expect(moved.counts.endpointsBuilt).toBe(2);
    expect(endpointsAt(moved, host(9))).toHaveLength(2);
  });

  it('leave Pods for slices once there are any', () => {
    const input = bare();
    const before = buildRegistry(undefined, input, { ...OPTIONS, ...files });
    const after = buildRegistry(before, input.with(sliceOf(5, '10.9.9.9')), { ...OPTIONS, ...files });
    expect(endpointsAt(after, host(5)).map((each) => each.address)).toEqual(['10.0.0.5', '10.9.9.9']);
    expect(after.counts.endpointsBuilt).toBe(1);
  });
});
