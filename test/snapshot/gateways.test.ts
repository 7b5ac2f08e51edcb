import { describe, expect, it } from 'vitest';
import type { Server } from '../../src/config/generated/types.ts';
import { gateway, pod, service } from '../support/builders.ts';
import { type ProxyOptions, scopeFor, world } from '../support/snapshot-builders.ts';

const labels = { istio: 'ingressgateway', app: 'in' };
const router: ProxyOptions = { type: 'router', name: 'gw-0', namespace: 'istio-system', ip: '10.1.0.1', labels };
const front = [
  service('in', { namespace: 'istio-system', selector: { app: 'in' }, ports: ['http:80:8080', 'https:443:8443'] }),
  pod('gw-0', { namespace: 'istio-system', ip: '10.1.0.1', labels }),
];
const server = (number: number, protocol: string, hosts: readonly string[], more: Partial<Server> = {}): Server => ({
  port: { number, protocol, name: `${protocol.toLowerCase()}-${number}` },
  hosts,
  ...more,
});
const tls = (mode: NonNullable<NonNullable<Server['tls']>['mode']> = 'SIMPLE'): Partial<Server> => ({ tls: { mode } });
const gw = (name: string, created: number, ...servers: readonly Server[]) =>
  gateway(name, { selector: { istio: 'ingressgateway' }, servers }, { namespace: 'a', created });
const merged = (...gateways: readonly ReturnType<typeof gateway>[]) => {
  const scope = scopeFor(world([...front, ...gateways]), router);
  const ports = scope.gateway?.ports.map((port) => [
    `${port.bind}:${port.targetPort}`,
    port.class,
    port.servers.map((each) => `${each.gatewayName}#${each.index}`),
  ]);
  return {
    ports,
    routes: [...(scope.gateway?.routes.keys() ?? [])],
    lost: scope.findings.map((each) => `${each.ref?.name} ${each.path}: ${each.message}`),
    scope,
  };
};

describe('selection of Gateways', () => {
  it.each<[string, Record<string, string> | undefined, boolean]>([
    ['a selector within the labels', { istio: 'ingressgateway' }, true],
    ['another selector', { istio: 'other' }, false],
    ['no selector', undefined, true],
    ['an empty selector', {}, true],
  ])('%s', (_case, selector, applies) => {
    const { ports } = merged(
      gateway('g', { ...(selector ? { selector } : {}), servers: [server(80, 'HTTP', ['*'])] }, { namespace: 'z' }),
    );
    expect(ports).toHaveLength(applies ? 1 : 0);
  });

  it('may be limited to the namespace of the router', () => {
    const objects = [...front, gw('g', 1, server(80, 'HTTP', ['*']))];
    const scope = scopeFor(world(objects, { options: { scopeGatewayToNamespace: true } }), router);
    expect(scope.gateway?.ports).toEqual([]);
  });

  it('a sidecar has none', () => {
    expect(scopeFor(world([...front, gw('g', 1)]), { labels }).gateway).toBeUndefined();
  });
});

describe('ports', () => {
  it('are those of the pod where its Service has the port, and names follow', () => {
    const { ports, routes } = merged(
      gw('g', 1, server(80, 'HTTP', ['a']), server(443, 'HTTPS', ['a'], tls()), server(9000, 'HTTP', ['a'])),
    );
    expect(ports?.map(([at]) => at)).toEqual([':8080', ':8443', ':9000']);
    expect(routes).toEqual(['http.8080', 'https.443.https-443.g.a', 'http.9000']);
  });

  it('are taken as they are where the Service asks for it', () => {
    const raw = service('in', {
      namespace: 'istio-system',
      selector: { app: 'in' },
      ports: ['http:80:8080'],
      labels: { 'experimental.istio.io/disable-gateway-port-translation': 'true' },
    });
    const scope = scopeFor(world([...front.slice(1), raw, gw('g', 1, server(80, 'HTTP', ['a']))]), router);
    expect(scope.gateway?.ports.map((port) => port.targetPort)).toEqual([80]);
  });

  it('of a Gateway that is bound to Services exist only where these have them', () => {
    const bound = (hostname: string) =>
      gateway(
        'g',
        { servers: [server(80, 'HTTP', ['a']), server(81, 'HTTP', ['a'])] },
        { namespace: 'istio-system', annotations: { 'internal.istio.io/gateway-service': hostname } },
      );
    expect(merged(bound('in.istio-system.svc.cluster.local')).ports?.map(([at]) => at)).toEqual([':8080']);
    expect(merged(bound('other.istio-system.svc.cluster.local')).ports).toEqual([]);
  });

  it('with a bind are listeners of their own', () => {
    const { ports, routes, lost } = merged(
      gw('g', 1, server(80, 'HTTP', ['a']), server(80, 'TCP', ['*'], { bind: '127.0.0.1' })),
      gw('h', 2, server(80, 'HTTP', ['b'], { bind: '127.0.0.2' })),
    );
    expect(ports?.map(([at]) => at)).toEqual([':8080', '127.0.0.1:8080', '127.0.0.2:8080']);
    expect(routes).toEqual(['http.8080', 'http.8080.127.0.0.2']);
    expect(lost).toEqual([]);
  });
});

describe('merging', () => {
  it('puts all plaintext HTTP of a port into one route, oldest Gateway first', () => {
    const { ports, scope } = merged(
      gw('late', 2, server(80, 'HTTP', ['b'])),
      gw('old', 1, server(80, 'HTTP2', ['a']), server(80, 'GRPC', ['c'])),
    );
    expect(ports).toEqual([[':8080', 'HTTP', ['a/old#0', 'a/old#1', 'a/late#0']]]);
    expect(scope.gateway?.routes.get('http.8080')?.map((each) => each.gatewayName)).toEqual([
      'a/old',
      'a/old',
      'a/late',
    ]);
  });

  it('tells TLS servers of a port apart by host', () => {
    const { ports, routes, lost } = merged(
      gw('old', 1, server(443, 'HTTPS', ['a', 'b'], tls()), server(443, 'TLS', ['c'], tls('PASSTHROUGH'))),
      gw('late', 2, server(443, 'HTTPS', ['./b', 'd'], tls()), server(443, 'HTTPS', ['e'], tls('ISTIO_MUTUAL'))),
    );
    expect(ports).toEqual([[':8443', 'TLS', ['a/old#0', 'a/old#1', 'a/late#1']]]);
    expect(routes).toEqual(['https.443.https-443.old.a', 'https.443.https-443.late.a']);
    expect(lost).toEqual([
      'late spec.servers[0]: the server is left out: host b on port 443 is already served by an older server',
    ]);
  });

  it.each<[string, Server, Server, string]>([
    [
      'TCP on an HTTP port',
      server(80, 'HTTP', ['a']),
      server(80, 'TCP', ['*']),
      'port 80 already serves HTTP for a/old',
    ],
    ['HTTP on a TCP port', server(80, 'TCP', ['a']), server(80, 'HTTP', ['*']), 'port 80 already serves TCP for a/old'],
    [
      'TLS on an HTTP port',
      server(80, 'HTTP', ['a']),
      server(80, 'HTTPS', ['b'], tls()),
      'port 80 already serves HTTP for a/old',
    ],
    [
      'a second TCP server',
      server(80, 'TCP', ['a']),
      server(80, 'TCP', ['b']),
      'port 80 already forwards TCP for a/old',
    ],
  ])('%s loses', (_case, first, second, reason) => {
    const { ports, lost } = merged(gw('old', 1, first), gw('late', 2, second));
    expect(ports?.[0]?.[2]).toEqual(['a/old#0']);
    expect(lost).toEqual([`late spec.servers[0]: the server is left out: ${reason}`]);
  });

  it('needs tls settings for TLS protocols, and one name for each HTTPS port of a Gateway', () => {
    const named = (hosts: readonly string[]) => server(443, 'HTTPS', hosts, tls());
    expect(merged(gw('g', 1, server(443, 'HTTPS', ['a']))).lost).toEqual([
      'g spec.servers[0]: the server is left out: protocol HTTPS needs tls settings',
    ]);
    expect(merged(gw('g', 1, named(['a']), named(['b']))).lost).toEqual([
      'g spec.servers[1]: the server is left out: port name https-443 is used twice in the Gateway',
    ]);
  });

  it('reads hosts with their namespaces and protocols as one spells them', () => {
    const { scope } = merged(
      gw('g', 1, server(80, 'http', ['./x', '*/y', 'ns/z', 'w']), server(443, 'Tls', ['v'], tls('AUTO_PASSTHROUGH'))),
    );
    const servers = scope.gateway?.ports.flatMap((port) => port.servers) ?? [];
    expect(servers[0]?.hosts).toEqual([
      { namespace: 'a', host: 'x' },
      { namespace: '*', host: 'y' },
      { namespace: 'ns', host: 'z' },
      { namespace: '*', host: 'w' },
    ]);
    expect(servers.map((each) => [each.protocol, each.routeName])).toEqual([
      ['HTTP', 'http.8080'],
      ['TLS', ''],
    ]);
    expect(scope.gateway?.hasAutoPassthrough).toBe(true);
  });
});
