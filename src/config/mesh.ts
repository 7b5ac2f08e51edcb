// The mesh-wide configuration: parsed YAML over the built-in defaults.
// In: the raw value of a mesh config file, the mesh in force. Out: the new mesh and findings with paths.
// Called by sources/mesh-file.ts, by the CLI for offline use and by tests. A wrong field keeps its last good value.

import { deepEqual } from '../lib/equal.ts';
import { parsePath, type PathStep } from '../lib/field-path.ts';
import type { FindingCode } from './codes.ts';
import {
  DEFAULT_MESH_CONFIG,
  type ExtensionProvider,
  type MeshConfig,
  type MeshConfigFields,
  type MeshProxyConfig,
  type ProxyConfig,
} from './mesh-defaults.ts';
import { meshConfigSchema } from './mesh-schema.ts';
import type { Finding, Severity } from './object.ts';
import { PROVIDER_MEMBERS } from './provider-schemas.ts';
import { proxyConfigSchema } from './proxy-config-schema.ts';
import { conform } from './schema/conform.ts';

export * from './mesh-defaults.ts';
export { type MeshNetwork, type MeshNetworks, NO_NETWORKS, parseMeshNetworks } from './mesh-networks.ts';

export interface ParsedMesh {
  readonly mesh: MeshConfig;
  readonly findings: readonly Finding[];
}

/** `previous` gives the values of fields that are wrong this time; the first time these are the defaults. */
export function parseMeshConfig(raw: unknown, previous: MeshConfig = DEFAULT_MESH_CONFIG, origin?: string): ParsedMesh {
  const conformed = conform(meshConfigSchema, raw ?? {});
  const findings = conformed.problems.map((problem) =>
    problem.kind === 'unknown-field'
      ? finding('warning', 'MEL0021', problem.path, problem.message, problem.expected, origin)
      : finding('error', 'MEL0020', problem.path, problem.message, problem.expected, origin),
  );
  // A document that is no object at all says nothing: everything stays as it was.
  if (conformed.value === undefined) return { mesh: previous, findings };
  const fields = conformed.value as MeshConfigFields;
  findings.push(...providerFindings(fields.extensionProviders ?? [], origin));
  const wrong = findings.filter((each) => each.severity === 'error').map((each) => parsePath(each.path ?? ''));
  return { mesh: keepEqual(previous, overDefaults(withLastGood(fields, wrong, previous))), findings };
}

/** Fields that did not change stay the same objects, so that what depends on one of them is redone only for that one. */
function keepEqual(previous: MeshConfig, next: MeshConfig): MeshConfig {
  if (deepEqual(previous, next)) return previous;
  const kept: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(next)) {
    const before: unknown = previous[field as keyof MeshConfig];
    kept[field] = deepEqual(before, value) ? before : value;
  }
  return { ...next, ...kept };
}

/** istio's rule: providers of the file replace built-in ones of the same name, messages merge, lists replace. */
function overDefaults(fields: MeshConfigFields): MeshConfig {
  const defaults = DEFAULT_MESH_CONFIG;
  const named = new Set((fields.extensionProviders ?? []).map((provider) => provider.name));
  return {
    ...defaults,
    ...defined(fields),
    trustDomainAliases: [...new Set(fields.trustDomainAliases ?? [])],
    extensionProviders: [
      ...defaults.extensionProviders.filter((provider) => !named.has(provider.name)),
      ...(fields.extensionProviders ?? []),
    ],
    outboundTrafficPolicy: { ...defaults.outboundTrafficPolicy, ...defined(fields.outboundTrafficPolicy ?? {}) },
    inboundTrafficPolicy: { ...defaults.inboundTrafficPolicy, ...defined(fields.inboundTrafficPolicy ?? {}) },
    localityLbSetting: { ...defaults.localityLbSetting, ...defined(fields.localityLbSetting ?? {}) },
    defaultConfig: mergeProxyConfig(defaults.defaultConfig, fields.defaultConfig ?? {}),
  };
}

/**
 * One level of proxy configuration over another, as `proxy.istio.io/config` over `defaultConfig`: set fields win, maps
 * are united, `proxyHeaders` merges by header.
 */
export function mergeProxyConfig(base: MeshProxyConfig, over: ProxyConfig): MeshProxyConfig {
  return {
    ...base,
    ...defined(over),
    proxyMetadata: { ...base.proxyMetadata, ...over.proxyMetadata },
    ...(base.runtimeValues === undefined && over.runtimeValues === undefined
      ? {}
      : { runtimeValues: { ...base.runtimeValues, ...over.runtimeValues } }),
    ...(base.proxyHeaders === undefined && over.proxyHeaders === undefined
      ? {}
      : { proxyHeaders: { ...base.proxyHeaders, ...defined(over.proxyHeaders ?? {}) } }),
  };
}

/** A proxy configuration by itself: the annotation of a pod, or the PROXY_CONFIG that a proxy reports. */
export function parseProxyConfig(
  raw: unknown,
  origin?: string,
): { readonly config: ProxyConfig; readonly findings: readonly Finding[] } {
  const conformed = conform(proxyConfigSchema, raw ?? {});
  const findings = conformed.problems.map((problem) =>
    problem.kind === 'unknown-field'
      ? finding('warning', 'MEL0021', problem.path, problem.message, problem.expected, origin)
      : finding('error', 'MEL0020', problem.path, problem.message, problem.expected, origin),
  );
  return { config: (conformed.value ?? {}) as ProxyConfig, findings };
}

/** Wrong fields take the value in force; of lists of providers and of defaultConfig only the wrong member does. */
function withLastGood(
  fields: MeshConfigFields,
  wrong: readonly (readonly PathStep[])[],
  previous: MeshConfig,
): MeshConfigFields {
  const result: Record<string, unknown> = { ...fields };
  const badProviders = new Set<PathStep>();
  const badProxyFields = new Set<string>();
  for (const [field, member] of wrong) {
    if (typeof field !== 'string') continue;
    if (field === 'extensionProviders' && typeof member === 'number') badProviders.add(member);
    else if (field === 'defaultConfig' && typeof member === 'string') badProxyFields.add(member);
    else result[field] = previous[field as keyof MeshConfig];
  }
  if (badProviders.size > 0)
    result['extensionProviders'] = lastGoodProviders(fields.extensionProviders ?? [], badProviders, previous);
  if (badProxyFields.size > 0) {
    const config: Record<string, unknown> = { ...fields.defaultConfig };
    for (const field of badProxyFields) config[field] = previous.defaultConfig[field as keyof MeshProxyConfig];
    result['defaultConfig'] = config;
  }
  return result as MeshConfigFields;
}

function lastGoodProviders(
  providers: readonly (Partial<ExtensionProvider> | undefined)[],
  bad: ReadonlySet<PathStep>,
  previous: MeshConfig,
): ExtensionProvider[] {
  return providers.flatMap((provider, index) => {
    if (!bad.has(index)) return [provider as ExtensionProvider];
    const before = previous.extensionProviders.find((each) => each.name === provider?.name);
    return before === undefined ? [] : [before];
  });
}

const MEMBERS = Object.keys(PROVIDER_MEMBERS) as readonly (keyof typeof PROVIDER_MEMBERS)[];

function providerFindings(
  providers: readonly (Partial<ExtensionProvider> | undefined)[],
  origin: string | undefined,
): Finding[] {
  const found: Finding[] = [];
  const names = new Set<string>();
  for (const [index, provider] of providers.entries()) {
    const path = `extensionProviders[${index}]`;
    const set = MEMBERS.filter((member) => provider?.[member] !== undefined);
    if (set.length !== 1) {
      const message = set.length === 0 ? 'names no kind of provider' : `${set.join(' and ')} are set together`;
      found.push(finding('error', 'MEL0020', path, message, `exactly one of ${MEMBERS.join(', ')}`, origin));
    }
    const name = provider?.name;
    if (name === undefined) continue;
    if (names.has(name))
      found.push(
        finding(
          'error',
          'MEL0020',
          path,
          `a second provider has the name ${name}`,
          'one provider for each name',
          origin,
        ),
      );
    names.add(name);
  }
  return found;
}

/** Spreading an undefined member would cover a default. */
function defined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function finding(
  severity: Severity,
  code: FindingCode,
  path: string,
  message: string,
  expected: string | undefined,
  origin: string | undefined,
): Finding {
  return {
    severity,
    code,
    message,
    ...(path === '' ? {} : { path }),
    ...(expected === undefined ? {} : { expected }),
    ...(origin === undefined ? {} : { origin }),
  };
}
