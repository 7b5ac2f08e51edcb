import { describe, expect, it } from 'vitest';
import { messageSchema } from '../../scripts/generate/message-schema.ts';
import { modelOf } from '../../scripts/generate/model.ts';
import { loadProtos } from '../../scripts/generate/protos.ts';
import { messageInfo } from '../../src/codec/table.ts';
import type { DestinationRuleSpec, HTTPRoute, TrafficExtensionSpec } from '../../src/config/generated/types.ts';
import { type ConfigSchema, ISTIO_SCHEMAS } from '../../src/config/generated/schemas.ts';
import type { Cluster, HttpRouter, Listener } from '../../src/messages/index.ts';

function at(schema: ConfigSchema | undefined, path: string): ConfigSchema | undefined {
  return path.split('.').reduce<ConfigSchema | undefined>((found, step) => {
    const next = found?.properties?.[step.replace('[]', '')];
    return step.endsWith('[]') ? next?.items : next;
  }, schema);
}

describe('message types', () => {
  it('come out the same every time', () => {
    expect(messageSchema(modelOf(loadProtos()))).toBe(messageSchema(modelOf(loadProtos())));
  });

  it('tell shapes apart', () => {
    const shapes = (type: string, name: string): unknown => {
      const field = messageInfo(type)?.byName.get(name);
      return field && [field.shape, field.scalar, field.key, field.oneof >= 0, field.presence];
    };
    expect(shapes('envoy.config.cluster.v3.Cluster', 'type')).toEqual(['one', '', '', true, true]);
    expect(shapes('envoy.config.cluster.v3.Cluster', 'lrs_report_endpoint_metrics')).toEqual([
      'repeated',
      's',
      '',
      false,
      false,
    ]);
    expect(shapes('envoy.config.cluster.v3.Cluster', 'typed_extension_protocol_options')).toEqual([
      'map',
      '',
      's',
      false,
      false,
    ]);
    expect(shapes('envoy.config.core.v3.ProxyProtocolPassThroughTLVs', 'tlv_type')).toEqual([
      'packed',
      'u',
      '',
      false,
      false,
    ]);
  });

  it('are what the compiler checks', () => {
    const router: HttpRouter = { suppressEnvoyHeaders: true, dynamicStats: false };
    const cluster: Cluster = { name: 'c', type: 'EDS', connectTimeout: '1s', dnsJitter: undefined };
    // @ts-expect-error: no such member
    const wrong: Cluster = { type: 'NOPE' };
    // @ts-expect-error: a wrapper is a bare value
    const wrapped: Listener = { bindToPort: { value: true } };
    expect([router, cluster, wrong, wrapped]).toHaveLength(4);
  });
});

describe('schemas of Istio kinds', () => {
  it('are there for every kind', () => {
    expect(Object.keys(ISTIO_SCHEMAS)).toHaveLength(15);
    for (const schema of Object.values(ISTIO_SCHEMAS))
      expect(Object.keys(schema.properties ?? {}).length).toBeGreaterThan(0);
  });

  it('hold what is newer than the package, wherever it applies', () => {
    const rule = ISTIO_SCHEMAS['DestinationRule'];
    for (const path of ['trafficPolicy', 'subsets[].trafficPolicy', 'trafficPolicy.portLevelSettings[]']) {
      expect(at(rule, `${path}.loadBalancer.warmup.duration`)?.type, path).toBe('string');
      expect(at(rule, `${path}.connectionPool.http.maxConcurrentStreams`)?.type, path).toBe('integer');
    }
    expect(at(ISTIO_SCHEMAS['Sidecar'], 'inboundConnectionPool.tcp.maxConnections')?.type).toBe('integer');
    expect(at(ISTIO_SCHEMAS['TrafficExtension'], 'wasm')?.required).toEqual(['url']);
  });

  it('say which fields exclude each other', () => {
    const uri = at(ISTIO_SCHEMAS['VirtualService'], 'http[].match[].uri');
    expect(uri?.exclusive).toEqual([['exact', 'prefix', 'regex']]);
    const hash = at(ISTIO_SCHEMAS['DestinationRule'], 'trafficPolicy.loadBalancer.consistentHash');
    expect(hash?.exclusive).toEqual([
      ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'],
      ['ringHash', 'maglev'],
    ]);
  });

  it('are what the compiler checks', () => {
    const route: HTTPRoute = { match: [{ uri: { prefix: '/' } }], route: [{ destination: { host: 'a' }, weight: 1 }] };
    const rule: DestinationRuleSpec = { host: 'a', trafficPolicy: { tls: { mode: 'SIMPLE' } } };
    // @ts-expect-error: no such mode
    const wrong: DestinationRuleSpec = { trafficPolicy: { tls: { mode: 'ANY' } } };
    const extension: TrafficExtensionSpec = { lua: { inlineCode: 'x' }, phase: 'AUTHZ' };
    expect([route, rule, wrong, extension]).toHaveLength(4);
  });
});
