import type {
  EnvoyConfigObjectMatch,
  EnvoyConfigObjectPatch,
  EnvoyFilterSpec,
  ListenerMatch,
} from '../generated/types.ts';
import { checkRegex, checkSelectorLabels, checkTargetRef } from './common.ts';
import type { KindValidator, Report } from './report.ts';

/**
 * Whether a patch's value can be read as the Envoy message that it is merged into or added as.
 * Envoy's types are none of this folder's business, so the check comes in as a function.
 */
export type PatchDecoder = (applyTo: string, value: Readonly<Record<string, unknown>>) => PatchProblems;

export interface PatchProblems {
  /** Why the value can't be used. */
  readonly problem?: string | undefined;
  /** Fields of a value that can be used which the message does not have. */
  readonly unknown?: readonly { readonly path: string; readonly expected: string }[] | undefined;
}

/** Patches: what they apply to, what they match, what they do. */
export function envoyFilterValidator(decode: PatchDecoder | undefined): KindValidator<EnvoyFilterSpec> {
  return ({ spec }, report) => {
    if (spec.workloadSelector !== undefined) {
      checkSelectorLabels(report, 'spec.workloadSelector.labels', spec.workloadSelector.labels);
      if ((spec.targetRefs ?? []).length > 0)
        report.error('spec.targetRefs', 'stands beside workloadSelector', 'one of them');
    }
    for (const [index, ref] of (spec.targetRefs ?? []).entries())
      checkTargetRef(report, `spec.targetRefs[${index}]`, ref);
    for (const [index, patch] of (spec.configPatches ?? []).entries()) {
      checkPatch(report, `spec.configPatches[${index}]`, patch, decode);
    }
  };
}

function checkPatch(
  report: Report,
  path: string,
  patch: EnvoyConfigObjectPatch,
  decode: PatchDecoder | undefined,
): void {
  const applyTo = patch.applyTo ?? 'INVALID';
  const operation = patch.patch?.operation ?? 'INVALID';
  if (patch.match?.context === 'WAYPOINT')
    return report.warn(`${path}.match.context`, 'there are no waypoints here: the patch never applies');
  if (applyTo === 'INVALID') report.error(`${path}.applyTo`, 'is missing', 'what the patch applies to');
  if (patch.patch === undefined) return report.error(`${path}.patch`, 'is missing', 'operation and value');
  if (operation === 'INVALID')
    report.error(
      `${path}.patch.operation`,
      'is missing',
      'MERGE, ADD, REMOVE, INSERT_BEFORE, INSERT_AFTER, INSERT_FIRST or REPLACE',
    );
  if (operation !== 'REMOVE' && patch.patch.value === undefined)
    report.error(`${path}.patch.value`, 'is missing', 'a value');
  if (patch.match !== undefined) checkMatch(report, `${path}.match`, applyTo, patch.match);
  checkOperation(report, path, patch, applyTo, operation);
  if (patch.patch.value === undefined || applyTo === 'INVALID') return;
  const { problem, unknown = [] } = decode?.(applyTo, patch.patch.value) ?? {};
  // The other patches of the object are of use all the same.
  if (problem !== undefined) report.strict(`${path}.patch.value`, problem, 'an Envoy v3 message', 'MEL0060');
  for (const { path: field, expected } of unknown) {
    report.warn(
      `${path}.patch.value.${field}`,
      'is no field of the Envoy message: it has no effect',
      expected,
      'MEL0008',
    );
  }
}

const LISTENER_KINDS = ['LISTENER', 'LISTENER_FILTER', 'FILTER_CHAIN', 'NETWORK_FILTER', 'HTTP_FILTER'];
const ROUTE_KINDS = ['ROUTE_CONFIGURATION', 'VIRTUAL_HOST', 'HTTP_ROUTE'];
/** Versions are short; longer patterns only cost. */
const MAX_VERSION_PATTERN = 1024;
const MATCHES = ['listener', 'routeConfiguration', 'cluster'] as const;

function checkMatch(report: Report, path: string, applyTo: string, match: EnvoyConfigObjectMatch): void {
  const version = match.proxy?.proxyVersion;
  checkRegex(report, `${path}.proxy.proxyVersion`, version);
  if (version !== undefined && version.length > MAX_VERSION_PATTERN) {
    report.warn(`${path}.proxy.proxyVersion`, 'is too long: the patch never applies', 'at most 1024 characters');
  }
  const set = MATCHES.filter((field) => match[field] !== undefined);
  const wanted = LISTENER_KINDS.includes(applyTo)
    ? 'listener'
    : ROUTE_KINDS.includes(applyTo)
      ? 'routeConfiguration'
      : applyTo === 'CLUSTER'
        ? 'cluster'
        : undefined;
  const other = set.find((field) => field !== wanted);
  if (wanted !== undefined && other !== undefined)
    report.error(`${path}.${other}`, `does not fit applyTo ${applyTo}`, `a ${wanted} match`);
  if (match.listener !== undefined) checkListenerMatch(report, `${path}.listener`, applyTo, match.listener);
}

const HCM_NAMES = ['envoy.filters.network.http_connection_manager', 'envoy.http_connection_manager'];

function checkListenerMatch(report: Report, path: string, applyTo: string, match: ListenerMatch): void {
  const filter = match.filterChain?.filter;
  if (filter === undefined) return;
  const at = `${path}.filterChain.filter`;
  if (applyTo === 'LISTENER' || applyTo === 'FILTER_CHAIN')
    report.warn(at, `has no effect with applyTo ${applyTo}`, 'no filter match');
  if ((filter.name ?? '') === '') report.error(`${at}.name`, 'is missing', 'the name of a network filter');
  warnDeprecatedName(report, `${at}.name`, filter.name);
  if (filter.subFilter === undefined) return;
  if (applyTo !== 'HTTP_FILTER')
    report.error(`${at}.subFilter`, `does not fit applyTo ${applyTo}`, 'applyTo HTTP_FILTER');
  if (!HCM_NAMES.includes(filter.name ?? ''))
    report.error(`${at}.name`, 'only the HTTP connection manager has sub-filters', HCM_NAMES[0]);
  if ((filter.subFilter.name ?? '') === '')
    report.error(`${at}.subFilter.name`, 'is missing', 'the name of an HTTP filter');
  warnDeprecatedName(report, `${at}.subFilter.name`, filter.subFilter.name);
}

/** Names of Envoy's first API, with the ones in use since. */
const DEPRECATED_NAMES: Readonly<Record<string, string>> = {
  'envoy.buffer': 'envoy.filters.http.buffer',
  'envoy.cors': 'envoy.filters.http.cors',
  'envoy.csrf': 'envoy.filters.http.csrf',
  'envoy.ext_authz': 'envoy.filters.http.ext_authz',
  'envoy.fault': 'envoy.filters.http.fault',
  'envoy.grpc_web': 'envoy.filters.http.grpc_web',
  'envoy.gzip': 'envoy.filters.http.gzip',
  'envoy.health_check': 'envoy.filters.http.health_check',
  'envoy.http_connection_manager': 'envoy.filters.network.http_connection_manager',
  'envoy.listener.original_dst': 'envoy.filters.listener.original_dst',
  'envoy.listener.proxy_protocol': 'envoy.filters.listener.proxy_protocol',
  'envoy.listener.tls_inspector': 'envoy.filters.listener.tls_inspector',
  'envoy.lua': 'envoy.filters.http.lua',
  'envoy.mongo_proxy': 'envoy.filters.network.mongo_proxy',
  'envoy.rate_limit': 'envoy.filters.http.ratelimit',
  'envoy.redis_proxy': 'envoy.filters.network.redis_proxy',
  'envoy.router': 'envoy.filters.http.router',
  'envoy.tcp_proxy': 'envoy.filters.network.tcp_proxy',
};

function warnDeprecatedName(report: Report, path: string, name: string | undefined): void {
  const current = DEPRECATED_NAMES[name ?? ''];
  if (current !== undefined) report.warn(path, `${name ?? ''} is the old name`, current, 'IST0002');
}

const FILTER_KINDS = ['LISTENER_FILTER', 'NETWORK_FILTER', 'HTTP_FILTER'];

function checkOperation(
  report: Report,
  path: string,
  patch: EnvoyConfigObjectPatch,
  applyTo: string,
  operation: string,
): void {
  if (operation === 'REPLACE' && !FILTER_KINDS.includes(applyTo)) {
    report.warn(`${path}.patch.operation`, `REPLACE has no effect on ${applyTo}`, 'MERGE');
  }
  const relative = operation === 'INSERT_BEFORE' || operation === 'INSERT_AFTER';
  if (relative && applyTo === 'HTTP_FILTER' && patch.match?.listener?.filterChain?.filter?.subFilter === undefined) {
    report.info(
      `${path}.match`,
      `${operation} without a filter to relate to is put at the ${operation === 'INSERT_BEFORE' ? 'beginning' : 'end'}`,
    );
  }
}
