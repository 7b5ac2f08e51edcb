import { describe, expect, it } from 'vitest';
import type { EnvoyConfigObjectPatch } from '../../../src/config/generated/types.ts';
import { destinationRule, endpointSlice, pod, service } from '../../support/builders.ts';
import { type ProxyOptions, world } from '../../support/snapshot-builders.ts';
import { at, clusterDrafts, endpointNames, filter, findingsOf, messageOf, names, sent } from './support.ts';

const web = service('web', {
  ports: ['http:80:8080', 'tcp:9000'],
  selector: { app: 'web' },
  clusterIPs: ['10.96.0.1'],
});
const one = pod('client', { ip: '10.0.0.1', labels: { app: 'web', version: 'v1' } });
const mesh = [
  web,
  service('api', { ports: ['http:80'], clusterIPs: ['10.96.0.2'] }),
  destinationRule('web', { host: 'web', subsets: [{ name: 'v1', labels: { version: 'v1' } }] }),
  one,
  endpointSlice('web', [one], { ports: ['http:8080', 'tcp:9000'] }),
];
const OUT = 'SIDECAR_OUTBOUND';
const WEB = 'web.default.svc.cluster.local';

function merge(match: object, value: object, context: string = OUT): EnvoyConfigObjectPatch {
  return {
    applyTo: 'CLUSTER',
    match: { context, ...(Object.keys(match).length === 0 ? {} : { cluster: match }) },
    patch: { operation: 'MERGE', value },
  } as EnvoyConfigObjectPatch;
}

function under(patches: readonly EnvoyConfigObjectPatch[], options: ProxyOptions = {}) {
  return sent(world([...mesh, filter(patches)]), options);
}

/** Clusters that got the marker value. */
function marked(match: object, context?: string, options: ProxyOptions = {}): readonly string[] {
  const drafts = clusterDrafts(under([merge(match, { connect_timeout: '42s' }, context)], options));
  return names(drafts.filter(({ name }) => messageOf(drafts, name)['connectTimeout'] === '42s'));
}

describe('CLUSTER: what is meant', () => {
  it.each([
    ['a name', { name: `outbound|80||${WEB}` }, [`outbound|80||${WEB}`]],
    ['a name only, whatever else is said', { name: 'BlackHoleCluster', portNumber: 9 }, ['BlackHoleCluster']],
    [
      'a service',
      { service: WEB },
      [80, 9000].flatMap((port) => [`outbound|${port}||${WEB}`, `outbound|${port}|v1|${WEB}`]),
    ],
    ['a subset', { subset: 'v1' }, [`outbound|80|v1|${WEB}`, `outbound|9000|v1|${WEB}`]],
    ['a port', { service: WEB, portNumber: 9000 }, [`outbound|9000||${WEB}`, `outbound|9000|v1|${WEB}`]],
    ['a service that is not there', { service: 'web' }, []],
  ])('%s', (_, match, expected) => {
    expect(marked(match)).toEqual(expected.toSorted());
  });

  it('is every cluster of the side without a match', () => {
    const all = marked({});
    expect(all).toContain('PassthroughCluster');
    expect(all).toContain(`outbound|80||api.default.svc.cluster.local`);
    expect(all.filter((name) => /^inbound|Inbound/.test(name))).toEqual([]);
  });

  it('is an inbound port, or the service behind it', () => {
    const options = { labels: { app: 'web' }, ip: '10.0.0.1' };
    expect(marked({ portNumber: 8080 }, 'SIDECAR_INBOUND', options)).toEqual(['inbound|8080||']);
    expect(marked({ portNumber: 80 }, 'SIDECAR_INBOUND', options)).toEqual([]);
    expect(marked({ service: WEB }, 'SIDECAR_INBOUND', options)).toEqual(['inbound|8080||', 'inbound|9000||']);
    expect(marked({}, 'SIDECAR_INBOUND', options)).toEqual([
      'InboundPassthroughCluster',
      'inbound|8080||',
      'inbound|9000||',
    ]);
  });

  it('is of gateways in their own context', () => {
    const router: ProxyOptions = { type: 'router', name: 'gw' };
    expect(marked({ name: 'BlackHoleCluster' }, 'GATEWAY', router)).toEqual(['BlackHoleCluster']);
    expect(marked({ name: 'BlackHoleCluster' }, OUT, router)).toEqual([]);
    expect(marked({ name: 'BlackHoleCluster' }, 'ANY', router)).toEqual(['BlackHoleCluster']);
  });
});

describe('CLUSTER: what is done', () => {
  const name = `outbound|80||${WEB}`;

  it('merges scalars over, lists behind, messages field by field', () => {
    const cluster = messageOf(
      clusterDrafts(
        under([
          merge({ name }, { lb_policy: 'RANDOM', circuit_breakers: { thresholds: [{ max_connections: 5 }] } }),
          merge({ name }, { circuitBreakers: { thresholds: [{ maxRequests: 6 }] } }),
        ]),
      ),
      name,
    );
    expect(cluster['lbPolicy']).toBe('RANDOM');
    const thresholds = at(cluster, 'circuitBreakers.thresholds') as readonly object[];
    expect(thresholds).toHaveLength(3);
    expect(thresholds.slice(1)).toEqual([{ maxConnections: 5 }, { maxRequests: 6 }]);
  });

  it('replaces lists where that is asked for', () => {
    const patch = merge({ name }, { circuit_breakers: { thresholds: [{ max_connections: 5 }] } });
    const replacing = {
      ...patch,
      patch: { ...patch.patch, operation: 'MERGE_AND_REPLACE_LIST' },
    } as EnvoyConfigObjectPatch;
    expect(at(messageOf(clusterDrafts(under([replacing])), name), 'circuitBreakers.thresholds')).toEqual([
      { maxConnections: 5 },
    ]);
  });

  it('removes, and sends no endpoints of what is gone', () => {
    const patches: EnvoyConfigObjectPatch[] = [
      {
        applyTo: 'CLUSTER',
        match: { context: OUT, cluster: { service: WEB, portNumber: 9000 } },
        patch: { operation: 'REMOVE' },
      },
    ];
    const result = under(patches);
    expect(names(clusterDrafts(result)).filter((each) => each.startsWith('outbound|9000|'))).toEqual([]);
    expect(endpointNames(result).filter((each) => each.includes(WEB))).toEqual(
      [`outbound|80|v1|${WEB}`, `outbound|80||${WEB}`].sort(),
    );
  });

  it('adds once, on the side of clients, and leaves what is there', () => {
    const value = { name: 'added', connect_timeout: '1s' };
    const add = (context: 'ANY' | 'SIDECAR_INBOUND', what: object): EnvoyConfigObjectPatch =>
      ({ applyTo: 'CLUSTER', match: { context }, patch: { operation: 'ADD', value: what } }) as EnvoyConfigObjectPatch;
    const result = under([
      add('ANY', value),
      add('SIDECAR_INBOUND', { name: 'inner' }),
      add('ANY', { name, connect_timeout: '3s' }),
      add('ANY', { connect_timeout: '3s' }),
      // Added ones are as they were written.
      merge({ name: 'added' }, { connect_timeout: '9s' }),
    ]);
    const drafts = clusterDrafts(result);
    expect(names(drafts).filter((each) => ['added', 'inner', name].includes(each))).toEqual(['added', 'inner', name]);
    expect(messageOf(drafts, 'added')).toEqual({ name: 'added', connectTimeout: '1s' });
    expect(messageOf(drafts, name)['connectTimeout']).not.toBe('3s');
    expect(findingsOf(result)).toEqual([
      expect.stringMatching(/^MEL0061 spec\.configPatches\[2\] .*of this name already/),
      expect.stringMatching(/^MEL0061 spec\.configPatches\[3\] .*no name/),
    ]);
  });

  it('puts another cluster in the place of one that is removed', () => {
    const drafts = clusterDrafts(
      under([
        { applyTo: 'CLUSTER', match: { context: OUT, cluster: { name } }, patch: { operation: 'REMOVE' } },
        {
          applyTo: 'CLUSTER',
          match: { context: OUT },
          patch: { operation: 'ADD', value: { name, lb_policy: 'RANDOM' } },
        },
      ]),
    );
    expect(drafts.filter((draft) => draft.name === name)).toHaveLength(1);
    expect(messageOf(drafts, name)).toEqual({ name, lbPolicy: 'RANDOM' });
  });

  it('keeps the name by which others refer to it', () => {
    const drafts = clusterDrafts(under([merge({ name }, { name: 'renamed', connect_timeout: '42s' })]));
    expect(messageOf(drafts, name)).toMatchObject({ name, connectTimeout: '42s' });
  });
});

describe('CLUSTER: transport sockets', () => {
  const name = `outbound|80||${WEB}`;
  const tls = (fields: object): object => ({
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        ...fields,
      },
    },
  });
  const secured = destinationRule('api', {
    host: 'api',
    trafficPolicy: { tls: { mode: 'SIMPLE', sni: 'a.example.com' } },
  });
  const api = 'outbound|80||api.default.svc.cluster.local';

  it('merges the settings of the socket of the same name', () => {
    const patch = merge(
      { name: api },
      { ...tls({ sni: 'b.example.com', max_session_keys: 3 }), connect_timeout: '42s' },
    );
    const cluster = messageOf(clusterDrafts(sent(world([...mesh, secured, filter([patch])]))), api);
    const plain = messageOf(clusterDrafts(sent(world([...mesh, secured]))), api);
    expect(at(cluster, 'transportSocket.typedConfig')).toEqual({
      ...(at(plain, 'transportSocket.typedConfig') as object),
      sni: 'b.example.com',
      maxSessionKeys: 3,
    });
    expect(cluster['connectTimeout']).toBe('42s');
  });

  it('merges into the match that has the name', () => {
    const patch = merge({ name }, tls({ max_session_keys: 3 }));
    const cluster = messageOf(clusterDrafts(under([patch])), name);
    const matches = cluster['transportSocketMatches'] as readonly Record<string, unknown>[] | undefined;
    if (matches === undefined) {
      expect(at(cluster, 'transportSocket.typedConfig.maxSessionKeys')).toBe(3);
      return;
    }
    expect(cluster['transportSocket']).toBeUndefined();
    expect(at(matches[0], 'transportSocket.typedConfig.maxSessionKeys')).toBe(3);
    expect(at(matches[0], 'transportSocket.typedConfig.commonTlsContext')).toBeDefined();
  });

  it('takes the place of one of another name', () => {
    const value = { transport_socket: { name: 'envoy.transport_sockets.raw_buffer' } };
    const cluster = messageOf(
      clusterDrafts(sent(world([...mesh, secured, filter([merge({ name: api }, value)])]))),
      api,
    );
    expect(cluster['transportSocket']).toEqual({ name: 'envoy.transport_sockets.raw_buffer' });
  });
});
