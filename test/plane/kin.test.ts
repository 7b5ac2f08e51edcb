// Classes that are new start from others: each proxy has what it would have if there were no other, byte for byte, whoever
// came first; and a namespace more costs what it has of its own.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOf, type MeshShape, meshManifests, proxyNode, serviceManifests } from '../../bench/mesh.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { refKey } from '../../src/config/object.ts';
import { viewResources } from '../../src/resources/view.ts';
import { SETTLED } from '../../src/translate/routes/settle.ts';
import { RENDER_COUNTS } from '../../src/translate/counts.ts';
import { Lab, objectsOf } from './lab.ts';
import { SHAPE, type Step, steps } from './mesh-steps.ts';

const index = fc.nat(SHAPE.services - 1);
const namespace = fc.nat(SHAPE.namespaces - 1).map((i) => `ns-${i}`);

function object(apiVersion: string, kind: string, at: string, name: string, spec: object, annotations = {}): unknown {
  return { apiVersion, kind, metadata: { name, namespace: at, annotations }, spec };
}

const routesTo = (host: string): object => ({ route: [{ destination: { host } }] });

/** What namespaces see differently. */
const ofNamespaces: fc.Arbitrary<unknown> = fc.oneof(
  // For clients of one namespace, or with some labels.
  fc.tuple(index, namespace, namespace).map(([i, at, source]) =>
    object('networking.istio.io/v1', 'VirtualService', at, `from-${i}`, {
      hosts: [hostOf(SHAPE, i)],
      http: [{ match: [{ sourceNamespace: source }], ...routesTo(hostOf(SHAPE, i)) }],
    }),
  ),
  fc.tuple(index, namespace).map(([i, at]) =>
    object('networking.istio.io/v1', 'VirtualService', at, `labels-${i % 2}`, {
      hosts: [hostOf(SHAPE, i)],
      http: [
        {
          match: [{ sourceLabels: { app: 'svc-1' } }],
          ...routesTo(hostOf(SHAPE, (i + SHAPE.namespaces) % SHAPE.services)),
        },
      ],
    }),
  ),
  // For all services of a namespace, or everything.
  fc.tuple(namespace, namespace, index).map(([at, of, i]) =>
    object('networking.istio.io/v1', 'VirtualService', at, `wide-${of}`, {
      hosts: [i % 3 === 0 ? '*' : `*.${of}.svc.cluster.local`],
      http: [routesTo(hostOf(SHAPE, i))],
    }),
  ),
  fc.tuple(index, namespace, fc.constantFrom('.', '*')).map(([i, at, to]) =>
    object('networking.istio.io/v1', 'VirtualService', at, `shown-${i % 3}`, {
      hosts: [hostOf(SHAPE, i), `other-${i}.example.com`],
      exportTo: [to],
      http: [routesTo(hostOf(SHAPE, i))],
    }),
  ),
  fc.tuple(index, namespace, fc.constantFrom('.', '*')).map(([i, at, to]) =>
    object('networking.istio.io/v1', 'DestinationRule', at, `own-${i % 3}`, {
      host: hostOf(SHAPE, i),
      exportTo: [to],
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
      trafficPolicy: { connectionPool: { tcp: { maxConnections: 7 } } },
    }),
  ),
  // Names that are short for others.
  fc
    .tuple(index, namespace, fc.constantFrom('', '.svc', '.ns-1', '.ns-1.svc', '.ns-0.svc.cluster.local'))
    .map(([i, at, end]) =>
      object('networking.istio.io/v1', 'ServiceEntry', at, `short-${i % 3}`, {
        hosts: [`svc-${i}${end}`],
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        resolution: 'DNS',
        endpoints: [{ address: 'a.example.com' }],
      }),
    ),
  // Other names, hidden services, and services without an address.
  fc
    .tuple(index, namespace)
    .map(([i, at]) =>
      object('v1', 'Service', at, `alias-${i % 3}`, { type: 'ExternalName', externalName: hostOf(SHAPE, i) }),
    ),
  fc.tuple(index, namespace, fc.constantFrom('.', '~', 'ns-1', '*')).map(([i, at, to]) =>
    object(
      'v1',
      'Service',
      at,
      `svc-${i}`,
      {
        clusterIP: i % 2 === 0 ? 'None' : '10.250.0.9',
        selector: { app: `svc-${i}` },
        ports: [{ name: i % 3 === 0 ? 'any' : 'http', port: 80 + (i % 2), targetPort: 8080 }],
      },
      { 'networking.istio.io/exportTo': to },
    ),
  ),
  fc
    .tuple(index, namespace)
    .map(([i, at]) =>
      object(
        'networking.istio.io/v1',
        'VirtualService',
        at,
        `mesh-${i % 3}`,
        { hosts: [hostOf(SHAPE, i)], http: [routesTo(hostOf(SHAPE, (i + SHAPE.namespaces) % SHAPE.services))] },
        { 'internal.istio.io/route-semantics': 'gateway' },
      ),
    ),
);

/** Endpoints that depend on where the client is, those of DNS too. */
const near = ['DNS', 'STATIC'].flatMap((resolution) => {
  const name = `near-${resolution.toLowerCase()}`;
  const host = `${name}.example.com`;
  const endpoints = ['r0', 'r1'].map((locality, place) => ({ address: `10.9.0.${place}`, locality }));
  const ports = [{ number: 80, name: 'http', protocol: 'HTTP' }];
  const trafficPolicy = { outlierDetection: { consecutive5xxErrors: 5 } };
  return [
    object('networking.istio.io/v1', 'ServiceEntry', 'ns-0', name, { hosts: [host], ports, resolution, endpoints }),
    object('networking.istio.io/v1', 'DestinationRule', 'ns-0', name, { host, trafficPolicy }),
  ];
});

const changes: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: ofNamespaces.map((each): Step => ({ put: [each] })) },
  { weight: 1, arbitrary: ofNamespaces.map((each): Step => ({ drop: [each] })) },
  { weight: 1, arbitrary: steps },
);

/** In one of two regions; one of them with headers of its own. */
function placed(at: number): object {
  const node = proxyNode(SHAPE, at);
  const proxyHeaders = { attemptCount: { disabled: at === 7 } };
  const metadata = { ...node.metadata, PROXY_CONFIG: { proxyHeaders } };
  return { ...node, metadata, locality: { region: `r${at % 2}` } };
}

async function withProxies(objects: Iterable<ConfigObject>, indexes: readonly number[]): Promise<Lab> {
  const lab = new Lab({ freeze: true }).apply([...objects]);
  await lab.settle();
  for (const each of indexes) {
    lab.connect(placed(each));
    await lab.settle();
  }
  return lab;
}

/** Everything that a proxy is meant to have, and whose doing it is. */
function held(lab: Lab, at: number): readonly string[] {
  const proxy = lab.proxies[at];
  if (proxy === undefined) return [];
  return Object.values(TYPE_URL).flatMap((typeUrl) => {
    const view = lab.sessionOf(proxy).view(typeUrl);
    const list = view === undefined ? [] : [...viewResources(view)];
    const told = list.map(({ name, version, origins }) => `${typeUrl} ${name} ${version} ${JSON.stringify(origins)}`);
    return told.sort();
  });
}

describe('a class that starts from another', () => {
  it('is given what it would be given alone', async () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 7], { minLength: 2 });
    const sequence = fc.array(changes, { minLength: 0, maxLength: 14 });
    await fc.assert(
      fc.asyncProperty(order, sequence, fc.nat(14), async (indexes, all, between) => {
        const objects = new Map(objectsOf([...meshManifests(SHAPE), ...near]).map((each) => [refKey(each), each]));
        const follow = (step: Step): void => {
          const put = 'put' in step;
          for (const each of objectsOf(put ? step.put : step.drop)) {
            if (put) objects.set(refKey(each), each);
            else objects.delete(refKey(each));
          }
        };
        for (const step of all.slice(0, between)) follow(step);
        const lab = await withProxies(objects.values(), indexes.slice(0, 1));
        // The first one sees changes that the others don't.
        for (const step of all.slice(between)) {
          follow(step);
          if ('put' in step) lab.apply(objectsOf(step.put));
          else lab.apply([], objectsOf(step.drop));
          await lab.settle();
        }
        for (const each of indexes.slice(1)) {
          lab.connect(placed(each));
          await lab.settle();
        }
        for (const [at, each] of indexes.entries()) {
          const alone = await withProxies(objects.values(), [each]);
          expect(held(lab, at)).toEqual(held(alone, 0));
        }
      }),
      { numRuns: 60 },
    );
  }, 180_000);
});

describe('a namespace more', () => {
  const WIDE: MeshShape = { services: 300, endpoints: 1, namespaces: 30, routed: 0.1, flavour: 'kubernetes' };

  it('has its own services named again, and nothing is asked for or rendered but what is its own', async () => {
    const lab = new Lab().apply(objectsOf(meshManifests(WIDE)));
    await lab.settle();
    const come = async (index: number): Promise<void> => {
      lab.connect({ ...proxyNode(WIDE, index), locality: { region: `r${index % 2}` } });
      await lab.settle();
    };
    for (const index of [0, 1, 2, 3]) await come(index);
    const before = counted();
    // Where not all of the others stand.
    await come(5);
    const after = counted();
    const differences = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
    expect(Object.fromEntries(differences.filter(([, count]) => count !== 0))).toEqual({
      'service_routes asked': 20,
      'settled claims': 20,
      'virtual_host asked': 20,
      'virtual_host rendered': 10,
      'workload asked': 1,
      'workload rendered': 1,
    });
  });
});

describe('a change that namespaces see alike', () => {
  it('is followed once for all of them', async () => {
    const lab = new Lab().apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    for (const each of [0, 1, 2]) {
      lab.connect(proxyNode(SHAPE, each));
      await lab.settle();
    }
    const before = counted();
    lab.apply(objectsOf(serviceManifests(SHAPE, 7, { address: '10.99.0.1' })));
    await lab.settle();
    const after = counted();
    const asked = ['cluster', 'assignment', 'service_routes'].map((kind) => {
      const name = `${kind} asked`;
      return [kind, (after[name] ?? 0) - (before[name] ?? 0)];
    });
    expect(Object.fromEntries(asked)).toEqual({ cluster: 1, assignment: 1, service_routes: 0 });
  });
});

/** What was done since the process started. */
function counted(): Readonly<Record<string, number>> {
  const kinds = Object.entries(RENDER_COUNTS).flatMap(([kind, { runs, hits }]) => [
    [`${kind} rendered`, runs],
    [`${kind} asked`, runs + hits],
  ]);
  return { ...Object.fromEntries(kinds), 'settled claims': SETTLED.claims };
}
