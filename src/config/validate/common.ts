// Checks that several kinds share: hosts, ports, durations, visibility, selectors, matches, header names.

import { durationMillis, parseDuration } from '../../lib/duration.ts';
import type { PolicyTargetReference } from '../generated/types.ts';
import { isDnsLabel, isWildcardFqdn } from './addresses.ts';
import type { Report } from './report.ts';

type Labels = Readonly<Record<string, string>>;

/** Path of a member, whatever its key looks like. */
export function member(path: string, key: string): string {
  return /^[A-Za-z_$][\w$-]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

export function checkWildcardHost(report: Report, path: string, host: string): void {
  if (!isWildcardFqdn(host)) {
    report.error(path, `${JSON.stringify(host)} is no host name`, 'a DNS name, "*" at most as its beginning');
  }
}

export function checkPort(report: Report, path: string, port: number | undefined): void {
  if (port === undefined || port < 1 || port > 65535) {
    report.error(path, port === undefined ? 'is missing' : `${port} is no port`, '1 to 65535');
  }
}

export interface DurationBounds {
  /** Zero means "off" for some fields. */
  readonly zero?: boolean;
  readonly wholeSeconds?: boolean;
}

/** google.protobuf.Duration fields are kept in proto-JSON form and have at most millisecond precision. */
export function checkDuration(
  report: Report,
  path: string,
  text: string | undefined,
  bounds: DurationBounds = {},
): void {
  if (text === undefined) return;
  const duration = parseDuration(text);
  if (duration === undefined)
    return report.error(path, `${JSON.stringify(text)} is no duration`, 'a duration such as 10s');
  const millis = durationMillis(duration);
  if (millis < 0) return report.error(path, `${text} is negative`, '1ms and more');
  if (millis === 0) {
    // Envoy takes 0 for "off"; the API's own way to say so is to leave the field out.
    if (bounds.zero !== true) report.strict(path, `${text} is too short`, '1ms and more');
    return;
  }
  if (duration.nanos % 1_000_000 !== 0)
    return report.strict(path, `${text} is finer than a millisecond`, 'whole milliseconds');
  if (bounds.wholeSeconds === true && duration.nanos !== 0)
    report.error(path, `${text} is finer than a second`, 'whole seconds');
}

export function checkPercent(report: Report, path: string, value: number | undefined): void {
  if (value !== undefined && (value < 0 || value > 100)) report.error(path, `${value} is no percentage`, '0 to 100');
}

export function checkNotNegative(report: Report, path: string, value: number | undefined): void {
  if (value !== undefined && value < 0) report.error(path, `${value} is negative`, '0 or more');
}

const MAX_REGEX = 1024;

/** Envoy compiles patterns with RE2; a pattern that it refuses would make it refuse the whole resource. */
export function checkRegex(report: Report, path: string, pattern: string | undefined): void {
  if (pattern === undefined) return;
  if (pattern.length > MAX_REGEX)
    return report.error(path, `is ${pattern.length} characters long`, `at most ${MAX_REGEX}`);
  const problem = report.regex(pattern);
  if (problem !== undefined)
    report.error(path, `${JSON.stringify(pattern)} is no regular expression: ${problem}`, 'RE2 syntax');
}

/** `*`, `.`, `~` or namespaces, each once; `*` and `~` only alone. */
export function checkExportTo(report: Report, path: string, exportTo: readonly string[] | undefined): void {
  const seen = new Set<string>();
  for (const [index, entry] of (exportTo ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (seen.has(entry)) report.strict(at, `${JSON.stringify(entry)} is listed twice`, 'each namespace once');
    seen.add(entry);
    if (entry !== '*' && entry !== '.' && entry !== '~' && !isDnsLabel(entry)) {
      report.error(at, `${JSON.stringify(entry)} is no namespace`, 'a namespace, ".", "*" or "~"');
    }
  }
  for (const alone of ['*', '~']) {
    if (seen.has(alone) && seen.size > 1)
      report.strict(path, `"${alone}" stands beside other entries`, `"${alone}" alone`);
  }
}

export function checkSelectorLabels(report: Report, path: string, labels: Labels | undefined): void {
  if (labels === undefined || Object.keys(labels).length === 0) {
    return report.warn(path, 'has no labels: every workload in the namespace is selected', 'at least one label');
  }
  for (const [key, value] of Object.entries(labels)) {
    const at = member(path, key);
    if (key === '') report.error(at, 'has an empty key', 'a label');
    else if (key.includes('*') || value.includes('*'))
      report.error(at, 'wildcards are not supported in selectors', 'exact labels');
  }
}

interface Targeted {
  readonly selector?: { readonly matchLabels?: Labels | undefined } | undefined;
  readonly targetRef?: PolicyTargetReference | undefined;
  readonly targetRefs?: readonly PolicyTargetReference[] | undefined;
}

const TARGET_KINDS: readonly (readonly [group: string, kind: string])[] = [
  ['', 'Service'],
  ['core', 'Service'],
  ['networking.istio.io', 'ServiceEntry'],
  ['gateway.networking.k8s.io', 'Gateway'],
  ['gateway.networking.k8s.io', 'GatewayClass'],
];

/** A policy names its workloads by selector, or by references, never by both. */
export function checkTargets(report: Report, spec: Targeted): void {
  if (spec.selector !== undefined) checkSelectorLabels(report, 'spec.selector.matchLabels', spec.selector.matchLabels);
  const refs = spec.targetRefs ?? [];
  const ways = [spec.selector, spec.targetRef, refs.length > 0 ? refs : undefined].filter((way) => way !== undefined);
  if (ways.length > 1)
    report.strict('spec', 'selects workloads in several ways', 'one of selector, targetRef, targetRefs');
  if (spec.targetRef !== undefined) checkTargetRef(report, 'spec.targetRef', spec.targetRef);
  for (const [index, ref] of refs.entries()) checkTargetRef(report, `spec.targetRefs[${index}]`, ref);
}

export function checkTargetRef(report: Report, path: string, ref: PolicyTargetReference): void {
  if (ref.name === undefined || ref.name === '') report.error(`${path}.name`, 'is missing', 'the name of the target');
  if (ref.namespace !== undefined && ref.namespace !== '') {
    report.strict(`${path}.namespace`, 'targets in other namespaces are not supported', 'no namespace');
  }
  if (!TARGET_KINDS.some(([group, kind]) => group === (ref.group ?? '') && kind === ref.kind)) {
    const kinds = TARGET_KINDS.filter(([group]) => group !== 'core').map(([group, kind]) =>
      group === '' ? kind : `${group} ${kind}`,
    );
    report.error(
      `${path}.kind`,
      `${ref.group ?? ''} ${ref.kind ?? ''} can not be a target`.trim(),
      `one of ${kinds.join(', ')}`,
    );
  }
}

/** `unix:///path` or an abstract socket `unix://@name`. */
export function isUnixAddress(address: string): boolean {
  return /^unix:\/\/(?:\/[^\0]*|@[^\0]+)$/.test(address);
}

const PROTOCOLS: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'grpc',
  'grpc-web',
  'http',
  'http_proxy',
  'http2',
  'https',
  'tls',
  'mongo',
  'redis',
  'mysql',
  'hbone',
  'double-hbone',
]);

export function isKnownProtocol(protocol: string): boolean {
  return PROTOCOLS.has(protocol.toLowerCase());
}

/** Ports of ServiceEntries and Sidecars name their protocol; empty means it is detected. */
export function checkProtocol(report: Report, path: string, protocol: string | undefined): void {
  if (protocol !== undefined && protocol !== '' && !isKnownProtocol(protocol)) {
    report.error(
      path,
      `${JSON.stringify(protocol)} is no known protocol`,
      'HTTP, HTTPS, GRPC, HTTP2, TCP, TLS, MONGO, MYSQL, REDIS',
    );
  }
}

/** The index of the first element that equals an earlier one, with that one's. */
export function duplicates<T>(
  items: readonly T[],
  keyOf: (item: T) => string | number | undefined,
): [number, number][] {
  const seen = new Map<string | number, number>();
  const found: [number, number][] = [];
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    if (key === undefined) continue;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else found.push([index, first]);
  }
  return found;
}
