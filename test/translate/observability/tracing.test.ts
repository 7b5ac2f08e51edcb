import { describe, expect, it } from 'vitest';
import type { Tracing } from '../../../src/config/generated/types.ts';
import { parseMeshConfig } from '../../../src/config/mesh.ts';
import type { ScopedService } from '../../../src/ir/traffic.ts';
import { smallTable } from '../../../src/lib/table.ts';
import type { ListenerRole } from '../../../src/translate/context.ts';
import { meshProviders } from '../../../src/translate/observability/providers.ts';
import { tracingSettings } from '../../../src/translate/observability/tracing.ts';
import { telemetry } from '../../support/builders.ts';
import { type ClassOptions, proxyClass } from '../routes/support.ts';

type Json = Record<string, unknown>;

const spans = {
  service: { hostname: 'spans.example.com', namespace: 'obs', ports: [1, 2, 3, 9000].map((number) => ({ number })) },
} as unknown as ScopedService;
const at = { service: 'spans.example.com', port: 1 };

const PROVIDERS = [
  { name: 'zipkin', zipkin: { ...at, maxTagLength: 64 } },
  { name: 'otel', opentelemetry: { ...at, resourceDetectors: { environment: {} } } },
  {
    name: 'otelhttp',
    opentelemetry: { ...at, http: { path: '/v1', timeout: '10s', headers: [{ name: 'a', envName: 'B' }] } },
  },
  { name: 'dynatrace', opentelemetry: { ...at, http: {}, dynatraceSampler: { tenant: 't', clusterId: 1 } } },
  { name: 'datadog', datadog: at },
  { name: 'skywalking', skywalking: { ...at, accessToken: 't' } },
  { name: 'lost', zipkin: { service: 'gone.example.com', port: 1 } },
  { name: 'portless', zipkin: { ...at, port: 77 } },
];

interface Options {
  readonly role?: ListenerRole;
  readonly mesh?: Json;
  readonly proxy?: ClassOptions;
}

function made(tracing: readonly Tracing[] | undefined, { role = 'sidecar-outbound', mesh = {}, proxy }: Options = {}) {
  const config = parseMeshConfig({ extensionProviders: PROVIDERS, ...mesh }).mesh;
  return tracingSettings({
    role,
    mesh: config,
    proxyClass: proxyClass({ namespace: 'shop', ...proxy }),
    telemetry: tracing === undefined ? {} : { mesh: telemetry('t', { tracing }) },
    providers: meshProviders(config, smallTable([['spans.example.com', spans]])),
  });
}

const by = (name: string): Tracing => ({ providers: [{ name }] });
const tagsOf = (block: ReturnType<typeof made>['block']) =>
  Object.fromEntries(((block?.customTags ?? []) as readonly { tag: string }[]).map((tag) => [tag.tag, tag])) as Record<
    string,
    Json
  >;

describe('spans', () => {
  it('are prepared without a tracer, where the mesh traces at all', () => {
    const { block } = made(undefined);
    expect(block?.provider).toBeUndefined();
    expect(block?.randomSampling).toEqual({ value: 1 });
    expect(made(undefined, { mesh: { enableTracing: false } }).block).toBeUndefined();
  });

  it('are off where they are switched off, for the side that is meant', () => {
    const off: Tracing = { ...by('otel'), disableSpanReporting: true, match: { mode: 'SERVER' } };
    expect(made([off], { role: 'sidecar-inbound' }).block).toBeUndefined();
    expect(made([by('otel'), off], { role: 'gateway' }).block).toBeDefined();
  });

  it('are off where the tracer can not be reached', () => {
    expect(made([by('lost')]).block).toBeUndefined();
    expect(made([by('portless')]).block).toBeUndefined();
  });

  it.each([
    ['zipkin', 'envoy.tracers.zipkin'],
    ['otel', 'envoy.tracers.opentelemetry'],
    ['datadog', 'envoy.tracers.datadog'],
    ['skywalking', 'envoy.tracers.skywalking'],
  ])('go to %s', (name, tracer) => {
    expect(made([by(name)]).block?.provider).toMatchObject({ name: tracer });
  });

  it('go to the first provider of the last entry that names one, else to the default', () => {
    const mesh = { defaultProviders: { tracing: ['zipkin'] } };
    expect(made(undefined, { mesh }).block?.provider).toMatchObject({ name: 'envoy.tracers.zipkin' });
    const entries = [by('otel'), { randomSamplingPercentage: 5 }];
    expect(made(entries, { mesh }).block).toMatchObject({
      provider: { name: 'envoy.tracers.opentelemetry' },
      randomSampling: { value: 5 },
    });
  });

  it('go over HTTP where the provider says so', () => {
    const { block } = made([by('otelhttp')]);
    expect(block?.provider).toMatchObject({
      typedConfig: {
        httpService: {
          httpUri: { uri: 'spans.example.com/v1', cluster: 'outbound|1||spans.example.com', timeout: '10s' },
          requestHeadersToAdd: [{ header: { key: 'a', value: '%ENVIRONMENT(B)%' } }],
        },
      },
    });
  });

  it('are all offered to a tracer that samples by itself', () => {
    expect(made([{ ...by('dynatrace'), randomSamplingPercentage: 5 }]).block?.randomSampling).toEqual({ value: 100 });
  });

  it('have an upstream span on gateways', () => {
    expect(made([by('otel')], { role: 'gateway' }).block?.spawnUpstreamSpan).toBe(true);
    expect(made([by('otel')]).block?.spawnUpstreamSpan).toBeUndefined();
  });
});

describe('tags', () => {
  const proxy = {
    settings: {
      canonicalService: 'cart',
      canonicalRevision: 'v1',
      meshId: 'm',
      proxyConfig: { tracing: { customTags: { own: { literal: { value: '1' } } }, maxPathTagLength: 9, sampling: 7 } },
    },
  };

  it('tell where a span comes from', () => {
    const tags = tagsOf(made(undefined, { proxy }).block);
    expect(tags['istio.canonical_service']).toEqual({ tag: 'istio.canonical_service', literal: { value: 'cart' } });
    expect(tags['istio.namespace']).toEqual({ tag: 'istio.namespace', literal: { value: 'shop' } });
    expect(Object.keys(tags)).toEqual(Object.keys(tags).sort());
  });

  it('say so where a workload has no name', () => {
    const tags = tagsOf(made(undefined).block);
    expect(tags['istio.canonical_service']).toMatchObject({ literal: { value: 'unknown' } });
    expect(tags['istio.canonical_revision']).toMatchObject({ literal: { value: 'latest' } });
  });

  it('come from the proxy, or else from Telemetry, of every kind', () => {
    const customTags = {
      a: { literal: { value: 'x' } },
      b: { environment: { name: 'E', defaultValue: 'd' } },
      c: { header: { name: 'x-h' } },
      d: { formatter: { value: '%REQ(X)%' } },
    };
    const ofProxy = made(undefined, { proxy }).block;
    expect(tagsOf(ofProxy)['own']).toEqual({ tag: 'own', literal: { value: '1' } });
    expect(ofProxy).toMatchObject({ maxPathTagLength: 9, randomSampling: { value: 7 } });
    const tags = tagsOf(made([{ ...by('otel'), customTags }], { proxy }).block);
    expect(tags).not.toHaveProperty('own');
    expect(tags['b']).toMatchObject({ environment: { name: 'E', defaultValue: 'd' } });
    expect(tags['c']).toMatchObject({ requestHeader: { name: 'x-h' } });
    expect(tags['d']).toMatchObject({ value: '%REQ(X)%' });
  });

  it('are left to the user where he wants his own only', () => {
    const tags = tagsOf(made([{ ...by('otel'), enableIstioTags: false }], { proxy }).block);
    expect(Object.keys(tags).every((name) => name.startsWith('istio.authorization.dry_run.') || name === 'own')).toBe(
      true,
    );
  });
});
