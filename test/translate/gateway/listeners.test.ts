import { describe, expect, it } from 'vitest';
import type { Draft } from '../../../src/ir/draft.ts';
import { gatewayListeners } from '../../../src/translate/gateway/listeners.ts';
import { destinationRule, service, serviceEntry, virtualService } from '../../support/builders.ts';
import { draftNamed, listenerOf, proxyClass, services, world } from '../routes/support.ts';
import { edge, gatewayScope, ROUTER, server } from './support.ts';

const GATEWAYS = ['istio-system/gw'];
const to = (host: string, extra: object = {}) => ({ destination: { host, ...extra } });

interface Chain {
  readonly filterChainMatch?: {
    readonly serverNames?: readonly string[];
    readonly applicationProtocols?: readonly string[];
  };
  readonly filters: readonly { readonly name: string; readonly typedConfig: Readonly<Record<string, unknown>> }[];
  readonly transportSocket?: { readonly typedConfig: Readonly<Record<string, unknown>> };
}

const chainsOf = (draft: Draft | undefined): readonly Chain[] =>
  listenerOf(draft).filterChains as unknown as readonly Chain[];
const serverNames = (draft: Draft | undefined) => chainsOf(draft).map((chain) => chain.filterChainMatch?.serverNames);
const terminal = (chain: Chain | undefined) => chain?.filters.at(-1)?.typedConfig ?? {};
const inspectors = (draft: Draft | undefined) =>
  (listenerOf(draft).listenerFilters ?? []).map((filter) => ('name' in filter ? filter.name : ''));

describe('plain HTTP', () => {
  const drafts = gatewayListeners(
    gatewayScope([
      edge('gw', [
        server('http:80', ['a.example.com']),
        server('http-b:80', ['b.example.com']),
        { ...server('http:81', ['*']), bind: '127.0.0.1' },
      ]),
    ]),
  );

  it('is one chain for all servers of a port', () => {
    expect(drafts.map((draft) => draft.name)).toEqual(['0.0.0.0_80', '127.0.0.1_81']);
    expect(listenerOf(drafts[0])).toMatchObject({
      name: '0.0.0.0_80',
      address: { socketAddress: { address: '0.0.0.0', portValue: 80 } },
      trafficDirection: 'OUTBOUND',
      maxConnectionsToAcceptPerSocketEvent: 1,
      filterChains: [{ transportSocketConnectTimeout: '15s' }],
    });
    expect(chainsOf(drafts[0])).toHaveLength(1);
    expect(terminal(chainsOf(drafts[0])[0])).toMatchObject({
      rds: { routeConfigName: 'http.80' },
      useRemoteAddress: true,
      forwardClientCertDetails: 'SANITIZE_SET',
    });
    expect(inspectors(drafts[0])).toEqual([]);
    expect(terminal(chainsOf(drafts[1])[0])).toMatchObject({ rds: { routeConfigName: 'http.81.127.0.0.1' } });
  });

  it('listens where the Service in front leads', () => {
    const gatewayTargets = [{ hostname: 'gw', namespace: 'istio-system', port: 80, targetPort: 8080, translate: true }];
    const [draft] = gatewayListeners(gatewayScope([edge('gw', [server('http:80', ['*'])])], { gatewayTargets }));
    expect(draft?.name).toBe('0.0.0.0_8080');
  });

  it('keeps to the first family where the mesh is not dual-stack', () => {
    const [draft] = gatewayListeners(gatewayScope([edge('gw', [server('http:80', ['*'])])], { family: 'dual' }));
    expect(listenerOf(draft).additionalAddresses).toBeUndefined();
  });

  it('is nothing on a port that the pod must not bind', () => {
    expect(
      gatewayListeners(gatewayScope([edge('gw', [server('http:80', ['*'])])], { settings: { unprivileged: true } })),
    ).toEqual([]);
  });

  it('reads the PROXY header first', () => {
    const proxyConfig = { gatewayTopology: { proxyProtocol: {} } };
    const scope = gatewayScope([edge('gw', [server('https:443', ['*'], { mode: 'SIMPLE', credentialName: 'c' })])], {
      settings: { proxyConfig },
    });
    expect(inspectors(gatewayListeners(scope)[0])).toEqual([
      'envoy.filters.listener.proxy_protocol',
      'envoy.filters.listener.tls_inspector',
    ]);
  });
});

describe('HTTPS', () => {
  it('is a chain by SNI for each server, in the mode of its TLS settings', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        edge('gw', [
          server('https-a:443', ['default/a.example.com', '*.a.example.com'], { mode: 'SIMPLE', credentialName: 'a' }),
          server('https-b:443', ['b.example.com'], { mode: 'MUTUAL', credentialName: 'b' }),
          server('https-c:443', ['c.example.com'], { mode: 'ISTIO_MUTUAL' }),
          server('https-d:443', ['*'], { mode: 'OPTIONAL_MUTUAL', credentialName: 'd' }),
        ]),
      ]),
    );
    expect(serverNames(draft)).toEqual([
      ['*.a.example.com', 'a.example.com'],
      ['b.example.com'],
      ['c.example.com'],
      undefined,
    ]);
    expect(chainsOf(draft).map((chain) => chain.transportSocket?.typedConfig['requireClientCertificate'])).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(terminal(chainsOf(draft)[0])).toMatchObject({
      rds: { routeConfigName: 'https.443.https-a.gw.istio-system' },
    });
    expect(inspectors(draft)).toEqual(['envoy.filters.listener.tls_inspector']);
  });
});

describe('TCP', () => {
  const tcp = (name: string, rules: readonly object[], meta: object = {}) =>
    virtualService(name, { hosts: ['*'], gateways: GATEWAYS, tcp: rules } as never, meta);

  it('goes where the first route for gateway and port leads', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        ...services(['tcp:9000'], 'db', 'other'),
        edge('gw', [server('tcp:31400', ['*'])]),
        tcp('old', [
          { match: [{ port: 1 }], route: [to('other')] },
          { match: [{ port: 31400, gateways: ['elsewhere'] }], route: [to('other')] },
          { match: [{ port: 2 }, { port: 31400 }], route: [to('db')] },
        ]),
        tcp('young', [{ route: [to('other')] }], { created: 1 }),
        destinationRule('dr', { host: 'db', trafficPolicy: { connectionPool: { tcp: { idleTimeout: '30s' } } } }),
      ]),
    );
    expect(chainsOf(draft)).toHaveLength(1);
    expect(terminal(chainsOf(draft)[0])).toMatchObject({
      cluster: 'outbound|9000||db.default.svc.cluster.local',
      idleTimeout: '30s',
    });
    expect(draft?.origins.map((origin) => `${origin.name} ${origin.field}`)).toEqual([
      'gw spec.servers[0]',
      'old spec.tcp[2]',
    ]);
  });

  it('is split by weight', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        ...services(['tcp:9000'], 'db', 'other'),
        edge('gw', [server('tcp:31400', ['*'])]),
        tcp('vs', [
          {
            route: [
              { ...to('db'), weight: 1 },
              { ...to('other', { subset: 's' }), weight: 3 },
              { ...to('gone'), weight: 0 },
            ],
          },
        ]),
      ]),
    );
    expect(terminal(chainsOf(draft)[0])).toMatchObject({
      statPrefix: 'vs.default',
      weightedClusters: {
        clusters: [
          { name: 'outbound|9000||db.default.svc.cluster.local', weight: 1 },
          { name: 'outbound|9000|s|other.default.svc.cluster.local', weight: 3 },
        ],
      },
    });
  });

  it('inside of TLS that ends here', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        ...services(['tcp:9000'], 'db'),
        edge('gw', [server('tls:443', ['db.example.com'], { mode: 'SIMPLE', credentialName: 'c' })]),
        virtualService('vs', { hosts: ['db.example.com'], gateways: GATEWAYS, tcp: [{ route: [to('db')] }] } as never),
      ]),
    );
    expect(serverNames(draft)).toEqual([['db.example.com']]);
    expect(chainsOf(draft)[0]?.transportSocket).toBeDefined();
  });

  it('without a route has no listener', () => {
    expect(gatewayListeners(gatewayScope([edge('gw', [server('tcp:31400', ['*'])])]))).toEqual([]);
  });
});

describe('PASSTHROUGH', () => {
  const tls = (name: string, sniHosts: readonly string[], host: string, created: number) =>
    virtualService(
      name,
      { hosts: sniHosts, gateways: GATEWAYS, tls: [{ match: [{ sniHosts, port: 443 }], route: [to(host)] }] } as never,
      { created },
    );

  it('is a chain for each match, names once', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        ...services(['tls:8443'], 'web', 'other'),
        edge('gw', [server('tls:443', ['*.example.com'], { mode: 'PASSTHROUGH' })]),
        tls('old', ['A.example.com', 'b.example.com'], 'web', 1),
        tls('young', ['b.example.com'], 'other', 2),
        tls('foreign', ['c.other.org'], 'other', 3),
      ]),
    );
    expect(serverNames(draft)).toEqual([['a.example.com', 'b.example.com']]);
    expect(terminal(chainsOf(draft)[0])).toMatchObject({ cluster: 'outbound|8443||web.default.svc.cluster.local' });
    expect(draft?.origins.filter((origin) => origin.lost !== undefined)).toMatchObject([
      { name: 'young', field: 'spec.tls[0].match[0]' },
    ]);
  });

  it('does not take names that a server of the port opens itself', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        ...services(['tls:8443'], 'web'),
        edge('gw', [
          server('https:443', ['a.example.com'], { mode: 'SIMPLE', credentialName: 'a' }),
          server('tls:443', ['*.example.com'], { mode: 'PASSTHROUGH' }),
        ]),
        tls('vs', ['a.example.com'], 'web', 1),
      ]),
    );
    expect(chainsOf(draft)).toHaveLength(1);
    expect(chainsOf(draft)[0]?.transportSocket).toBeDefined();
  });
});

describe('AUTO_PASSTHROUGH', () => {
  it('is a chain for each port and subset of what the hosts cover, for mesh TLS only', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        service('web', { ports: ['http:80', 'dns:53/UDP'] }),
        service('hidden', { namespace: 'closed' }),
        serviceEntry('ext', {
          hosts: ['ext.default.svc.cluster.local'],
          ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
          location: 'MESH_EXTERNAL',
          resolution: 'DNS',
        }),
        destinationRule('dr', { host: 'web', subsets: [{ name: 'v1', labels: { v: '1' } }] }),
        edge('gw', [server('tls:15443', ['*.default.svc.cluster.local'], { mode: 'AUTO_PASSTHROUGH' })]),
      ]),
    );
    expect(serverNames(draft)).toEqual([
      ['outbound_.80_._.web.default.svc.cluster.local'],
      ['outbound_.80_.v1_.web.default.svc.cluster.local'],
    ]);
    expect(chainsOf(draft)[1]).toMatchObject({
      filterChainMatch: {
        applicationProtocols: ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'],
      },
      filters: [{ typedConfig: { cluster: 'outbound_.80_.v1_.web.default.svc.cluster.local' } }],
    });
  });

  it('leaves out hosts that are wildcards: Envoy takes no name with one inside', () => {
    const [draft] = gatewayListeners(
      gatewayScope([
        service('web', { ports: ['http:80'] }),
        serviceEntry('wild', {
          hosts: ['*.wild.example'],
          ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
          location: 'MESH_INTERNAL',
          resolution: 'NONE',
        }),
        edge('gw', [server('tls:15443', ['*'], { mode: 'AUTO_PASSTHROUGH' })]),
      ]),
    );
    expect(serverNames(draft)).toEqual([['outbound_.80_._.web.default.svc.cluster.local']]);
  });
});

describe('work', () => {
  it('keeps the drafts of listeners in which nothing changed', () => {
    const own = proxyClass(ROUTER);
    const vs = (host: string) =>
      virtualService('vs', { hosts: ['*'], gateways: GATEWAYS, tcp: [{ route: [to(host)] }] } as never);
    const before = world([
      ...services(['tcp:9000'], 'db', 'other'),
      edge('gw', [server('http:80', ['*']), server('tcp:31400', ['*'])]),
      vs('db'),
    ]);
    const scope = before.scope(own);
    const drafts = gatewayListeners(scope);
    expect(gatewayListeners(scope, drafts)).toBe(drafts);
    const after = before.next(vs('other')).scope(own, scope);
    const then = gatewayListeners(after, drafts);
    expect(draftNamed(then, '0.0.0.0_80')).toBe(draftNamed(drafts, '0.0.0.0_80'));
    expect(draftNamed(then, '0.0.0.0_31400')).not.toBe(draftNamed(drafts, '0.0.0.0_31400'));
    expect(then.map((draft) => draft.bytes)).toEqual(gatewayListeners(after).map((draft) => draft.bytes));
  });
});
