import { describe, expect, it } from 'vitest';
import { encodeJson, normalise } from '../../src/codec/index.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const LISTENER = 'envoy.config.listener.v3.Listener';

describe('normalise', () => {
  it('takes either case of field names, numbers as text, enums by number, and nulls as absent', () => {
    const written = {
      connect_timeout: '0.25s',
      lbPolicy: 3,
      type: 'EDS',
      per_connection_buffer_limit_bytes: '32768',
      alt_stat_name: null,
      circuit_breakers: { thresholds: [{ maxConnections: '1', retry_budget: { budget_percent: { value: '20.5' } } }] },
      typed_extension_protocol_options: {
        x: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1.50s' },
      },
    };
    const { value, problems } = normalise(CLUSTER, written);
    expect(problems).toEqual([]);
    expect(value).toEqual({
      connectTimeout: '0.250s',
      lbPolicy: 'RANDOM',
      type: 'EDS',
      perConnectionBufferLimitBytes: 32_768,
      circuitBreakers: { thresholds: [{ maxConnections: 1, retryBudget: { budgetPercent: { value: 20.5 } } }] },
      typedExtensionProtocolOptions: {
        x: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1.500s' },
      },
    });
    expect(encodeJson(CLUSTER, value).length).toBeGreaterThan(0);
  });

  it('leaves out what it does not understand, and says where it was', () => {
    const typed_config = {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
      stat_prefixx: 'x',
      cluster: 'c',
      idle_timeout: 'soon',
    };
    const { value, problems } = normalise(LISTENER, { filter_chains: [{ filters: [{ name: 'f', typed_config }] }] });
    expect(problems).toEqual([
      {
        kind: 'unknown-field',
        path: 'filter_chains[0].filters[0].typed_config.stat_prefixx',
        expected: 'a field of envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
      },
      {
        kind: 'invalid',
        path: 'filter_chains[0].filters[0].typed_config.idle_timeout',
        expected: 'a duration such as "1.5s"',
      },
    ]);
    expect(value).toEqual({
      filterChains: [{ filters: [{ name: 'f', typedConfig: { '@type': typed_config['@type'], cluster: 'c' } }] }],
    });
  });

  it.each<[string, unknown, string]>([
    [CLUSTER, { type: 'EDS', cluster_type: { name: 'x' } }, 'cluster_type'],
    [CLUSTER, { alt_stat_name: 'x', altStatName: 'y' }, 'altStatName'],
    [CLUSTER, { lb_policy: 'FASTEST' }, 'lb_policy'],
    [CLUSTER, { metadata: { filter_metadata: { a: 1 } } }, 'metadata.filter_metadata["a"]'],
    [
      LISTENER,
      { filter_chains: [{ filters: [{ typed_config: { '@type': 'x/y.Z' } }] }] },
      'filter_chains[0].filters[0].typed_config.@type',
    ],
    [LISTENER, { bind_to_port: 'yes' }, 'bind_to_port'],
    [LISTENER, 'text', ''],
    ['no.Such', {}, ''],
  ])('refuses in %s %j', (type, json, path) => {
    expect(normalise(type, json).problems.map((problem) => [problem.kind, problem.path])).toEqual([['invalid', path]]);
  });

  it('keeps null where it is a value', () => {
    const { value } = normalise('google.protobuf.Struct', { a: null, b: [null] });
    expect(value).toEqual({ a: null, b: [null] });
  });
});
