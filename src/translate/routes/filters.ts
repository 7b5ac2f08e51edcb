// Per-route settings of HTTP filters: fault injection and CORS.

import type { CorsPolicy, HTTPFaultAbort, HTTPFaultDelay, HTTPFaultInjection } from '../../config/generated/types.ts';
import { protoDuration, wholeSeconds } from '../../lib/duration.ts';
import { GRPC_STATUS_NAMES } from '../../lib/grpc-status.ts';
import type { AnyMessage, Messages } from '../../messages/index.ts';
import { typed } from '../envoy.ts';
import { fractionOf, hundredths } from './percent.ts';
import { sessionSettings } from './session.ts';
import { stringMatcher } from './string-match.ts';

type HttpFault = Messages['envoy.extensions.filters.http.fault.v3.HTTPFault'];
type Cors = Messages['envoy.extensions.filters.http.cors.v3.CorsPolicy'];
type StringMatcher = Messages['envoy.type.matcher.v3.StringMatcher'];

/** Names of the filters in the connection manager: per-route settings are found by them. */
const FAULT = 'envoy.filters.http.fault';
const CORS = 'envoy.filters.http.cors';

/** `typedPerFilterConfig` of a route. */
export function perFilterConfig(
  fault: HTTPFaultInjection | undefined,
  cors: CorsPolicy | undefined,
  session: string | undefined,
): { readonly [filter: string]: AnyMessage } | undefined {
  if (fault === undefined && cors === undefined && session === undefined) return undefined;
  const settings: Record<string, AnyMessage> = { ...sessionSettings(session) };
  const injected = fault === undefined ? undefined : httpFault(fault);
  if (injected !== undefined) settings[FAULT] = typed('envoy.extensions.filters.http.fault.v3.HTTPFault', injected);
  if (cors !== undefined) settings[CORS] = typed('envoy.extensions.filters.http.cors.v3.CorsPolicy', corsPolicy(cors));
  return Object.keys(settings).length === 0 ? undefined : settings;
}

function httpFault({ delay, abort }: HTTPFaultInjection): HttpFault | undefined {
  const fault: HttpFault = {
    delay: delay === undefined ? undefined : faultDelay(delay),
    abort: abort === undefined ? undefined : faultAbort(abort),
  };
  return fault.delay === undefined && fault.abort === undefined ? undefined : fault;
}

function faultDelay(delay: HTTPFaultDelay): HttpFault['delay'] {
  const fixedDelay = protoDuration(delay.fixedDelay);
  if (fixedDelay === undefined) return undefined;
  const percentage = delay.percentage === undefined ? hundredths(delay.percent ?? 0) : fractionOf(delay.percentage);
  return { fixedDelay, percentage };
}

function faultAbort(abort: HTTPFaultAbort): HttpFault['abort'] {
  const percentage = abort.percentage === undefined ? undefined : fractionOf(abort.percentage);
  if (abort.httpStatus !== undefined) return { httpStatus: abort.httpStatus, percentage };
  const grpcStatus = GRPC_STATUS.indexOf(abort.grpcStatus ?? '');
  return grpcStatus < 0 ? undefined : { grpcStatus, percentage };
}

/** By number: google.rpc.Code. */
const GRPC_STATUS = GRPC_STATUS_NAMES;

function corsPolicy(cors: CorsPolicy): Cors {
  const maxAge = cors.maxAge === undefined ? undefined : wholeSeconds(cors.maxAge);
  return {
    allowOriginStringMatch: allowedOrigins(cors),
    allowMethods: listText(cors.allowMethods),
    allowHeaders: listText(cors.allowHeaders),
    exposeHeaders: listText(cors.exposeHeaders),
    maxAge: maxAge === undefined ? undefined : String(maxAge),
    allowCredentials: cors.allowCredentials,
    filterEnabled: { defaultValue: hundredths(100) },
    forwardNotMatchingPreflights: cors.unmatchedPreflights !== 'IGNORE',
  };
}

function allowedOrigins(cors: CorsPolicy): readonly StringMatcher[] | undefined {
  // An origin without a form, or `*` as an expression, admits all.
  const matchers =
    cors.allowOrigins === undefined
      ? (cors.allowOrigin ?? []).map((exact): StringMatcher => ({ exact }))
      : cors.allowOrigins.map((origin) => stringMatcher(origin) ?? { safeRegex: { regex: '.*' } });
  return matchers.length === 0 ? undefined : matchers;
}

function listText(list: readonly string[] | undefined): string | undefined {
  return list === undefined || list.length === 0 ? undefined : list.join(',');
}
