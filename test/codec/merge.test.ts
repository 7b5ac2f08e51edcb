import { describe, expect, it } from 'vitest';
import { anyOf, Encoded, encode, merge } from '../../src/codec/index.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

describe('merge', () => {
  it('overwrites scalars, wrappers and durations, and merges messages', () => {
    const base = {
      name: 'c',
      connectTimeout: '10s',
      perConnectionBufferLimitBytes: 1,
      commonLbConfig: { healthyPanicThreshold: { value: 10 }, closeConnectionsOnHostSetChange: true },
    } as const;
    const patch = {
      connectTimeout: '1.500s',
      perConnectionBufferLimitBytes: 0,
      commonLbConfig: { ignoreNewHostsUntilFirstHc: true },
    };
    expect(merge(CLUSTER, base, patch)).toEqual({
      value: {
        name: 'c',
        connectTimeout: '1.500s',
        perConnectionBufferLimitBytes: 0,
        commonLbConfig: {
          healthyPanicThreshold: { value: 10 },
          closeConnectionsOnHostSetChange: true,
          ignoreNewHostsUntilFirstHc: true,
        },
      },
      problems: [],
    });
    expect(base.connectTimeout).toBe('10s');
  });

  it('takes a default scalar for absent', () => {
    expect(merge(CLUSTER, { name: 'c', lbPolicy: 'RANDOM' }, { name: '', lbPolicy: 'ROUND_ROBIN' }).value).toEqual({
      name: 'c',
      lbPolicy: 'RANDOM',
    });
  });

  it('appends lists, or replaces them when told to', () => {
    const [base, patch] = [{ listenerFilters: [{ name: 'a' }] }, { listenerFilters: [{ name: 'b' }] }];
    const type = 'envoy.config.listener.v3.Listener';
    expect(merge(type, base, patch).value.listenerFilters).toEqual([{ name: 'a' }, { name: 'b' }]);
    expect(merge(type, base, patch, { lists: 'replace' }).value.listenerFilters).toEqual([{ name: 'b' }]);
  });

  it('replaces map entries by key', () => {
    const base = { metadata: { filterMetadata: { istio: { a: 1, b: 2 }, kept: {} } } };
    const patch = { metadata: { filterMetadata: { istio: { c: 3 } } } };
    expect(merge(CLUSTER, base, patch).value.metadata).toEqual({ filterMetadata: { istio: { c: 3 }, kept: {} } });
  });

  it('puts out the other members of a oneof', () => {
    expect(merge(CLUSTER, { type: 'EDS' }, { clusterType: { name: 'x' } }).value).toEqual({
      clusterType: { name: 'x' },
    });
    expect(merge(CLUSTER, { type: 'EDS' }, { type: 'STATIC' }).value).toEqual({ type: 'STATIC' });
  });

  it('merges what an Any packs when the types are equal', () => {
    const base = { name: 'f', typedConfig: anyOf(HCM, { statPrefix: 'x', httpFilters: [{ name: 'a' }] }) };
    const patch = { typedConfig: anyOf(HCM, { useRemoteAddress: true, httpFilters: [{ name: 'b' }] }) };
    const { value, problems } = merge('envoy.config.listener.v3.Filter', base, patch);
    expect(problems).toEqual([]);
    expect(value).toEqual({
      name: 'f',
      typedConfig: anyOf(HCM, { statPrefix: 'x', useRemoteAddress: true, httpFilters: [{ name: 'a' }, { name: 'b' }] }),
    });
  });

  it('takes the Any of another type, and says so', () => {
    const raw = anyOf('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer', {});
    const base = { transportSocket: { name: 'x', typedConfig: anyOf(HCM, { statPrefix: 'x' }) } };
    const { value, problems } = merge(CLUSTER, base, { transportSocket: { typedConfig: raw } });
    expect(value.transportSocket).toEqual({ name: 'x', typedConfig: raw });
    expect(problems).toEqual([
      {
        kind: 'invalid',
        path: 'transportSocket.typedConfig.@type',
        expected: `to be of type ${HCM}, as what it patches`,
      },
    ]);
  });

  it('opens parts that are encoded already, when they are patched', () => {
    const chain = new Encoded(encode('envoy.config.listener.v3.FilterChain', { name: 'n', filters: [{ name: 'a' }] }));
    const patched = merge(
      'envoy.config.listener.v3.Listener',
      { defaultFilterChain: chain, name: 'l' },
      {
        defaultFilterChain: { filters: [{ name: 'b' }] },
      },
    );
    expect(patched.value.defaultFilterChain).toEqual({ name: 'n', filters: [{ name: 'a' }, { name: 'b' }] });
    const other = merge('envoy.config.listener.v3.Listener', { defaultFilterChain: chain }, { name: 'l' });
    expect(other.value.defaultFilterChain).toBe(chain);
  });
});
