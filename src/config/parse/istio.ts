// Istio's kinds: the spec is checked against the generated schema and projected to the fields it lists.
// In: the raw object. Out: spec and status, problems. Called by parse/index.ts.

import { ISTIO_SCHEMAS } from '../generated/schemas.ts';
import type { Kind } from '../object.ts';
import { conform } from '../schema/conform.ts';
import type { Schema } from '../schema/schema.ts';
import type { Body } from './core.ts';
import { serviceEntryStatusSchema, workloadEntryStatusSchema } from './core-schemas.ts';

/**
 * Fields of type google.protobuf.Duration: the published schemas call them strings. They are normalised to the
 * proto-JSON form, so that `1m` and `60s` are one value from here on.
 */
const DURATION_FIELDS: ReadonlySet<string> = new Set([
  'backoff',
  'baseEjectionTime',
  'budgetInterval',
  'connectTimeout',
  'duration',
  'exponentialDelay',
  'fixedDelay',
  'idleTimeout',
  'interval',
  'maxAge',
  'maxConnectionDuration',
  'perTryTimeout',
  'reportingInterval',
  'time',
  'timeout',
  'ttl',
  'warmupDurationSecs',
]);

/** Second spellings that the published schemas admit, moved to the one that is read. */
const ALIASES: Readonly<Record<string, string>> = { mirror_percent: 'mirrorPercent', jwks_uri: 'jwksUri' };

function withDurations(schema: Schema, name: string): Schema {
  if (schema.type === 'string') {
    return DURATION_FIELDS.has(name) && schema.enum === undefined ? { ...schema, format: 'duration' } : schema;
  }
  const properties =
    schema.properties === undefined
      ? undefined
      : Object.fromEntries(Object.entries(schema.properties).map(([key, member]) => [key, withDurations(member, key)]));
  const values = schema.additionalProperties;
  return {
    ...schema,
    properties,
    items: schema.items === undefined ? undefined : withDurations(schema.items, ''),
    additionalProperties: typeof values === 'object' ? withDurations(values, '') : values,
  };
}

const SCHEMAS: ReadonlyMap<string, Schema> = new Map(
  Object.entries(ISTIO_SCHEMAS).map(([kind, schema]) => [kind, withDurations(schema, '')]),
);

const STATUS_SCHEMAS: Partial<Record<Kind, Schema>> = {
  ServiceEntry: serviceEntryStatusSchema,
  WorkloadEntry: workloadEntryStatusSchema,
};

const STATUS_DEFAULTS: Partial<Record<Kind, Readonly<Record<string, unknown>>>> = {
  ServiceEntry: { addresses: [] },
  WorkloadEntry: { conditions: [] },
};

/** The schema in force for a kind; undefined for Kubernetes' own. */
export function istioSchema(kind: Kind): Schema | undefined {
  return SCHEMAS.get(kind);
}

/** False where nothing but metadata and specification of a kind makes a difference; others than Istio's are read whole. */
export function readsStatus(kind: Kind): boolean {
  return !SCHEMAS.has(kind) || STATUS_SCHEMAS[kind] !== undefined;
}

export function istioBody(kind: Kind, raw: { readonly spec?: unknown; readonly status?: unknown }): Body {
  const schema = SCHEMAS.get(kind);
  if (schema === undefined) return { spec: {}, problems: [] };
  const conformed = conform(schema, raw.spec ?? {}, ['spec']);
  const spec = resolveAliases(kind, conformed.value ?? {});
  return { spec, ...statusOf(kind, raw.status), problems: conformed.problems };
}

/** What is wrong in a status is no mistake of the user's: it counts as absent. */
function statusOf(kind: Kind, raw: unknown): { readonly status?: unknown } {
  const schema = STATUS_SCHEMAS[kind];
  if (schema === undefined || raw === undefined || raw === null) return {};
  const value = conform(schema, raw).value;
  return { status: { ...STATUS_DEFAULTS[kind], ...(typeof value === 'object' ? value : {}) } };
}

function resolveAliases(kind: Kind, value: unknown): unknown {
  return kind === 'VirtualService' || kind === 'RequestAuthentication' ? renamed(value) : value;
}

function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== 'object' || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) result[ALIASES[key] ?? key] = renamed(item);
  return result;
}
