import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  anyOf,
  anyOfEncoded,
  decode,
  decodeJson,
  Encoded,
  encode,
  encodeJson,
  hasType,
  typeUrlOf,
} from '../../src/codec/index.ts';
import type { Messages } from '../../src/messages/index.ts';
import { failure } from './failure.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const HOST = 'envoy.config.route.v3.VirtualHost';
const LISTENER = 'envoy.config.listener.v3.Listener';
const TCP_PROXY = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('encode', () => {
  it('writes fields by number, whatever the order of keys', () => {
    const one = encode('envoy.config.core.v3.SocketAddress', { portValue: 80, address: 'a' });
    expect(hex(one)).toBe('12016118' + '50');
    expect(encode('envoy.config.core.v3.SocketAddress', { address: 'a', portValue: 80 })).toEqual(one);
  });

  it('writes bytes that base64 stands for, in either alphabet, with and without padding', () => {
    const DATA = 'envoy.config.core.v3.DataSource';
    for (let size = 0; size < 70; size++) {
      const inlineBytes = Uint8Array.from({ length: size }, (_, index) => (index * 97 + size * 151 + 248) & 255);
      const own = encodeJson(DATA, { inlineBytes });
      for (const alphabet of ['base64', 'base64url'] as const) {
        const text = Buffer.from(inlineBytes).toString(alphabet);
        expect(encodeJson(DATA, { inlineBytes: text })).toEqual(own);
        expect(encodeJson(DATA, { inlineBytes: text.replace(/=+$/, '') })).toEqual(own);
      }
    }
  });

  it('leaves large messages alone when others are written', () => {
    const host = (letter: string): Messages['envoy.config.route.v3.VirtualHost'] => ({
      name: letter,
      domains: Array.from({ length: 400 }, (_, index) => `${letter.repeat(2_000)}${index}`),
    });
    const parts = ['a', 'b'].map((letter) => new Encoded(encode(HOST, host(letter))));
    const virtualHosts = Array.from({ length: 100 }, (_, index) => parts[index % 2] as Encoded);
    const config = encode('envoy.config.route.v3.RouteConfiguration', { virtualHosts });
    const copies = [...parts.map(({ bytes }) => bytes), config].map((bytes) => bytes.slice());
    encode('envoy.config.route.v3.RouteConfiguration', { virtualHosts: virtualHosts.toReversed() });
    expect(parts.map(({ bytes }) => Buffer.compare(bytes, copies.shift() as Uint8Array))).toEqual([0, 0]);
    expect(Buffer.compare(config, copies[0] as Uint8Array)).toBe(0);
    const decoded = decode('envoy.config.route.v3.RouteConfiguration', config);
    expect(decoded.virtualHosts?.map((each) => (each as { name?: string }).name)).toEqual(
      virtualHosts.map((_, index) => 'ab'[index % 2]),
    );
  });

  it('writes map entries by key', () => {
    const forth = { filterMetadata: { a: { x: 1, y: 2 }, b: {}, B: {} } };
    const back = { filterMetadata: { B: {}, b: {}, a: { y: 2, x: 1 } } };
    const bytes = encode('envoy.config.core.v3.Metadata', forth);
    expect(encode('envoy.config.core.v3.Metadata', back)).toEqual(bytes);
    expect(Object.keys(decode('envoy.config.core.v3.Metadata', bytes).filterMetadata ?? {})).toEqual(['B', 'a', 'b']);
  });

  it('leaves out default scalars and undefined, but not in a oneof or a wrapper', () => {
    expect(encode(CLUSTER, { name: '', lbPolicy: 'ROUND_ROBIN', altStatName: undefined }).length).toBe(0);
    expect(hex(encode(CLUSTER, { type: 'STATIC' }))).toBe('1000');
    expect(hex(encode('envoy.config.core.v3.SocketAddress', { portValue: 0 }))).toBe('1800');
    expect(decode(LISTENER, encode(LISTENER, { bindToPort: false }))).toEqual({ bindToPort: false });
    expect(decode(LISTENER, encode(LISTENER, { defaultFilterChain: {} }))).toEqual({ defaultFilterChain: {} });
  });

  it('knows the fields that are newer than the package', () => {
    const cluster = { dnsJitter: '0.500s' };
    expect(hex(encode(CLUSTER, cluster))).toBe('d20306' + '1080cab5ee01');
    expect(hex(encode('envoy.extensions.wasm.v3.PluginConfig', { failurePolicy: 'FAIL_RELOAD' }))).toBe('3801');
    const zipkin = { collectorService: { httpUri: { uri: '/', cluster: 'z', timeout: '1s' } } } as const;
    expect(encode('envoy.config.trace.v3.ZipkinConfig', zipkin)[0]).toBe((9 << 3) | 2);
    expect(hex(encode('istio.mesh.v1alpha1.ProxyConfig', { caCertificatesPem: ['x'] }))).toBe('92020178');
  });

  it('knows the types that the package lacks, and not those of version 2', () => {
    for (const type of [
      'envoy.extensions.access_loggers.stats.v3.Config',
      'istio.networking.nds.v1.NameTable',
      'istio.v1.auth.IstioCertificateRequest',
      'opentelemetry.proto.common.v1.KeyValueList',
      'envoy.extensions.filters.http.set_filter_state.v3.Config',
    ]) {
      expect(hasType(type), type).toBe(true);
    }
    expect(hasType('envoy.api.v2.Cluster')).toBe(false);
  });

  it('packs typed messages and special forms into Any', () => {
    const any = anyOf(TCP_PROXY, { statPrefix: 'x', cluster: 'c' });
    expect(any).toEqual({ '@type': typeUrlOf(TCP_PROXY), statPrefix: 'x', cluster: 'c' });
    const wrapped = anyOf('google.protobuf.StringValue', 'v');
    expect(wrapped).toEqual({ '@type': 'type.googleapis.com/google.protobuf.StringValue', value: 'v' });
    const filter = { name: 'f', typedConfig: any };
    expect(decode(LISTENER, encode(LISTENER, { filterChains: [{ filters: [filter] }] }))).toEqual({
      filterChains: [{ filters: [filter] }],
    });
    expect(() => {
      // @ts-expect-error: not a field of TcpProxy
      encode('google.protobuf.Any', anyOf(TCP_PROXY, { statPrefixx: 'x' }));
    }).toThrow('statPrefixx');
  });

  it('takes parts that are encoded already', () => {
    const chain = { filters: [{ name: 'f', typedConfig: anyOf(TCP_PROXY, { statPrefix: 'x' }) }] };
    const plain = encode(LISTENER, { name: 'l', filterChains: [chain, {}] });
    const filterChain = new Encoded(encode('envoy.config.listener.v3.FilterChain', chain));
    expect(encode(LISTENER, { name: 'l', filterChains: [filterChain, {}] })).toEqual(plain);
    const typedConfig = anyOfEncoded(TCP_PROXY, new Encoded(encode(TCP_PROXY, { statPrefix: 'x' })));
    expect(encode(LISTENER, { name: 'l', filterChains: [{ filters: [{ name: 'f', typedConfig }] }, {}] })).toEqual(
      plain,
    );
  });

  it('writes lone surrogates as the replacement character', () => {
    const bytes = encode(CLUSTER, { name: 'a\ud800b\udc00' });
    expect(decode(CLUSTER, bytes).name).toBe('a\ufffdb\ufffd');
  });

  it('does not remember a failed message', () => {
    const good = encode(CLUSTER, { name: 'c', connectTimeout: '1s' });
    expect(failure(CLUSTER, { name: 'c', loadAssignment: { endpoints: [{ lbEndpoints: [{ nope: 1 }] }] } })).not.toBe(
      'none',
    );
    expect(encode(CLUSTER, { name: 'c', connectTimeout: '1s' })).toEqual(good);
  });

  it('grows with what it has to hold', () => {
    const lbEndpoints = Array.from({ length: 5000 }, (_, index) => ({
      endpoint: { address: { socketAddress: { address: `10.0.0.${index}`, portValue: index } } },
    }));
    const type = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
    const message = { clusterName: 'x'.repeat(50_000), endpoints: [{ lbEndpoints }] };
    expect(decodeJson(type, encodeJson(type, message))).toEqual(message);
  });
});

describe('messages of all sizes, one after the other', () => {
  // Below, at and above what a block holds and what has memory of its own; some fail half-way.
  const sizes = fc.oneof(
    { weight: 8, arbitrary: fc.nat(300) },
    { weight: 3, arbitrary: fc.integer({ min: 1800, max: 2200 }) },
    { weight: 2, arbitrary: fc.integer({ min: 3000, max: 40_000 }) },
    { weight: 1, arbitrary: fc.constant(300_000) },
  );
  const messages = fc.array(fc.record({ size: sizes, parts: fc.nat(3), fails: fc.boolean() }), {
    maxLength: 60,
    size: 'max',
  });

  it('stay as they were written, and nobody writes into another', () => {
    fc.assert(
      fc.property(messages, (list) => {
        const written = list.map(({ size, parts, fails }, index) => {
          const text = String.fromCharCode(97 + (index % 26)).repeat(size);
          const domains = Array.from({ length: parts }, () => text);
          const wrong = { name: text, domains, requireTls: 'NEVER' } as unknown as Messages[typeof HOST];
          if (fails) expect(() => encode(HOST, wrong)).toThrow();
          const bytes = encode(HOST, { name: text, domains });
          return { bytes, before: hex(bytes), text, domains };
        });
        for (const { bytes, before, text, domains } of written) {
          expect(hex(bytes)).toBe(before);
          const { name = '', domains: read = [] } = decode(HOST, bytes);
          expect([name === text, read.length, read.every((each) => each === text)]).toEqual([
            true,
            domains.length,
            true,
          ]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('what a message type does not admit', () => {
  it('is refused with its exact path', () => {
    const typedConfig = { '@type': typeUrlOf(TCP_PROXY), statPrefixx: 'x' };
    const listener = { filterChains: [{ filters: [{ name: 'a' }, { name: 'b', typedConfig }] }] };
    expect(failure(LISTENER, listener)).toBe(
      `filterChains[0].filters[1].typedConfig.statPrefixx | a field of ${TCP_PROXY}`,
    );
    expect(failure(LISTENER, { metadata: { filterMetadata: { istio: { a: [1, { b: 1n }] } } } })).toBe(
      'metadata.filterMetadata["istio"]["a"][1]["b"] | a JSON value',
    );
  });

  it.each<[string, unknown, string]>([
    [CLUSTER, { name: 1 }, 'name | a string'],
    [CLUSTER, { connectTimeout: '1' }, 'connectTimeout | a duration such as "1.5s"'],
    [CLUSTER, { connectTimeout: 1 }, 'connectTimeout | a duration such as "1.5s"'],
    [CLUSTER, { lbPolicy: 'NO' }, 'lbPolicy | a member of envoy.config.cluster.v3.Cluster.LbPolicy'],
    [CLUSTER, { healthChecks: {} }, 'healthChecks | a list'],
    [CLUSTER, { metadata: [] }, 'metadata | envoy.config.core.v3.Metadata as an object'],
    [CLUSTER, { metadata: null }, 'metadata | envoy.config.core.v3.Metadata as an object'],
    [CLUSTER, { alt_stat_name: 'x' }, `alt_stat_name | a field of ${CLUSTER}`],
    [CLUSTER, { perConnectionBufferLimitBytes: -1 }, 'perConnectionBufferLimitBytes | an unsigned 32-bit integer'],
    [CLUSTER, { perConnectionBufferLimitBytes: 1.5 }, 'perConnectionBufferLimitBytes | an unsigned 32-bit integer'],
    [LISTENER, { bindToPort: 'true' }, 'bindToPort | true or false'],
    [
      'envoy.type.v3.Int64Range',
      { start: '9223372036854775808' },
      'start | a 64-bit integer, as a number or decimal string',
    ],
    ['envoy.config.core.v3.DataSource', { inlineBytes: '*' }, 'inlineBytes | bytes, or base64 text'],
    ['google.protobuf.Any', { '@type': 'a/b.C', x: 1 }, '@type | a known message type, not b.C'],
    ['google.protobuf.Any', {}, '@type | a type URL'],
    ['no.Such', {}, ' | a known message type, not no.Such'],
  ])('%s %j', (type, message, expected) => {
    expect(failure(type, message)).toBe(expected);
  });

  it('includes two members of a oneof', () => {
    expect(failure(CLUSTER, { type: 'EDS', clusterType: { name: 'x' } })).toBe(
      'clusterType | to be set without type: they exclude each other',
    );
    expect(failure(CLUSTER, { type: 'EDS', clusterType: undefined })).toBe('none');
  });
});
