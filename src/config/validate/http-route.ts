// One HTTP route of a VirtualService.

import type {
  HTTPMatchRequest,
  HTTPRedirect,
  HTTPRetry,
  HTTPRoute,
  HTTPRouteDestination,
  StringMatch,
} from '../generated/types.ts';
import { isDnsLabel, isHttpToken } from './addresses.ts';
import { checkDuration, checkPercent, checkPort, checkRegex, checkSelectorLabels, member } from './common.ts';
import { checkDestination, checkDestinations } from './destinations.ts';
import { checkCors, checkFault, checkStatus } from './fault-cors.ts';
import { checkHeaders, isAuthority } from './header-changes.ts';
import { checkLabels } from './labels.ts';
import type { Report } from './report.ts';

/** `delegate`: the VirtualService has no hosts and is only referred to by others. */
export function checkHttpRoute(report: Report, path: string, route: HTTPRoute, delegate: boolean): void {
  checkAction(report, path, route, delegate);
  for (const [index, match] of (route.match ?? []).entries()) checkMatch(report, `${path}.match[${index}]`, match);
  checkHeaders(report, `${path}.headers`, route.headers);
  checkSingleAuthority(report, path, route);
  checkCors(report, `${path}.corsPolicy`, route.corsPolicy);
  checkFault(report, `${path}.fault`, route.fault);
  checkMirrors(report, path, route);
  checkRedirect(report, `${path}.redirect`, route.redirect, route.match ?? []);
  checkDirectResponse(report, `${path}.directResponse`, route);
  checkRetries(report, `${path}.retries`, route.retries);
  checkRewrite(report, `${path}.rewrite`, route);
  checkHttpDestinations(report, `${path}.route`, route.route ?? []);
  checkDuration(report, `${path}.timeout`, route.timeout);
}

function checkAction(report: Report, path: string, route: HTTPRoute, delegate: boolean): void {
  const hasRoute = (route.route ?? []).length > 0;
  if (route.delegate !== undefined) {
    if (delegate) report.error(`${path}.delegate`, 'a delegate can not delegate further', 'a route');
    if (hasRoute) report.error(`${path}.route`, 'stands beside a delegate', 'either route or delegate');
    if (route.redirect !== undefined)
      report.error(`${path}.redirect`, 'stands beside a delegate', 'either redirect or delegate');
    if ((route.delegate.name ?? '') === '')
      report.error(`${path}.delegate.name`, 'is missing', 'the name of a VirtualService');
    return;
  }
  const actions = [
    hasRoute ? 'route' : undefined,
    route.redirect === undefined ? undefined : 'redirect',
    route.directResponse === undefined ? undefined : 'directResponse',
  ].filter((action) => action !== undefined);
  if (actions.length !== 1) {
    const message = actions.length === 0 ? 'does nothing' : `has ${actions.join(' and ')}`;
    report.error(path, message, 'exactly one of route, redirect, directResponse, delegate');
  }
  if (route.redirect === undefined && route.directResponse === undefined) return;
  if (route.fault !== undefined) report.error(`${path}.fault`, `can not be combined with ${actions.at(-1)}`, 'a route');
  if (route.rewrite !== undefined)
    report.error(`${path}.rewrite`, `can not be combined with ${actions.at(-1)}`, 'a route');
}

/** Headers of this form are looked up in the verified token. */
const JWT_CLAIM = /^@request\.auth\.claims(?:\.|\[)/;
const PSEUDO_HEADERS: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path', ':status']);

export function isClaimHeader(name: string): boolean {
  return JWT_CLAIM.test(name);
}

function checkMatch(report: Report, path: string, match: HTTPMatchRequest): void {
  // Envoy admits an empty path prefix; for the others an empty prefix is a mistake.
  checkPattern(report, `${path}.uri`, match.uri, true);
  checkPattern(report, `${path}.scheme`, match.scheme);
  checkPattern(report, `${path}.method`, match.method);
  checkPattern(report, `${path}.authority`, match.authority);
  for (const field of ['headers', 'withoutHeaders'] as const) {
    for (const [name, value] of Object.entries(match[field] ?? {})) {
      const at = member(`${path}.${field}`, name);
      if (!isClaimHeader(name) && !PSEUDO_HEADERS.has(name) && !isHttpToken(name)) {
        report.error(at, `${JSON.stringify(name)} is no header name`, 'letters, digits and -');
      }
      checkPattern(report, at, value);
    }
  }
  for (const [name, value] of Object.entries(match.queryParams ?? {})) {
    checkPattern(report, member(`${path}.queryParams`, name), value);
  }
  if (match.port !== undefined && match.port !== 0) checkPort(report, `${path}.port`, match.port);
  if (match.sourceNamespace !== undefined && match.sourceNamespace !== '' && !isDnsLabel(match.sourceNamespace)) {
    report.error(`${path}.sourceNamespace`, `${JSON.stringify(match.sourceNamespace)} is no namespace`, 'a namespace');
  }
  if (match.sourceLabels !== undefined && Object.keys(match.sourceLabels).length > 0) {
    checkSelectorLabels(report, `${path}.sourceLabels`, match.sourceLabels);
    checkLabels(report, `${path}.sourceLabels`, match.sourceLabels);
  }
}

function checkPattern(report: Report, path: string, match: StringMatch | undefined, emptyPrefix = false): void {
  if (match === undefined) return;
  if (match.prefix === '' && !emptyPrefix) report.error(`${path}.prefix`, 'is empty', 'text, or no match at all');
  if (match.regex === '') report.error(`${path}.regex`, 'is empty', 'a regular expression');
  // "*" is no RE2; it is read as "present".
  else if (match.regex !== '*') checkRegex(report, `${path}.regex`, match.regex);
}

function checkSingleAuthority(report: Report, path: string, route: HTTPRoute): void {
  const request = route.headers?.request;
  const names = [...Object.keys(request?.set ?? {}), ...Object.keys(request?.add ?? {})].filter(isAuthority);
  const count = names.length + ((route.rewrite?.authority ?? '') === '' ? 0 : 1);
  if (count > 1)
    report.error(path, 'rewrites the authority more than once', 'one of rewrite.authority and headers.request');
}

function checkMirrors(report: Report, path: string, route: HTTPRoute): void {
  if (route.mirror !== undefined) {
    if ((route.mirrors ?? []).length > 0)
      report.error(`${path}.mirror`, 'stands beside mirrors', 'either mirror or mirrors');
    checkDestination(report, `${path}.mirror`, route.mirror);
  }
  if (route.mirrorPercent !== undefined) {
    checkPercent(report, `${path}.mirrorPercent`, route.mirrorPercent);
    report.warn(`${path}.mirrorPercent`, 'is deprecated', 'mirrorPercentage', 'IST0002');
  }
  checkPercent(report, `${path}.mirrorPercentage.value`, route.mirrorPercentage?.value);
  for (const [index, mirror] of (route.mirrors ?? []).entries()) {
    checkDestination(report, `${path}.mirrors[${index}].destination`, mirror.destination ?? {});
    checkPercent(report, `${path}.mirrors[${index}].percentage.value`, mirror.percentage?.value);
  }
}

/** Of RedirectAction.RedirectResponseCode. */
const REDIRECT_CODES: readonly number[] = [301, 302, 303, 307, 308];
const SENDABLE = REDIRECT_CODES.join(', ');

function checkRedirect(
  report: Report,
  path: string,
  redirect: HTTPRedirect | undefined,
  matches: readonly HTTPMatchRequest[],
): void {
  if (redirect === undefined) return;
  const set = (value: string | undefined): boolean => value !== undefined && value !== '';
  if (set(redirect.uri) && set(redirect.prefixRewrite))
    report.error(path, 'has both uri and prefixRewrite', 'one of them');
  if (
    set(redirect.prefixRewrite) &&
    matches.some((match) => match.uri !== undefined && match.uri.prefix === undefined)
  ) {
    report.error(`${path}.prefixRewrite`, 'needs a prefix to replace', 'only prefix matches of uri');
  }
  const target = [redirect.uri, redirect.prefixRewrite, redirect.authority, redirect.scheme].some(set);
  if (!target && redirect.port === undefined && redirect.derivePort === undefined) {
    report.error(path, 'leads nowhere', 'uri, prefixRewrite, authority, scheme or port');
  }
  const code = redirect.redirectCode ?? 0;
  if (code !== 0 && (code < 300 || code > 399))
    report.error(`${path}.redirectCode`, `${code} is no redirect`, SENDABLE);
  else if (code !== 0 && !REDIRECT_CODES.includes(code))
    report.warn(`${path}.redirectCode`, `${code} can not be sent`, SENDABLE);
  if (set(redirect.scheme) && redirect.scheme !== 'http' && redirect.scheme !== 'https') {
    report.error(`${path}.scheme`, `${JSON.stringify(redirect.scheme)} is not supported`, 'http or https');
  }
  if (redirect.port !== undefined && redirect.port !== 0) checkPort(report, `${path}.port`, redirect.port);
}

const LARGE_BODY = 100 * 1024;
const MAX_BODY = 1024 * 1024;

function checkDirectResponse(report: Report, path: string, route: HTTPRoute): void {
  const response = route.directResponse;
  if (response === undefined) return;
  checkStatus(report, `${path}.status`, response.status);
  const size = response.body?.string?.length ?? Math.floor(((response.body?.bytes?.length ?? 0) * 3) / 4);
  if (size > MAX_BODY) report.error(`${path}.body`, `is ${size} bytes long`, `at most ${MAX_BODY} bytes`);
  else if (size > LARGE_BODY)
    report.warn(`${path}.body`, `is ${size} bytes long and sent to every proxy`, `less than ${LARGE_BODY} bytes`);
}

const RETRY_ON: ReadonlySet<string> = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

export function checkRetries(report: Report, path: string, retries: HTTPRetry | undefined): void {
  if (retries === undefined) return;
  const attempts = retries.attempts ?? 0;
  if (attempts < 0) report.error(`${path}.attempts`, `${attempts} is negative`, '0 or more');
  const others = [retries.retryOn || undefined, retries.perTryTimeout, retries.retryRemoteLocalities, retries.backoff];
  if (attempts === 0 && others.some((value) => value !== undefined)) {
    report.strict(path, 'attempts is 0, so nothing else applies', 'attempts of 1 or more, or nothing else');
  }
  checkDuration(report, `${path}.perTryTimeout`, retries.perTryTimeout, { zero: true });
  checkDuration(report, `${path}.backoff`, retries.backoff);
  for (const word of (retries.retryOn ?? '').split(',')) {
    const condition = word.trim();
    const code = /^\d+$/.test(condition) ? Number(condition) : undefined;
    const known = condition === '' || RETRY_ON.has(condition) || (code !== undefined && code >= 100 && code <= 599);
    if (!known) {
      report.error(
        `${path}.retryOn`,
        `${JSON.stringify(condition)} is no retry condition`,
        `status codes, ${[...RETRY_ON].join(', ')}`,
      );
    }
  }
}

function checkRewrite(report: Report, path: string, route: HTTPRoute): void {
  const rewrite = route.rewrite;
  if (rewrite === undefined) return;
  const uri = (rewrite.uri ?? '') !== '';
  if (uri && rewrite.uriRegexRewrite !== undefined)
    report.error(path, 'has both uri and uriRegexRewrite', 'one of them');
  if (!uri && rewrite.uriRegexRewrite === undefined && (rewrite.authority ?? '') === '') {
    report.error(path, 'rewrites nothing', 'uri, uriRegexRewrite or authority');
  }
  if (rewrite.uriRegexRewrite === undefined) return;
  const { match, rewrite: replacement } = rewrite.uriRegexRewrite;
  if ((match ?? '') === '' || (replacement ?? '') === '') {
    report.error(`${path}.uriRegexRewrite`, 'is incomplete', 'both match and rewrite');
  }
  if (match !== undefined && match !== '') checkRegex(report, `${path}.uriRegexRewrite.match`, match);
}

function checkHttpDestinations(report: Report, path: string, routes: readonly HTTPRouteDestination[]): void {
  for (const [index, route] of routes.entries()) checkHeaders(report, `${path}[${index}].headers`, route.headers);
  checkDestinations(report, path, routes);
}
