// Which of the mesh's standard metrics one side of a proxy reports, and how their labels were changed.
// In: Telemetry objects of the three levels, default providers. Out: overrides by metric, or nothing when metrics are off.

import type { Metrics, MetricsOverrides } from '../../config/generated/types.ts';
import type { TelemetrySelection } from '../../ir/policy.ts';
import type { ListenerRole } from '../context.ts';
import type { Providers } from './providers.ts';
import { matchesRole, providerNames, telemetryLevels } from './selection.ts';
import type { MeshSettings } from '../mesh.ts';

export interface MetricOverride {
  readonly disabled: boolean;
  /** By label: the expression of its value, or undefined for a label that is taken away. */
  readonly labels: ReadonlyMap<string, string | undefined>;
}

/** By metric id (`REQUEST_COUNT`); metrics without an entry are as they are by default. */
export type MetricOverrides = ReadonlyMap<string, MetricOverride>;

export const METRIC_IDS = [
  'REQUEST_COUNT',
  'REQUEST_DURATION',
  'REQUEST_SIZE',
  'RESPONSE_SIZE',
  'TCP_OPENED_CONNECTIONS',
  'TCP_CLOSED_CONNECTIONS',
  'TCP_SENT_BYTES',
  'TCP_RECEIVED_BYTES',
  'GRPC_REQUEST_MESSAGES',
  'GRPC_RESPONSE_MESSAGES',
] as const;

export type MetricId = (typeof METRIC_IDS)[number];

export interface MetricsInputs {
  readonly role: ListenerRole;
  readonly mesh: MeshSettings;
  readonly telemetry: TelemetrySelection;
  readonly providers: Providers;
}

/** Undefined: no metrics. The lowest level that names providers decides over them; overrides add up, the last one wins. */
export function metricOverrides({ role, mesh, telemetry, providers }: MetricsInputs): MetricOverrides | undefined {
  const entries = telemetryLevels(telemetry).flatMap((spec) => spec.metrics ?? []);
  const defaults = mesh.defaultProviders?.metrics ?? [];
  const named =
    entries.map((entry) => providerNames(entry.providers)).findLast((names) => names.length > 0) ?? defaults;
  const prometheus = named.find((name) => providers.get(name)?.config.prometheus !== undefined);
  if (prometheus === undefined) return undefined;
  return overridesFor(prometheus, entries, defaults, role);
}

function overridesFor(
  provider: string,
  entries: readonly Metrics[],
  defaults: readonly string[],
  role: ListenerRole,
): MetricOverrides | undefined {
  const overrides = new Map<string, MetricOverride>();
  let off = false;
  let speaksOf = defaults;
  for (const entry of entries) {
    const names = providerNames(entry.providers);
    if (names.length > 0) speaksOf = names;
    if (!speaksOf.includes(provider)) continue;
    for (const override of entry.overrides ?? []) {
      if (!matchesRole({ mode: override.match?.mode }, role)) continue;
      off = isEverything(override) && override.disabled === true;
      if (!off) for (const id of idsOf(override)) overrides.set(id, laidOver(overrides.get(id), override));
    }
  }
  return off ? undefined : overrides;
}

function isEverything({ match }: MetricsOverrides): boolean {
  return match?.customMetric === undefined && (match?.metric ?? 'ALL_METRICS') === 'ALL_METRICS';
}

function idsOf(override: MetricsOverrides): readonly string[] {
  if (isEverything(override)) return METRIC_IDS;
  const id = override.match?.customMetric ?? override.match?.metric;
  return id === undefined ? [] : [id];
}

function laidOver(before: MetricOverride | undefined, { disabled, tagOverrides }: MetricsOverrides): MetricOverride {
  const labels = new Map(before?.labels);
  for (const [label, { operation, value }] of Object.entries(tagOverrides ?? {}))
    labels.set(label, operation === 'REMOVE' ? undefined : (value ?? ''));
  return { disabled: disabled ?? before?.disabled ?? false, labels };
}
