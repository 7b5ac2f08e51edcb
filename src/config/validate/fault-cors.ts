// Fault injection and CORS of an HTTP route.

import type { CorsPolicy, HTTPFaultInjection } from '../generated/types.ts';
import { isHttpToken } from './addresses.ts';
import { checkDuration, checkPercent, checkRegex } from './common.ts';
import type { Report } from './report.ts';
import { GRPC_STATUS_NAMES } from '../../lib/grpc-status.ts';

const CORS_METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  '*',
]);

export function checkCors(report: Report, path: string, cors: CorsPolicy | undefined): void {
  if (cors === undefined) return;
  for (const [index, origin] of (cors.allowOrigins ?? []).entries()) {
    const at = `${path}.allowOrigins[${index}]`;
    if ((origin.exact ?? origin.prefix ?? origin.regex ?? '') === '')
      report.error(at, 'is empty', 'exact, prefix or regex');
    else checkRegex(report, `${at}.regex`, origin.regex);
  }
  for (const [index, method] of (cors.allowMethods ?? []).entries()) {
    if (!CORS_METHODS.has(method)) {
      report.error(
        `${path}.allowMethods[${index}]`,
        `${JSON.stringify(method)} is no HTTP method`,
        [...CORS_METHODS].join(', '),
      );
    }
  }
  for (const field of ['allowHeaders', 'exposeHeaders'] as const) {
    for (const [index, name] of (cors[field] ?? []).entries()) {
      if (name !== '*' && !isHttpToken(name)) {
        report.error(`${path}.${field}[${index}]`, `${JSON.stringify(name)} is no header name`, 'a header name or *');
      }
    }
  }
  checkDuration(report, `${path}.maxAge`, cors.maxAge, { wholeSeconds: true });
}

const GRPC_STATUS: ReadonlySet<string> = new Set(GRPC_STATUS_NAMES);

export function checkFault(report: Report, path: string, fault: HTTPFaultInjection | undefined): void {
  if (fault === undefined) return;
  const { abort, delay } = fault;
  if (abort === undefined && delay === undefined) report.error(path, 'does nothing', 'abort, delay or both');
  if (abort !== undefined) {
    checkPercent(report, `${path}.abort.percentage.value`, abort.percentage?.value);
    if (abort.http2Error !== undefined)
      report.error(`${path}.abort.http2Error`, 'is not supported', 'httpStatus or grpcStatus');
    else if (abort.grpcStatus !== undefined) {
      if (!GRPC_STATUS.has(abort.grpcStatus)) {
        report.error(
          `${path}.abort.grpcStatus`,
          `${JSON.stringify(abort.grpcStatus)} is no gRPC status`,
          'a name such as UNAVAILABLE',
        );
      }
    } else if (abort.httpStatus !== undefined) checkStatus(report, `${path}.abort.httpStatus`, abort.httpStatus);
    else report.warn(`${path}.abort`, 'has no status and never applies', 'httpStatus or grpcStatus');
  }
  if (delay !== undefined) {
    checkPercent(report, `${path}.delay.percentage.value`, delay.percentage?.value);
    checkDuration(report, `${path}.delay.fixedDelay`, delay.fixedDelay);
    if (delay.exponentialDelay !== undefined)
      report.error(`${path}.delay.exponentialDelay`, 'is not supported', 'fixedDelay');
    if (delay.percent !== undefined) report.warn(`${path}.delay.percent`, 'is deprecated', 'percentage', 'IST0002');
  }
}

/** A status that Envoy can send by itself. */
export function checkStatus(report: Report, path: string, status: number | undefined): void {
  if (status === undefined || status < 200 || status > 599) {
    report.error(path, status === undefined ? 'is missing' : `${status} is no status that can be sent`, '200 to 599');
  }
}
