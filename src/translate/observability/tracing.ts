// The tracing block of connection managers on one side of a proxy.
// In: Telemetry objects, MeshConfig, the proxy's own configuration. Out: the block, or none where spans are off.

import { lasting } from '../../codec/index.ts';
import type { CustomTag } from '../../config/generated/types.ts';
import type { TelemetrySelection } from '../../ir/policy.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import type { Messages } from '../../messages/index.ts';
import type { ListenerRole } from '../context.ts';
import { customTags } from './custom-tags.ts';
import type { Providers } from './providers.ts';
import { matchesRole, providerNames, telemetryLevels } from './selection.ts';
import { tracerOf } from './tracers.ts';
import type { MeshSettings } from '../mesh.ts';

type Tracing = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing'];

export interface TracingSettings {
  readonly block: Tracing | undefined;
  /** The request id carries the decision, so that all hops agree. */
  readonly useRequestId: boolean;
}

export interface TracingInputs {
  readonly role: ListenerRole;
  readonly mesh: MeshSettings;
  readonly proxyClass: ProxyClass;
  readonly telemetry: TelemetrySelection;
  readonly providers: Providers;
}

/** Percent, unless Telemetry or the proxy's configuration say otherwise. */
const DEFAULT_SAMPLING = 1;

const NO_SPANS: TracingSettings = { block: undefined, useRequestId: true };

export function tracingSettings(inputs: TracingInputs): TracingSettings {
  const { proxyClass, role } = inputs;
  const chosen = chosenTracing(inputs);
  if (chosen.off) return NO_SPANS;
  const own = proxyTracing(proxyClass);
  const provider = chosen.provider === undefined ? undefined : inputs.providers.get(chosen.provider);
  const tracer = provider === undefined ? undefined : tracerOf(provider, proxyClass);
  // A provider that can't be used is no reason to report spans elsewhere.
  if (chosen.spoken && tracer === undefined) return NO_SPANS;
  const tags = chosen.tags ?? own.tags;
  const sampling = tracer?.samplesItself === true ? 100 : (chosen.sampling ?? own.sampling ?? DEFAULT_SAMPLING);
  const block: Tracing = {
    clientSampling: { value: 100 },
    randomSampling: { value: sampling },
    overallSampling: { value: 100 },
    customTags: customTags(tags, chosen.istioTags ?? own.istioTags, proxyClass),
    maxPathTagLength: tracer?.maxTagLength ?? own.maxTagLength,
    provider: tracer?.provider,
    spawnUpstreamSpan: tracer?.spawnsSpans === true || (tracer !== undefined && role === 'gateway') ? true : undefined,
    // Envoy has it since 1.37.
    noContextPropagation: chosen.noPropagation && proxyClass.dialect !== 'current' ? true : undefined,
  };
  // It stands in every connection manager of the proxy.
  return { block: lasting(block), useRequestId: chosen.useRequestId };
}

interface Chosen {
  readonly off: boolean;
  /** Telemetry or a default provider speaks of tracing: without a provider there are no spans then. */
  readonly spoken: boolean;
  readonly noPropagation: boolean;
  readonly provider: string | undefined;
  readonly sampling: number | undefined;
  readonly tags: Readonly<Record<string, CustomTag>> | undefined;
  readonly istioTags: boolean | undefined;
  readonly useRequestId: boolean;
}

function chosenTracing({ role, mesh, telemetry }: TracingInputs): Chosen {
  const entries = telemetryLevels(telemetry).flatMap((spec) => spec.tracing ?? []);
  const fallback = mesh.defaultProviders?.tracing?.[0];
  const spoken = entries.length > 0 || (mesh.defaultProviders?.tracing ?? []).length > 0;
  const none = {
    spoken,
    noPropagation: false,
    sampling: undefined,
    tags: undefined,
    istioTags: undefined,
    useRequestId: true,
  };
  if (!spoken) return { off: !mesh.enableTracing, provider: undefined, ...none };
  let chosen: Chosen = { off: false, provider: fallback, ...none };
  for (const entry of entries) {
    if (!matchesRole(entry.match, role)) continue;
    const [named] = providerNames(entry.providers);
    chosen = {
      off: entry.disableSpanReporting ?? chosen.off,
      provider: named ?? chosen.provider,
      sampling: entry.randomSamplingPercentage ?? chosen.sampling,
      tags: entry.customTags ?? chosen.tags,
      istioTags: entry.enableIstioTags ?? chosen.istioTags,
      useRequestId: entry.useRequestIdForTraceSampling ?? chosen.useRequestId,
      spoken,
      noPropagation: entry.disableContextPropagation ?? chosen.noPropagation,
    };
  }
  return chosen;
}

interface ProxyTracing {
  readonly sampling: number | undefined;
  readonly tags: Readonly<Record<string, CustomTag>>;
  readonly maxTagLength: number | undefined;
  readonly istioTags: boolean;
}

/** ProxyConfig `tracing`. */
function proxyTracing({ settings }: ProxyClass): ProxyTracing {
  const tracing = (settings.proxyConfig['tracing'] ?? {}) as {
    readonly sampling?: number;
    readonly customTags?: Readonly<Record<string, CustomTag>>;
    readonly maxPathTagLength?: number;
    readonly enableIstioTags?: boolean;
  };
  return {
    // Zero is how an unset percentage looks.
    sampling: tracing.sampling === 0 ? undefined : tracing.sampling,
    tags: tracing.customTags ?? {},
    maxTagLength: tracing.maxPathTagLength === 0 ? undefined : tracing.maxPathTagLength,
    istioTags: tracing.enableIstioTags ?? true,
  };
}
