// The shapes of Istio's own generation benchmarks, as manifests of our own: what is in the mesh, who asks, and what one
// change of it is. Same counts of objects, hosts, ports and rules, so that sizes and times can be held beside istiod's.

import {
  gatewayOwn,
  knativeGateways,
  knativeService,
  oneGatewayRoutes,
  oneGatewayService,
  sharedGateway,
  sharedGatewayRoutes,
  sharedGatewayService,
} from './gateways.ts';
import {
  AUTO,
  FOUR_PORTS,
  HTTP,
  HTTPS,
  inside,
  type Manifest,
  manifest,
  outside,
  own,
  peerAuthentication,
  PROXY_LABELS,
  randomHost,
  selecting,
  TCP,
  times,
  TLS,
  workloadEntry,
} from './parts.ts';

export type GeneratedType = 'cluster' | 'endpoint' | 'listener' | 'route' | 'name table' | 'secret';

export interface ShapeCase {
  readonly name: string;
  readonly proxy: 'sidecar' | 'router';
  /** What is asked for: istiod's benchmark leaves out what doesn't matter to a shape. */
  readonly types: readonly GeneratedType[];
  /** New objects at each call. */
  readonly mesh: () => Manifest[];
  /** One change, another one each round. */
  readonly change: (round: number) => Manifest[];
  /** How many credentials a proxy asks for. */
  readonly secrets?: number;
}

const SIDECAR_TYPES: readonly GeneratedType[] = ['cluster', 'endpoint', 'listener', 'route'];
const ROUTELESS: readonly GeneratedType[] = ['cluster', 'endpoint', 'listener'];
const LISTENERS: readonly GeneratedType[] = ['listener'];

/** A mesh of so many equal services; the change is one more of them. */
function services(
  name: string,
  count: number,
  first: () => Manifest[],
  service: (index: number) => Manifest | Manifest[],
  types = SIDECAR_TYPES,
): ShapeCase {
  const list = (index: number): Manifest[] => [service(index)].flat();
  return {
    name,
    proxy: 'sidecar',
    types,
    mesh: () => [...first(), ...times(count, list).flat()],
    change: (round) => list(count + round),
  };
}

function externalName(index: number): Manifest {
  const spec = {
    type: 'ExternalName',
    externalName: `random-${index}.example.com`,
    ports: [{ port: 80, name: 'http' }],
  };
  return manifest('v1', 'Service', `service-${index}`, spec);
}

function routed(index: number, prefix = '/foo'): Manifest {
  const host = randomHost(index);
  return manifest('networking.istio.io/v1', 'VirtualService', `vs-${index}`, {
    hosts: [host],
    http: [
      {
        name: 'match-route',
        match: [{ uri: { prefix } }, { uri: { regex: '/bar' } }],
        rewrite: { uri: '/new-url' },
        route: [{ destination: { host } }],
      },
    ],
  });
}

function denyPost(index: number, namespace = 'default'): Manifest {
  return manifest('security.istio.io/v1', 'AuthorizationPolicy', `authn-${index}`, {
    action: 'DENY',
    rules: [{ from: [{ source: { namespaces: [namespace] } }], to: [{ operation: { methods: ['POST'] } }] }],
  });
}

const TELEMETRY_SPEC = {
  metrics: [{ providers: [{ name: 'prometheus' }] }],
  accessLogging: [{ providers: [{ name: 'envoy-json' }] }],
};

function telemetry(): Manifest {
  return manifest('telemetry.istio.io/v1', 'Telemetry', 'telemetry', { ...TELEMETRY_SPEC }, 'istio-system');
}

/** PeerAuthentication of one mode beside a service with four ports, outside of any mesh; the change is its mode. */
function mutualTls(name: string, mode: string): ShapeCase {
  return {
    name,
    proxy: 'sidecar',
    types: LISTENERS,
    mesh: () => [own(FOUR_PORTS), peerAuthentication(mode)],
    change: (round) => [peerAuthentication(round % 2 === 0 ? 'PERMISSIVE' : mode)],
  };
}

function secrets(count: number): ShapeCase {
  return {
    name: `secrets (${count})`,
    proxy: 'router',
    types: ['secret'],
    mesh: () => times(count, (index) => secret(index, 0)),
    change: (round) => [secret(0, round + 1)],
    secrets: count,
  };
}

/** About as long as a certificate and a key of 2,048 bits are. */
function secret(index: number, version: number): Manifest {
  const text = (label: string, size: number): string =>
    Buffer.from(`-----BEGIN ${label}-----\n${`${index} ${version} `.padEnd(size, 'MIIDkTCC')}\n`).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `sds-credential-${index}`, namespace: 'default' },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': text('CERTIFICATE', 1250), 'tls.key': text('RSA PRIVATE KEY', 1650) },
  };
}

export const SHAPES: readonly ShapeCase[] = [
  services('empty', 0, () => [own(FOUR_PORTS, { inside: true })], four),
  services(
    'http',
    100,
    () => [own([HTTP], { inside: true })],
    (i) => inside(i, HTTP),
  ),
  services(
    'tcp',
    100,
    () => [own([TCP], { inside: true })],
    (i) => inside(i, TCP),
    ROUTELESS,
  ),
  services(
    'tls',
    100,
    () => [own([TLS], { inside: true })],
    (i) => inside(i, TLS),
    ROUTELESS,
  ),
  services(
    'auto',
    100,
    () => [own([AUTO], { inside: true })],
    (i) => inside(i, AUTO),
  ),
  mutualTls('strict', 'STRICT'),
  mutualTls('disabled', 'DISABLE'),
  services('externalname', 100, () => [own([HTTP], { inside: true })], externalName),
  services(
    'telemetry-api',
    100,
    () => [telemetry(), own(FOUR_PORTS)],
    (i) => outside(i, FOUR_PORTS),
  ),
  {
    name: 'virtualservice',
    proxy: 'sidecar',
    types: SIDECAR_TYPES,
    mesh: () => [own([HTTP]), ...times(100, (i) => [routed(i), outside(i)]).flat()],
    change: (round) => [routed(0, `/foo-${round}`)],
  },
  {
    name: 'authorizationpolicy',
    proxy: 'sidecar',
    types: LISTENERS,
    mesh: () => [own([HTTP, HTTPS], { labels: PROXY_LABELS }), ...times(100, (i) => denyPost(i))],
    change: (round) => [denyPost(0, `other-${round}`)],
  },
  services(
    'serviceentry-workloadentry',
    100,
    () => [own(FOUR_PORTS, { inside: true }), ...times(1000, (i) => workloadEntry(i, 100))],
    selecting,
  ),
  {
    name: 'gateways',
    proxy: 'router',
    types: SIDECAR_TYPES,
    mesh: () => [gatewayOwn(), ...times(1000, (i) => oneGatewayService(i)).flat()],
    change: (round) => [oneGatewayRoutes(0, `-${round}`)],
  },
  {
    name: 'gateways-shared',
    proxy: 'router',
    types: SIDECAR_TYPES,
    mesh: () => [gatewayOwn(), sharedGateway(), ...times(1000, sharedGatewayService).flat()],
    change: (round) => [sharedGatewayRoutes(0, `-${round}`)],
  },
  {
    name: 'knative-gateway',
    proxy: 'router',
    types: SIDECAR_TYPES,
    mesh: () => [...knativeGateways(), ...times(100, (i) => knativeService(i)).flat()],
    change: (round) => knativeService(0, `-${round}`),
  },
  services(
    'name table (1,000)',
    1000,
    () => [own([TCP], { inside: true })],
    (i) => inside(i, TCP),
    ['name table'],
  ),
  secrets(10),
  secrets(1000),
];

/** Four ports on an address of its own. */
function four(index: number): Manifest {
  return outside(index, FOUR_PORTS);
}
