// A mesh of random objects over a few services and proxies of every kind.

import type { Dice } from './dice.ts';
import { KINDS, randomObject } from './objects.ts';

type Json = Readonly<Record<string, unknown>>;

export interface RandomMesh {
  readonly documents: readonly Json[];
  readonly nodes: readonly Json[];
  readonly meshConfig: Json;
}

export function randomMesh(dice: Dice, version: string): RandomMesh {
  const objects = KINDS.flatMap(([kind, most]) =>
    Array.from({ length: dice.below(most + 1) }, (_, index) =>
      randomObject(kind, `${kind.toLowerCase()}-${index}`, dice),
    ),
  );
  return { documents: [...WORLD, ...objects], nodes: nodesOf(dice, version), meshConfig: meshConfigOf(dice) };
}

const namespace = (name: string): Json => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

const service = (name: string, space: string, ports: Readonly<Record<string, number>>, rest: Json = {}): Json => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: space, labels: rest['labels'] },
  spec: {
    clusterIP: rest['clusterIP'] ?? `10.96.0.${name.length + space.length}`,
    selector: { app: name },
    ports: Object.entries(ports).map(([port, number]) => ({ name: port, port: number, targetPort: number })),
  },
});

const pod = (name: string, app: string, space: string, ip: string): Json => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: space, labels: { app, version: 'v1', 'security.istio.io/tlsMode': 'istio' } },
  spec: { serviceAccountName: app, containers: [{ name: 'app' }] },
  status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
});

const WORLD: readonly Json[] = [
  ...['shop', 'other', 'istio-system'].map(namespace),
  service('web', 'shop', { http: 8080, grpc: 9090, tcp: 7000, unnamed: 6000 }),
  service('db', 'shop', { tcp: 5432, http: 80 }, { clusterIP: 'None' }),
  service('ledger', 'shop', { mongo: 27017, mysql: 3306, https: 443, tls: 8443 }),
  service('cart', 'other', { http: 80, 'grpc-web': 8080 }, { labels: { 'istio.io/persistent-session': 'basket' } }),
  service('front', 'shop', { http: 80, https: 443 }),
  pod('web-1', 'web', 'shop', '10.1.0.1'),
  pod('db-1', 'db', 'shop', '10.1.0.2'),
  pod('ledger-1', 'ledger', 'shop', '10.1.0.3'),
  pod('cart-1', 'cart', 'other', '10.1.0.4'),
  pod('front-1', 'front', 'shop', '10.1.0.5'),
];

function nodesOf(dice: Dice, version: string): readonly Json[] {
  const [majorNumber, minorNumber, patch] = version.split('.').map(Number);
  const build = { userAgentName: 'envoy', userAgentBuildVersion: { version: { majorNumber, minorNumber, patch } } };
  const node = (type: string, name: string, space: string, ips: readonly string[], metadata: Json): Json => ({
    id: `${type}~${ips[0]}~${name}.${space}~${space}.svc.cluster.local`,
    ...build,
    locality: { region: 'west', zone: 'a' },
    metadata: {
      NAMESPACE: space,
      CLUSTER_ID: 'Kubernetes',
      INSTANCE_IPS: ips.join(),
      ISTIO_VERSION: '1.32.0',
      ...metadata,
    },
  });
  const mode = dice.of(['REDIRECT', 'TPROXY', 'NONE']);
  return [
    node('sidecar', 'web-1', 'shop', ['10.1.0.1', ...(dice.chance(30) ? ['fd00::1'] : [])], {
      LABELS: { app: 'web', version: 'v1' },
      INTERCEPTION_MODE: mode,
      ...(dice.chance(30) ? { DNS_CAPTURE: 'true', HTTP10: '1', HTTP_PROXY_PORT: '15007' } : {}),
    }),
    node('sidecar', 'client-1', 'other', [dice.of(['10.1.0.9', 'fd00::9'])], { LABELS: { app: 'client' } }),
    node('router', 'front-1', 'shop', ['10.1.0.5'], { LABELS: { app: 'front', istio: 'ingressgateway' } }),
  ];
}

const AT = { service: 'a.example', port: 80 };

function meshConfigOf(dice: Dice): Json {
  const maybe = (name: string, ...values: readonly unknown[]): Json =>
    dice.chance(30) ? { [name]: dice.of(values) } : {};
  return {
    extensionProviders: [
      {
        name: 'authz-http',
        envoyExtAuthzHttp: { service: 'web.shop.svc.cluster.local', port: 8080, pathPrefix: '/check' },
      },
      { name: 'authz-grpc', envoyExtAuthzGrpc: { service: 'web.shop.svc.cluster.local', port: 9090 } },
      { name: 'zipkin', zipkin: AT },
      { name: 'datadog', datadog: AT },
      { name: 'skywalking', skywalking: AT },
      { name: 'otlp', opentelemetry: AT },
      { name: 'otlp-http', opentelemetry: { ...AT, http: { path: '/v1/traces', timeout: '1s' } } },
      { name: 'log-file', envoyFileAccessLog: { path: '/dev/stdout' } },
      { name: 'log-otlp', envoyOtelAls: AT },
      { name: 'log-als', envoyHttpAls: AT },
      { name: 'log-tcp', envoyTcpAls: AT },
    ],
    ...maybe('outboundTrafficPolicy', { mode: 'REGISTRY_ONLY' }, { mode: 'ALLOW_ANY_DYNAMIC_DNS' }),
    ...maybe('trustDomainAliases', ['old.example']),
    ...maybe('accessLogFile', '/dev/stdout'),
    ...maybe('h2UpgradePolicy', 'UPGRADE'),
    ...maybe('pathNormalization', { normalization: 'MERGE_SLASHES' }, { normalization: 'DECODE_AND_MERGE_SLASHES' }),
    ...maybe('protocolDetectionTimeout', '5s'),
    ...maybe('enableAutoMtls', false),
    ...maybe('defaultProviders', { metrics: ['prometheus'], tracing: ['zipkin'], accessLogging: ['log-file'] }),
    ...maybe('defaultConfig', { proxyMetadata: { ISTIO_DUAL_STACK: 'true' } }),
    ...maybe('localityLbSetting', { failoverPriority: ['topology.kubernetes.io/region'] }),
  };
}
