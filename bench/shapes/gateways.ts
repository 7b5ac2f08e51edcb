// The shapes of gateways: a Gateway for each service, one for all of them, and what Knative makes.

import { entry, HTTP, HTTPS, type Manifest, manifest, outside, own, PROXY_LABELS, randomHost } from './parts.ts';

const NAMESPACE = 'gateway';
const API = 'networking.istio.io/v1';

export function gatewayOwn(): Manifest {
  return own([HTTP, HTTPS], { labels: PROXY_LABELS });
}

/** Plaintext on 80 and mutual TLS on 443, for the same hosts. */
function gateway(name: string, hosts: readonly string[]): Manifest {
  const server = (number: number, protocol: string): object => ({
    port: { number, name: protocol.toLowerCase(), protocol },
    hosts: [...hosts],
  });
  const servers = [server(80, 'HTTP'), { ...server(443, 'HTTPS'), tls: { mode: 'ISTIO_MUTUAL' } }];
  return manifest(API, 'Gateway', name, { selector: { ...PROXY_LABELS }, servers }, NAMESPACE);
}

function hostsOf(index: number): readonly string[] {
  return ['a', 'b', 'c'].map((letter) => `random-${letter}-${index}.host.example`);
}

/** `version` goes into its path: another one makes it another object. */
export function oneGatewayService(index: number, version = ''): Manifest[] {
  return [oneGatewayRoutes(index, version), gateway(`gateway-${index}`, hostsOf(index)), outside(index)];
}

export function oneGatewayRoutes(index: number, version: string): Manifest {
  return virtualService(index, `gateway/gateway-${index}`, hostsOf(index), [`/route-${index}${version}`]);
}

const SHARED_HOSTS = [1, 2, 3].map(randomHost);

export function sharedGateway(): Manifest {
  return gateway('gateway', SHARED_HOSTS);
}

export function sharedGatewayService(index: number): Manifest[] {
  return [sharedGatewayRoutes(index, ''), outside(index)];
}

export function sharedGatewayRoutes(index: number, version: string): Manifest {
  const paths = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => `/route-${letter}-${index}${version}`);
  return virtualService(index, 'gateway/gateway', SHARED_HOSTS, paths);
}

function virtualService(index: number, name: string, hosts: readonly string[], paths: readonly string[]): Manifest {
  const spec = {
    hosts: [...hosts],
    gateways: [name],
    http: [
      {
        match: paths.map((prefix) => ({ uri: { prefix } })),
        route: [{ destination: { host: randomHost(index) } }],
      },
    ],
  };
  return manifest(API, 'VirtualService', `vs-${index}`, spec, NAMESPACE);
}

const SERVING = 'knative-serving';
const INGRESS = `${SERVING}/knative-ingress-gateway`;
const LOCAL = `${SERVING}/knative-local-gateway`;

/** The two gateways of Knative and the services that stand for them. */
export function knativeGateways(): Manifest[] {
  const service = (name: string, host: string, targetPort: number): Manifest =>
    entry(
      name,
      {
        hosts: [`${host}.istio-system.svc.cluster.local`],
        ports: [],
        endpoint: '1.1.1.1',
        labels: PROXY_LABELS,
        more: { ports: [{ number: 80, targetPort, name: 'http', protocol: 'HTTP' }] },
      },
      'istio-system',
    );
  const listening = (name: string, number: number): Manifest =>
    manifest(
      API,
      'Gateway',
      name,
      { selector: { ...PROXY_LABELS }, servers: [{ hosts: ['*'], port: { name: 'http', number, protocol: 'HTTP' } }] },
      SERVING,
    );
  return [
    service('external', 'istio-ingressgateway', 8080),
    service('internal', 'knative-local-gateway', 8081),
    listening('knative-ingress-gateway', 80),
    listening('knative-local-gateway', 8081),
  ];
}

/** What Knative writes for one service that is reached from outside and one that is not. */
export function knativeService(index: number, version = ''): Manifest[] {
  const open = rulesFor(`hello-${index}${version}`);
  const closed = rulesFor(`hello-private-${index}`);
  return [
    knativeRoutes(
      `hello-ingress-${index}`,
      [INGRESS, LOCAL],
      ['hello.default', 'hello.default.external.domain', 'hello.default.svc', 'hello.default.svc.cluster.local'],
      [...open('hello.default', LOCAL), ...open('hello.default.external.domain', INGRESS)],
    ),
    knativeRoutes(
      `hello-private-ingress-${index}`,
      [LOCAL],
      ['hello-private.default', 'hello-private.default.svc', 'hello-private.default.svc.cluster.local'],
      closed('hello-private.default', LOCAL),
    ),
  ];
}

function knativeRoutes(
  name: string,
  gateways: readonly string[],
  hosts: readonly string[],
  http: readonly object[],
): Manifest {
  return manifest(API, 'VirtualService', name, { gateways, hosts, http });
}

/** For each authority a rule for probes, which carry a hash of the network's settings, and one for the rest. */
function rulesFor(revision: string): (prefix: string, gateway: string) => readonly object[] {
  const hash = revision.padEnd(64, '0').slice(0, 64);
  const route = (): readonly object[] => [
    {
      destination: { host: `${revision}.default.svc.cluster.local`, port: { number: 80 } },
      headers: { request: { set: { 'Knative-Serving-Namespace': 'default', 'Knative-Serving-Revision': revision } } },
      weight: 100,
    },
  ];
  return (prefix, name) => [
    {
      headers: { request: { set: { 'K-Network-Hash': hash } } },
      match: [{ authority: { prefix }, gateways: [name], headers: { 'K-Network-Hash': { exact: 'override' } } }],
      route: route(),
    },
    { match: [{ authority: { prefix }, gateways: [name] }], route: route() },
  ];
}
