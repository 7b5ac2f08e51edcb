// One tracer per kind of tracing provider.

import type { ExtensionProvider } from '../../config/mesh.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { Messages } from '../../messages/index.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { extension } from '../envoy.ts';
import { grpcService, type Provider, type ProviderTarget } from './providers.ts';

type HttpTracer = Messages['envoy.config.trace.v3.Tracing.Http'];
type HttpService = Messages['envoy.config.core.v3.HttpService'];
type HeaderOption = Messages['envoy.config.core.v3.HeaderValueOption'];
type OtelProvider = NonNullable<ExtensionProvider['opentelemetry']>;
type ZipkinProvider = NonNullable<ExtensionProvider['zipkin']>;

export interface Tracer {
  readonly provider: HttpTracer;
  readonly maxTagLength: number | undefined;
  /** It has a sampler of its own, which must see every request. */
  readonly samplesItself: boolean;
  /** It wants a span for the way to the server too. */
  readonly spawnsSpans: boolean;
}

/** The tracer of a provider; undefined for providers that don't trace, or whose service is not there. */
export function tracerOf({ config, target }: Provider, proxyClass: ProxyClass): Tracer | undefined {
  if (target === undefined) return undefined;
  const serviceName = tracedService(proxyClass);
  if (config.zipkin !== undefined) return plain(zipkin(config.zipkin, target), config.zipkin.maxTagLength);
  if (config.datadog !== undefined) {
    const datadog = extension('envoy.tracers.datadog', 'envoy.config.trace.v3.DatadogConfig', {
      collectorCluster: target.cluster,
      collectorHostname: target.hostname,
      serviceName,
    });
    return plain(datadog, config.datadog.maxTagLength);
  }
  if (config.skywalking !== undefined) {
    const { accessToken } = config.skywalking;
    const skywalking = extension('envoy.tracers.skywalking', 'envoy.config.trace.v3.SkyWalkingConfig', {
      grpcService: grpcService(target),
      clientConfig: (accessToken ?? '') === '' ? undefined : { backendToken: accessToken },
    });
    return { ...plain(skywalking, undefined), spawnsSpans: true };
  }
  if (config.opentelemetry === undefined) return undefined;
  const { dynatraceSampler: sampler, http } = config.opentelemetry;
  // The sampler asks over HTTP, at its own service or at that of the spans.
  if (sampler !== undefined && sampler.httpService === undefined && http === undefined) return undefined;
  return {
    provider: openTelemetry(config.opentelemetry, target, serviceName),
    maxTagLength: positive(config.opentelemetry.maxTagLength),
    samplesItself: sampler !== undefined,
    spawnsSpans: false,
  };
}

function plain(provider: HttpTracer, maxTagLength: number | undefined): Tracer {
  return { provider, maxTagLength: positive(maxTagLength), samplesItself: false, spawnsSpans: false };
}

function positive(value: number | undefined): number | undefined {
  return value === undefined || value === 0 ? undefined : value;
}

/** Name of the service in spans; the proxy's own cluster name is how agents spell it. */
export function tracedService({ namespace, settings }: ProxyClass): string {
  const canonical = settings.canonicalService || 'istio-proxy';
  switch (settings.proxyConfig['tracingServiceName']) {
    case 'CANONICAL_NAME_ONLY':
      return canonical;
    case 'CANONICAL_NAME_AND_NAMESPACE':
      return `${canonical}.${namespace}`;
    default:
      return settings.nodeCluster ?? `${canonical}.${namespace}`;
  }
}

function zipkin(provider: ZipkinProvider, target: ProviderTarget): HttpTracer {
  const path = provider.path === undefined || provider.path === '' ? '/api/v2/spans' : provider.path;
  const w3c = provider.traceContextOption === 'USE_B3_WITH_W3C_PROPAGATION';
  return extension('envoy.tracers.zipkin', 'envoy.config.trace.v3.ZipkinConfig', {
    collectorEndpointVersion: 'HTTP_JSON',
    collectorService: httpService(`http://${target.hostname}${path}`, target, provider.timeout, provider.headers),
    traceId128bit: provider.enable64bitTraceId !== true,
    sharedSpanContext: false,
    traceContextOption: w3c ? 'USE_B3_WITH_W3C_PROPAGATION' : undefined,
  });
}

const DEFAULT_TIMEOUT = '5s';

interface ConfiguredHeader {
  readonly name: string;
  readonly value?: string | undefined;
  readonly envName?: string | undefined;
}

function httpService(
  uri: string,
  target: ProviderTarget,
  timeout: string | undefined,
  headers: readonly ConfiguredHeader[] | undefined,
): HttpService {
  const added = (headers ?? []).map(headerOption);
  return {
    httpUri: { uri, cluster: target.cluster, timeout: protoDuration(timeout) ?? DEFAULT_TIMEOUT },
    requestHeadersToAdd: added.length === 0 ? undefined : added,
  };
}

function headerOption({ name, value, envName }: ConfiguredHeader): HeaderOption {
  return { appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD', header: { key: name, value: headerValue(value, envName) } };
}

function headerValue(value: string | undefined, envName: string | undefined): string {
  return envName === undefined || envName === '' ? (value ?? '') : `%ENVIRONMENT(${envName})%`;
}

function openTelemetry(provider: OtelProvider, target: ProviderTarget, serviceName: string): HttpTracer {
  const { http, grpc } = provider;
  const metadata = (grpc?.initialMetadata ?? []).map(({ name, value, envName }) => ({
    key: name,
    value: headerValue(value, envName),
  }));
  const detectors = resourceDetectors(provider);
  return extension('envoy.tracers.opentelemetry', 'envoy.config.trace.v3.OpenTelemetryConfig', {
    grpcService:
      http === undefined
        ? {
            ...grpcService(target, protoDuration(grpc?.timeout)),
            initialMetadata: metadata.length === 0 ? undefined : metadata,
          }
        : undefined,
    httpService:
      http === undefined
        ? undefined
        : httpService(`${target.hostname}${http.path ?? ''}`, target, http.timeout, http.headers),
    serviceName,
    resourceDetectors: detectors.length === 0 ? undefined : detectors,
    sampler: dynatraceSampler(provider, target),
  });
}

type TypedExtension = Messages['envoy.config.core.v3.TypedExtensionConfig'];

function resourceDetectors({ resourceDetectors: wanted }: OtelProvider): readonly TypedExtension[] {
  const detectors: TypedExtension[] = [];
  if (wanted?.environment !== undefined) {
    detectors.push(
      extension(
        'envoy.tracers.opentelemetry.resource_detectors.environment',
        'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig',
        {},
      ),
    );
  }
  if (wanted?.dynatrace !== undefined) {
    detectors.push(
      extension(
        'envoy.tracers.opentelemetry.resource_detectors.dynatrace',
        'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.DynatraceResourceDetectorConfig',
        {},
      ),
    );
  }
  return detectors;
}

function dynatraceSampler(provider: OtelProvider, target: ProviderTarget): TypedExtension | undefined {
  const sampler = provider.dynatraceSampler;
  if (sampler === undefined) return undefined;
  const own = sampler.httpService;
  const http = own === undefined ? provider.http : own.http;
  const at = own === undefined ? target : samplerTarget(own);
  const path = own === undefined ? '/api/v2/samplingConfiguration' : (http?.path ?? '');
  return extension(
    'envoy.tracers.opentelemetry.samplers.dynatrace',
    'envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig',
    {
      tenant: sampler.tenant,
      clusterId: sampler.clusterId,
      rootSpansPerMinute: sampler.rootSpansPerMinute,
      httpService: httpService(`${at.hostname}${path}`, at, http?.timeout, http?.headers),
    },
  );
}

/** `HOST` or `NAMESPACE/HOST`. */
function samplerTarget({
  service = '',
  port = 0,
}: {
  readonly service?: string | undefined;
  readonly port?: number | undefined;
}): ProviderTarget {
  const hostname = service.slice(service.indexOf('/') + 1);
  return { hostname, port, cluster: outboundClusterName(port, '', hostname) };
}
