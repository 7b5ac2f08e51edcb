// Access loggers of one side of a proxy: which providers, under which filter, and for which of the three places.
// In: Telemetry objects, MeshConfig, providers. Out: logger lists for HTTP, TCP and the listener itself.

import type { AccessLogging } from '../../config/generated/types.ts';
import type { TelemetrySelection } from '../../ir/policy.ts';
import type { Dialect } from '../../ir/proxy.ts';
import { compareStrings } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';
import type { ListenerRole } from '../context.ts';
import { extension } from '../envoy.ts';
import { type Logger, type LogPlace, legacyLoggers, loggerOf } from './loggers.ts';
import { type MetricOverrides, metricOverrides } from './metrics.ts';
import type { Providers } from './providers.ts';
import { matchesRole, providerNames, telemetryLevels } from './selection.ts';
import { statsLogger } from './stats-logger.ts';
import type { MeshSettings } from '../mesh.ts';

type AccessLog = Messages['envoy.config.accesslog.v3.AccessLog'];
type AccessLogFilter = Messages['envoy.config.accesslog.v3.AccessLogFilter'];

export interface AccessLogs {
  readonly http: readonly AccessLog[] | undefined;
  readonly tcp: readonly AccessLog[] | undefined;
  /** On listeners: only connections for which no filter chain was found. */
  readonly listener: readonly AccessLog[] | undefined;
  /** The standard metrics are counted: peers tell each other who they are. */
  readonly metrics: boolean;
}

export interface AccessLogInputs {
  readonly role: ListenerRole;
  readonly mesh: MeshSettings;
  readonly telemetry: TelemetrySelection;
  readonly providers: Providers;
  readonly dialect: Dialect;
  /** The proxy has the logger that counts. */
  readonly statsLogger: boolean;
}

export function accessLogs(inputs: AccessLogInputs): AccessLogs {
  const overrides = inputs.statsLogger ? metricOverrides(inputs) : undefined;
  return {
    http: withStats(place(inputs, 'http'), inputs.role, 'http', overrides),
    tcp: withStats(place(inputs, 'tcp'), inputs.role, 'tcp', overrides),
    listener: inputs.mesh.disableEnvoyListenerLog ? undefined : place(inputs, 'listener'),
    metrics: overrides !== undefined,
  };
}

function withStats(
  logs: readonly AccessLog[] | undefined,
  role: ListenerRole,
  kind: 'http' | 'tcp',
  overrides: MetricOverrides | undefined,
): readonly AccessLog[] | undefined {
  const logger = overrides === undefined ? undefined : statsLogger(role, kind, overrides);
  return logger === undefined ? logs : [...(logs ?? []), logger];
}

function place(inputs: AccessLogInputs, where: LogPlace): readonly AccessLog[] | undefined {
  const chosen = chosenProviders(inputs);
  const base = where === 'listener' ? NO_ROUTE : undefined;
  // Providers that nobody knows, or that are no loggers, are as good as none: what MeshConfig says by itself holds then.
  const known = (chosen ?? []).flatMap(({ name, expression, disabled }) => {
    const provider = inputs.providers.get(name);
    const logger = provider === undefined ? undefined : loggerOf(provider, inputs.mesh, inputs.dialect);
    return logger === undefined ? [] : [{ logger, expression, disabled }];
  });
  const logs =
    known.length === 0
      ? legacyLoggers(inputs.mesh, where).map((logger) => withFilter(logger, base))
      : known.flatMap(({ logger, expression, disabled }) =>
          disabled ? [] : [withFilter(logger, both(base, celFilter(expression)))],
        );
  return logs.length === 0 ? undefined : logs;
}

interface Chosen {
  readonly name: string;
  readonly expression: string | undefined;
  readonly disabled: boolean;
}

/**
 * The providers in force, by name; undefined when neither a Telemetry object nor a default provider speaks of access
 * logs. The last level that names providers decides which; an entry without names is about those of the entry before it.
 */
function chosenProviders({ role, mesh, telemetry, providers }: AccessLogInputs): readonly Chosen[] | undefined {
  const defaults = (mesh.defaultProviders?.accessLogging ?? []).filter((name) => providers.has(name));
  const levels = telemetryLevels(telemetry).flatMap((spec) =>
    spec.accessLogging === undefined || spec.accessLogging.length === 0 ? [] : [spec.accessLogging],
  );
  if (levels.length === 0)
    return defaults.length === 0
      ? undefined
      : defaults.map((name) => ({ name, expression: undefined, disabled: false }));
  const { inScope, filters } = namedProviders(levels, role, defaults);
  const spoken = new Map<string, boolean>();
  let named: readonly string[] = defaults;
  for (const entry of levels.flat()) {
    const names = providerNames(entry.providers);
    if (names.length > 0) named = names;
    if (!matchesRole(entry.match, role)) continue;
    for (const name of named) {
      if (!inScope.has(name)) continue;
      spoken.set(name, entry.disabled === true);
    }
  }
  const names = [...spoken.keys()].sort(compareStrings);
  return names.map((name) => ({ name, expression: filters.get(name), disabled: spoken.get(name) === true }));
}

function namedProviders(
  levels: readonly (readonly AccessLogging[])[],
  role: ListenerRole,
  defaults: readonly string[],
): { readonly inScope: ReadonlySet<string>; readonly filters: ReadonlyMap<string, string | undefined> } {
  let inScope: ReadonlySet<string> = new Set(defaults);
  const filters = new Map<string, string | undefined>();
  for (const level of levels) {
    const here = new Set<string>();
    for (const entry of level.filter(({ match }) => matchesRole(match, role))) {
      for (const name of providerNames(entry.providers)) {
        here.add(name);
        filters.set(name, entry.filter?.expression);
      }
    }
    if (here.size > 0) inScope = here;
  }
  return { inScope, filters };
}

/** Response flag NR: no filter chain, no route. */
const NO_ROUTE: AccessLogFilter = { responseFlagFilter: { flags: ['NR'] } };

function celFilter(expression: string | undefined): AccessLogFilter | undefined {
  if (expression === undefined || expression === '') return undefined;
  return {
    extensionFilter: extension(
      'envoy.access_loggers.extension_filters.cel',
      'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
      { expression },
    ),
  };
}

function both(a: AccessLogFilter | undefined, b: AccessLogFilter | undefined): AccessLogFilter | undefined {
  return a === undefined || b === undefined ? (a ?? b) : { andFilter: { filters: [a, b] } };
}

function withFilter(logger: Logger, filter: AccessLogFilter | undefined): AccessLog {
  return filter === undefined ? logger : { ...logger, filter };
}
