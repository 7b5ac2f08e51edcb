// Random changes of a small mesh, for properties of the plane.

import fc from 'fast-check';
import { hostOf, type MeshShape, serviceManifests, serviceName, trafficManifests } from '../../bench/mesh.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { viewResources } from '../../src/resources/view.ts';
import type { Lab } from './lab.ts';

export const SHAPE: MeshShape = { services: 12, endpoints: 2, namespaces: 3, routed: 0.25, flavour: 'kubernetes' };

export type Step = { readonly put: readonly unknown[] } | { readonly drop: readonly unknown[] };

const service = fc.integer({ min: 0, max: SHAPE.services });
const policy =
  (kind: string, api: string, spec: object) =>
  (index: number): Step => ({
    put: [
      {
        apiVersion: `${api}.istio.io/v1`,
        kind,
        metadata: { name: `p-${index % 3}`, namespace: `ns-${index % 3}` },
        spec,
      },
    ],
  });

interface Named {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels?: object };
}

/** Manifests of one kind of a service. */
export function ofKind(index: number, kind: string): readonly Named[] {
  return (serviceManifests(SHAPE, index) as unknown as readonly Named[]).filter((each) => each.kind === kind);
}

/** The Pod beside which the first proxy of a service stands, with other labels. */
function relabelled(index: number, labels: object): unknown {
  const [pod] = ofKind(index, 'Pod');
  return { ...pod, metadata: { ...pod?.metadata, labels: { ...pod?.metadata.labels, ...labels } } };
}

/** A Service without a selector, whose endpoint is that Pod. */
export function selectorless(index: number): readonly unknown[] {
  const [slice] = ofKind(index, 'EndpointSlice');
  const namespace = slice?.metadata.namespace;
  const metadata = { name: `plain-${index}`, namespace };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: 'None', ports: [{ name: 'http', port: 81 }] } },
    { ...slice, metadata: { ...metadata, labels: { 'kubernetes.io/service-name': `plain-${index}` } } },
  ];
}

/** Services beside which proxies stand, few enough that steps meet. */
const near = fc.integer({ min: 0, max: 1 });

/** What concerns the proxies of one workload. */
export const ofWorkload: fc.Arbitrary<Step> = fc.oneof(
  near.map((i): Step => ({ put: [relabelled(i, { version: `v${i + 2}` })] })),
  near.map((i): Step => ({ put: [relabelled(i, { app: serviceName((i + SHAPE.namespaces) % SHAPE.services) })] })),
  near.map((i): Step => ({ drop: ofKind(i, 'Pod').slice(0, 1) })),
  near.map((i): Step => ({ drop: ofKind(i, 'Service') })),
  near.map((i): Step => ({ put: selectorless(i).slice(0, 1) })),
  near.map((i): Step => ({ put: selectorless(i).slice(1) })),
  near.map((i): Step => ({ drop: selectorless(i).slice(1) })),
);

export const steps: fc.Arbitrary<Step> = fc.oneof(
  ofWorkload,
  fc
    .tuple(service, fc.integer({ min: 1, max: 200 }))
    .map(([i, n]): Step => ({ put: serviceManifests(SHAPE, i, { address: `10.99.0.${n}` }) })),
  fc
    .tuple(service, fc.integer({ min: 0, max: 100 }))
    .map(([i, weight]): Step => ({ put: trafficManifests(SHAPE, i, { weight }) })),
  service.map((i): Step => ({ drop: serviceManifests(SHAPE, i) })),
  service.map((i): Step => ({ drop: trafficManifests(SHAPE, i) })),
  service.map(policy('PeerAuthentication', 'security', { mtls: { mode: 'STRICT' } })),
  service.map(policy('PeerAuthentication', 'security', { mtls: { mode: 'DISABLE' } })),
  service.map(policy('AuthorizationPolicy', 'security', { rules: [{ to: [{ operation: { methods: ['GET'] } }] }] })),
  service.map((i) => policy('Sidecar', 'networking', { egress: [{ hosts: [`ns-${i % 3}/*`] }] })(i)),
  service.map((i) =>
    policy('DestinationRule', 'networking', {
      host: hostOf(SHAPE, i),
      trafficPolicy: { loadBalancer: { simple: 'RANDOM' } },
    })(i),
  ),
  service.map((i) =>
    policy('ServiceEntry', 'networking', {
      hosts: [`e${i}.example.com`],
      ports: [{ number: 80 + i, name: 'http', protocol: 'HTTP' }],
      resolution: 'DNS',
    })(i),
  ),
);

/** `type name version` of everything that each proxy is meant to have. */
export function given(lab: Lab, nodes: readonly object[]): readonly string[] {
  return nodes.flatMap((_, index) => {
    const proxy = lab.proxies[index];
    if (proxy === undefined) return [];
    const session = lab.sessionOf(proxy);
    return Object.values(TYPE_URL).flatMap((typeUrl) => {
      const view = session.view(typeUrl);
      const list = view === undefined ? [] : [...viewResources(view)];
      return list.map((resource) => `${index} ${typeUrl} ${resource.name} ${resource.version}`).sort();
    });
  });
}
