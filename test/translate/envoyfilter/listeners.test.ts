import { describe, expect, it } from 'vitest';
import type { EnvoyConfigObjectPatch } from '../../../src/config/generated/types.ts';
import { endpointSlice, gateway, pod, service, virtualService } from '../../support/builders.ts';
import { type ProxyOptions, world } from '../../support/snapshot-builders.ts';
import {
  at,
  filter,
  filtersOf,
  findingsOf,
  HCM,
  HCM_TYPE,
  limit,
  listenerDrafts,
  lua,
  messageOf,
  names,
  sent,
} from './support.ts';

const one = pod('client', { ip: '10.0.0.1', labels: { app: 'web' } });
const mesh = [
  service('web', { ports: ['http:80:8080', 'tcp:9000'], selector: { app: 'web' }, clusterIPs: ['10.96.0.1'] }),
  one,
  endpointSlice('web', [one], { ports: ['http:8080', 'tcp:9000'] }),
];
const SIDECAR: ProxyOptions = { ip: '10.0.0.1', labels: { app: 'web' } };
const HTTP = '0.0.0.0_80';
const TCP = '10.96.0.1_9000';

type Operation = NonNullable<EnvoyConfigObjectPatch['patch']>['operation'];

function patch(
  applyTo: EnvoyConfigObjectPatch['applyTo'],
  operation: Operation,
  listener: object | undefined,
  value?: object,
  context = 'SIDECAR_OUTBOUND',
): EnvoyConfigObjectPatch {
  return {
    applyTo,
    match: { context, ...(listener === undefined ? {} : { listener }) },
    patch: { operation, ...(value === undefined ? {} : { value }) },
  } as EnvoyConfigObjectPatch;
}

function under(patches: readonly EnvoyConfigObjectPatch[], options: ProxyOptions = SIDECAR) {
  return sent(world([...mesh, filter(patches)]), options);
}

const plain = sent(world(mesh), SIDECAR);

function listener(name: string, ...patches: readonly EnvoyConfigObjectPatch[]) {
  return messageOf(listenerDrafts(under(patches)), name);
}

const inManager = (subFilter?: string): object => ({
  filterChain: { filter: { name: HCM, ...(subFilter === undefined ? {} : { subFilter: { name: subFilter } }) } },
});

describe('HTTP_FILTER', () => {
  const before = filtersOf(messageOf(listenerDrafts(plain), HTTP))[0] ?? '';
  const http = before.slice(before.indexOf('[') + 1, -1).split(' ');
  const result = (...patches: readonly EnvoyConfigObjectPatch[]): readonly string[] => {
    const [text = ''] = filtersOf(listener(HTTP, ...patches));
    return text.slice(text.indexOf('[') + 1, -1).split(' ');
  };
  const router = http.indexOf('router');
  const fault = http.indexOf('fault');

  it.each<[string, Operation, string | undefined, readonly string[]]>([
    ['adds behind all', 'ADD', undefined, [...http, 'lua']],
    ['inserts first', 'INSERT_FIRST', undefined, ['lua', ...http]],
    ['inserts before', 'INSERT_BEFORE', 'envoy.filters.http.router', http.toSpliced(router, 0, 'lua')],
    ['inserts after', 'INSERT_AFTER', 'envoy.filters.http.fault', http.toSpliced(fault + 1, 0, 'lua')],
    ['inserts at the front without a name', 'INSERT_BEFORE', undefined, ['lua', ...http]],
    ['inserts at the end without a name', 'INSERT_AFTER', undefined, [...http, 'lua']],
    ['does nothing where the name is not', 'INSERT_BEFORE', 'nowhere', http],
    ['replaces', 'REPLACE', 'envoy.filters.http.fault', http.toSpliced(fault, 1, 'lua')],
    ['replaces nothing without a name', 'REPLACE', undefined, http],
    ['removes', 'REMOVE', 'envoy.filters.http.fault', http.toSpliced(fault, 1)],
    ['removes nothing without a name', 'REMOVE', undefined, http],
  ])('%s', (_, operation, subFilter, expected) => {
    const value = operation === 'REMOVE' ? undefined : lua();
    expect(result(patch('HTTP_FILTER', operation, inManager(subFilter), value))).toEqual(expected);
  });

  it('goes in the order of the patches, merging last', () => {
    const patches = [
      patch('HTTP_FILTER', 'MERGE', inManager('envoy.filters.http.a'), { ...lua('a', 'merged') }),
      patch('HTTP_FILTER', 'INSERT_FIRST', inManager(), lua('a', 'first')),
      patch('HTTP_FILTER', 'INSERT_BEFORE', inManager('envoy.filters.http.a'), lua('b')),
      patch('HTTP_FILTER', 'REMOVE', inManager('envoy.filters.http.cors')),
    ];
    expect(result(...patches)).toEqual(['b', 'a', ...http.filter((each) => each !== 'cors')]);
    const manager = at(
      listener(HTTP, ...patches),
      'filterChains.0.filters.0.typedConfig.httpFilters',
    ) as readonly object[];
    expect(at(manager[1], 'typedConfig.defaultSourceCode.inlineString')).toBe('merged');
  });

  it('merges settings, and says so where they are of another type', () => {
    const value = {
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
        suppress_envoy_headers: true,
      },
    };
    const routers = under([patch('HTTP_FILTER', 'MERGE', inManager('envoy.filters.http.router'), value)]);
    const merged = messageOf(listenerDrafts(routers), HTTP);
    expect(
      at(merged, `filterChains.0.filters.0.typedConfig.httpFilters.${router}.typedConfig.suppressEnvoyHeaders`),
    ).toBe(true);
    expect(findingsOf(routers)).toEqual([]);

    const wrong = under([patch('HTTP_FILTER', 'MERGE', inManager('envoy.filters.http.fault'), value)]);
    expect(messageOf(listenerDrafts(wrong), HTTP)).toEqual(messageOf(listenerDrafts(plain), HTTP));
    expect(findingsOf(wrong)).toContainEqual(
      expect.stringMatching(/^MEL0061 spec\.configPatches\[0\] .*fault.*not .*Router/),
    );
  });

  it('takes over switches, also back to false', () => {
    const off = patch('HTTP_FILTER', 'MERGE', inManager('envoy.filters.http.cors'), { disabled: true });
    const cors = http.indexOf('cors');
    expect(at(listener(HTTP, off), `filterChains.0.filters.0.typedConfig.httpFilters.${cors}.disabled`)).toBe(true);
    const normal = { typed_config: { '@type': HCM_TYPE, normalize_path: false } };
    const path = 'filterChains.0.filters.0.typedConfig.normalizePath';
    expect(at(messageOf(listenerDrafts(plain), HTTP), path)).toBe(true);
    expect(at(listener(HTTP, patch('NETWORK_FILTER', 'MERGE', inManager(), normal)), path)).toBe(false);
  });

  it('is for the side and the port that it names', () => {
    const inbound = (portNumber: number) =>
      patch('HTTP_FILTER', 'INSERT_FIRST', { portNumber, ...inManager() }, lua(), 'SIDECAR_INBOUND');
    const chains = (number: number) =>
      filtersOf(listener('virtualInbound', inbound(number))).filter((text) => text.includes('[lua '));
    expect(chains(8080).length).toBeGreaterThan(0);
    expect(chains(80)).toEqual([]);
    expect(filtersOf(listener(HTTP, inbound(8080)))).toEqual(filtersOf(messageOf(listenerDrafts(plain), HTTP)));
  });
});

describe('NETWORK_FILTER', () => {
  const proxyOf = (name: string): object => ({ filterChain: { filter: { name } } });
  const result = (...patches: readonly EnvoyConfigObjectPatch[]): readonly string[] =>
    filtersOf(listener(TCP, ...patches));
  const TCP_PROXY = 'envoy.filters.network.tcp_proxy';

  it.each<[string, Operation, object | undefined, readonly string[]]>([
    ['adds', 'ADD', undefined, ['tcp_proxy connection_limit']],
    ['inserts first', 'INSERT_FIRST', undefined, ['connection_limit tcp_proxy']],
    ['inserts before', 'INSERT_BEFORE', proxyOf(TCP_PROXY), ['connection_limit tcp_proxy']],
    ['inserts after', 'INSERT_AFTER', proxyOf(TCP_PROXY), ['tcp_proxy connection_limit']],
    ['replaces', 'REPLACE', proxyOf(TCP_PROXY), ['connection_limit']],
    ['removes', 'REMOVE', proxyOf(TCP_PROXY), ['']],
    ['does nothing where the name is not', 'INSERT_BEFORE', proxyOf('nowhere'), ['tcp_proxy']],
  ])('%s', (_, operation, match, expected) => {
    expect(result(patch('NETWORK_FILTER', operation, match, operation === 'REMOVE' ? undefined : limit(5)))).toEqual(
      expected,
    );
  });

  it('merges into connection managers, and patches the filters of one that it put there', () => {
    const merge = patch('NETWORK_FILTER', 'MERGE', inManager(), {
      typed_config: {
        '@type': HCM_TYPE,
        common_http_protocol_options: { idle_timeout: '30s' },
        access_log: [{ name: 'a' }],
      },
    });
    const before = at(messageOf(listenerDrafts(plain), HTTP), 'filterChains.0.filters.0.typedConfig') as Record<
      string,
      unknown
    >;
    const after = at(listener(HTTP, merge), 'filterChains.0.filters.0.typedConfig') as Record<string, unknown>;
    expect(after).toEqual({
      ...before,
      commonHttpProtocolOptions: { idleTimeout: '30s' },
      accessLog: [...((before['accessLog'] ?? []) as readonly unknown[]), { name: 'a' }],
    });
    const manager = { name: HCM, typed_config: { '@type': HCM_TYPE, stat_prefix: 'own' } };
    const replaced = result(
      patch('NETWORK_FILTER', 'REPLACE', { name: TCP, ...proxyOf(TCP_PROXY) }, manager),
      patch('HTTP_FILTER', 'ADD', inManager(), lua()),
    );
    expect(replaced).toEqual(['hcm[lua]']);
  });
});

describe('an Any inside of what is merged', () => {
  it('is replaced: to a merge it is a type and bytes', () => {
    const uuid = 'type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig';
    const value = {
      typed_config: {
        '@type': HCM_TYPE,
        request_id_extension: { typed_config: { '@type': uuid, pack_trace_reason: false } },
      },
    };
    const path = 'filterChains.0.filters.0.typedConfig.requestIdExtension.typedConfig';
    expect(at(messageOf(listenerDrafts(plain), HTTP), path)).toEqual({
      '@type': uuid,
      useRequestIdForTraceSampling: true,
    });
    expect(at(listener(HTTP, patch('NETWORK_FILTER', 'MERGE', inManager(), value)), path)).toEqual({
      '@type': uuid,
      packTraceReason: false,
    });
  });
});

describe('FILTER_CHAIN', () => {
  const timeout = { transport_socket_connect_timeout: '3s' };
  const changed = (listenerMatch: object | undefined): readonly string[] => {
    const inbound = listener(
      'virtualInbound',
      patch('FILTER_CHAIN', 'MERGE', listenerMatch, timeout, 'SIDECAR_INBOUND'),
    );
    const chains = inbound['filterChains'] as readonly Record<string, unknown>[];
    return chains
      .filter((chain) => chain['transportSocketConnectTimeout'] === '3s')
      .map((chain) => `${String(chain['name'])} ${String(at(chain, 'filterChainMatch.transportProtocol') ?? 'any')}`);
  };

  it.each<[string, object, RegExp, number]>([
    ['a name', { filterChain: { name: '0.0.0.0_8080' } }, /^0\.0\.0\.0_8080 /, 3],
    ['a transport protocol', { filterChain: { transportProtocol: 'tls' } }, / tls$/, 1],
    ['a destination port', { filterChain: { destinationPort: 9000 } }, /^0\.0\.0\.0_9000 /, 1],
    ['the port of a virtual listener', { portNumber: 9000 }, /^0\.0\.0\.0_9000 /, 1],
    [
      'application protocols, all of them',
      { filterChain: { applicationProtocols: 'istio,istio-peer-exchange' } },
      / tls$/,
      1,
    ],
  ])('is meant by %s', (_, match, expected, atLeast) => {
    const found = changed(match);
    expect(found.filter((each) => !expected.test(each))).toEqual([]);
    expect(found.length).toBeGreaterThanOrEqual(atLeast > 1 ? 1 : atLeast);
  });

  it('is none where one protocol is missing, or the server name', () => {
    expect(changed({ filterChain: { applicationProtocols: 'istio,nothing' } })).toEqual([]);
    expect(changed({ filterChain: { sni: 'a.example.com' } })).toEqual([]);
  });

  it('is added last, and removed', () => {
    const added = listener(HTTP, patch('FILTER_CHAIN', 'ADD', { name: HTTP }, { name: 'own', filters: [limit(1)] }));
    expect((added['filterChains'] as readonly object[]).at(-1)).toMatchObject({ name: 'own' });
    const removed = listener(
      'virtualInbound',
      patch('FILTER_CHAIN', 'REMOVE', { portNumber: 9000 }, undefined, 'SIDECAR_INBOUND'),
    );
    const ports = (removed['filterChains'] as readonly object[]).map((chain) =>
      at(chain, 'filterChainMatch.destinationPort'),
    );
    expect(ports).toContain(8080);
    expect(ports).not.toContain(9000);
  });

  it('takes its listener along when no chain is left: Envoy would refuse it', () => {
    const left = names(listenerDrafts(under([patch('FILTER_CHAIN', 'REMOVE', { name: TCP })])));
    expect(left).toEqual(names(listenerDrafts(plain)).filter((name) => name !== TCP));
  });

  it('merges the settings of its transport socket', () => {
    const inbound = listener(
      'virtualInbound',
      patch(
        'FILTER_CHAIN',
        'MERGE',
        { filterChain: { transportProtocol: 'tls' } },
        {
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
              require_sni: true,
            },
          },
        },
        'SIDECAR_INBOUND',
      ),
    );
    const chain = (inbound['filterChains'] as readonly object[]).find(
      (each) => at(each, 'transportSocket') !== undefined,
    );
    expect(at(chain, 'transportSocket.typedConfig.requireSni')).toBe(true);
    expect(at(chain, 'transportSocket.typedConfig.requireClientCertificate')).toBe(true);
  });
});

describe('LISTENER_FILTER', () => {
  const TLS = 'envoy.filters.listener.tls_inspector';
  const proxyProtocol = { name: 'envoy.filters.listener.proxy_protocol' };
  const result = (operation: Operation, listenerFilter?: string, value?: object): readonly string[] => {
    const match = listenerFilter === undefined ? undefined : { listenerFilter };
    const inbound = listener('virtualInbound', patch('LISTENER_FILTER', operation, match, value, 'SIDECAR_INBOUND'));
    return (inbound['listenerFilters'] as readonly { name: string }[]).map(({ name }) =>
      name.replace('envoy.filters.listener.', ''),
    );
  };
  const before = (
    messageOf(listenerDrafts(plain), 'virtualInbound')['listenerFilters'] as readonly { name: string }[]
  ).map(({ name }) => name.replace('envoy.filters.listener.', ''));
  const tls = before.indexOf('tls_inspector');

  it.each<[string, Operation, string | undefined, readonly string[]]>([
    ['first', 'INSERT_FIRST', undefined, ['proxy_protocol', ...before]],
    ['behind all', 'ADD', undefined, [...before, 'proxy_protocol']],
    ['before one', 'INSERT_BEFORE', TLS, before.toSpliced(tls, 0, 'proxy_protocol')],
    ['after one', 'INSERT_AFTER', TLS, before.toSpliced(tls + 1, 0, 'proxy_protocol')],
    ['in the place of one', 'REPLACE', TLS, before.toSpliced(tls, 1, 'proxy_protocol')],
  ])('%s', (_, operation, name, expected) => {
    expect(result(operation, name, proxyProtocol)).toEqual(expected);
  });

  it('merges into the one that it names, and removes it', () => {
    expect(result('REMOVE', TLS)).toEqual(before.toSpliced(tls, 1));
    const value = {
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
        enable_ja3_fingerprinting: true,
      },
    };
    const inbound = listener(
      'virtualInbound',
      patch('LISTENER_FILTER', 'MERGE', { listenerFilter: TLS }, value, 'SIDECAR_INBOUND'),
    );
    expect(at(inbound, `listenerFilters.${tls}.typedConfig.enableJa3Fingerprinting`)).toBe(true);
    expect(at(inbound, `listenerFilters.${tls}.typedConfig.initialReadBufferSize`)).toBe(512);
  });
});

describe('LISTENER', () => {
  it('merges, by name or port', () => {
    const limited = { per_connection_buffer_limit_bytes: 4096 };
    const byPort = under([patch('LISTENER', 'MERGE', { portNumber: 9000 }, limited)]);
    const changed = names(
      listenerDrafts(byPort).filter(
        ({ name }) => messageOf(listenerDrafts(byPort), name)['perConnectionBufferLimitBytes'] === 4096,
      ),
    );
    expect(changed).toEqual([TCP]);
    expect(listener('virtualOutbound', patch('LISTENER', 'MERGE', { name: 'virtualOutbound' }, limited))).toMatchObject(
      {
        perConnectionBufferLimitBytes: 4096,
      },
    );
  });

  it('removes', () => {
    const left = names(listenerDrafts(under([patch('LISTENER', 'REMOVE', { name: HTTP })])));
    expect(left).toEqual(names(listenerDrafts(plain)).filter((name) => name !== HTTP));
  });

  it('adds once for any side, unpatched, and never over one that is there', () => {
    const value = (name: string): object => ({
      name,
      address: { socket_address: { address: '127.0.0.1', port_value: 7777 } },
    });
    const result = under([
      patch('LISTENER', 'ADD', undefined, value('extra'), 'ANY'),
      patch('LISTENER', 'ADD', undefined, value('inner'), 'SIDECAR_INBOUND'),
      patch('LISTENER', 'ADD', undefined, value(HTTP)),
      patch('LISTENER', 'MERGE', { name: 'extra' }, { per_connection_buffer_limit_bytes: 4096 }),
    ]);
    expect(names(listenerDrafts(result))).toEqual([...names(listenerDrafts(plain)), 'extra', 'inner'].sort());
    expect(messageOf(listenerDrafts(result), 'extra')['perConnectionBufferLimitBytes']).toBeUndefined();
    expect(findingsOf(result)).toEqual([expect.stringMatching(/^MEL0061 spec\.configPatches\[2\]/)]);
  });

  it('matches a gateway by the port on which it listens', () => {
    const objects = [
      ...mesh,
      service('gw', { ports: ['http:80:8080'], selector: { app: 'gw' }, clusterIPs: ['10.96.0.9'] }),
      gateway('gw', {
        selector: { app: 'gw' },
        servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
      }),
      virtualService('web', { hosts: ['*'], gateways: ['gw'], http: [{ route: [{ destination: { host: 'web' } }] }] }),
    ];
    const router: ProxyOptions = { type: 'router', name: 'gw', labels: { app: 'gw' }, ip: '10.0.0.9' };
    const limited = (number: number) => {
      const match = patch(
        'LISTENER',
        'MERGE',
        { portNumber: number },
        { per_connection_buffer_limit_bytes: 1 },
        'GATEWAY',
      );
      const drafts = listenerDrafts(sent(world([...objects, filter([match])]), router));
      return drafts.map(({ name }) => messageOf(drafts, name)['perConnectionBufferLimitBytes']);
    };
    const [port] = listenerDrafts(sent(world(objects), router)).map(({ name }) => Number(name.split('_')[1]));
    expect(limited(port ?? 0)).toEqual([1]);
    expect(limited(4711)).toEqual([undefined]);
  });
});
