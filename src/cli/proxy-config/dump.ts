// An Envoy config dump, from the control plane or from a file, in canonical JSON form.
// In: encoded sections, or what Envoy's admin page printed. Out: the messages of each section. Called by proxy-config.

import { decodeJson, hasType, typeNameOf } from '../../codec/index.ts';
import { type FieldInfo, messageInfo } from '../../codec/table.ts';
import { UsageError } from '../program.ts';
import type { DebugResource } from '../xds-debug.ts';
import { at, isJson, type Json, listAt, textAt, withoutType } from './json.ts';

export interface Dump {
  /** Sections of an envoy.admin.v3.ConfigDump, each with its `@type`. */
  readonly configs: readonly Json[];
  /** envoy.admin.v3.ClusterStatus of each cluster, where the file was of Envoy's `/clusters?format=json`. */
  readonly clusterStatuses?: readonly Json[];
}

/** An unparsable input file. */
const BAD_FILE = 65;
const DUMP = 'envoy.admin.v3.ConfigDump';
const CLUSTERS = 'envoy.admin.v3.Clusters';

/** The dump that a control plane answered with. */
export function dumpOfResources(resources: readonly DebugResource[]): Dump {
  return {
    configs: resources
      .filter(({ typeUrl }) => hasType(typeNameOf(typeUrl)))
      .map(({ typeUrl, bytes }) => ({ '@type': typeUrl, ...(decodeJson(typeNameOf(typeUrl), bytes) as Json) })),
  };
}

/** The dump in a file's text. */
export function dumpOfText(text: string, file: string): Dump {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${file} is not JSON: ${error instanceof Error ? error.message : String(error)}`, BAD_FILE);
  }
  if (Array.isArray(at(parsed, 'configs'))) return { configs: listAt(canonical(DUMP, parsed), 'configs') };
  const statuses = canonical(CLUSTERS, parsed);
  if (at(statuses, 'clusterStatuses') !== undefined)
    return { configs: [], clusterStatuses: listAt(statuses, 'clusterStatuses') };
  throw new UsageError(`${file} is no Envoy config dump: it has no "configs"`, BAD_FILE);
}

/** The messages of a section's repeated field, over all parts of that section. */
export function entries(dump: Dump, section: string, field: string): readonly Json[] {
  return dump.configs
    .filter((config) => textAt(config, '@type').endsWith(`/envoy.admin.v3.${section}`))
    .flatMap((config) => listAt(config, field));
}

/** The resources under `path` of a section's entries, without their types. */
export function resourcesOf(
  dump: Dump,
  section: string,
  paths: readonly (readonly [field: string, ...path: string[]])[],
): readonly Json[] {
  return paths.flatMap(([field, ...path]) =>
    entries(dump, section, field).flatMap((entry) => {
      const resource = at(entry, ...path);
      return isJson(resource) ? [withoutType(resource)] : [];
    }),
  );
}

/**
 * Field names as in canonical JSON: Envoy prints those of the proto files. Keys of maps and structs stay, and so does all
 * that is of an unknown type or an unknown field: Envoy may be newer than we are.
 */
export function canonical(type: string, value: unknown): unknown {
  const info = messageInfo(type);
  if (info === undefined || !isJson(value)) return value;
  if (info.form === 'any') return canonicalAny(value);
  if (info.form !== 'fields') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const field = info.byJsonName.get(key) ?? info.byName.get(key);
      return field === undefined ? [key, item] : [field.jsonName, canonicalField(field, item)];
    }),
  );
}

function canonicalAny(value: Json): Json {
  const { '@type': typeUrl, ...fields } = value;
  if (typeof typeUrl !== 'string') return value;
  const type = typeNameOf(typeUrl);
  if (messageInfo(type)?.form !== 'fields') return value;
  return { '@type': typeUrl, ...(canonical(type, fields) as Json) };
}

function canonicalField({ shape, messageName }: FieldInfo, item: unknown): unknown {
  if (messageName === '') return item;
  if (shape === 'repeated' && Array.isArray(item)) return item.map((one) => canonical(messageName, one));
  if (shape === 'map' && isJson(item))
    return Object.fromEntries(Object.entries(item).map(([key, one]) => [key, canonical(messageName, one)]));
  return canonical(messageName, item);
}
