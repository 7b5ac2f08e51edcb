// How a cluster speaks HTTP to its endpoints: envoy.extensions.upstreams.http.v3.HttpProtocolOptions.

import { anyOf } from '../../codec/index.ts';
import type { ConnectionPoolSettings } from '../../config/generated/types.ts';
import type { ProxyType } from '../../ir/proxy.ts';
import { isHttp, isHttp2, type Protocol } from '../../ir/service.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { AnyMessage, Messages } from '../../messages/index.ts';
import { extension } from '../envoy.ts';
import type { MeshSettings } from '../mesh.ts';

const OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
type HttpProtocolOptions = Messages[typeof OPTIONS];

/** `http1` needs no options of its own: it is what Envoy does without them. */
export type UpstreamProtocol = 'http1' | 'http2' | 'downstream';

/** The protocol of a port, as declared, upgraded by policy or taken from the client. */
export function upstreamProtocol(
  protocol: Protocol,
  pool: ConnectionPoolSettings | undefined,
  mesh: MeshSettings,
  proxy: ProxyType,
  preserveCase: boolean,
): UpstreamProtocol {
  const http = pool?.http;
  if (http?.useClientProtocol === true) return 'downstream';
  if (isHttp2(protocol)) return 'http2';
  if (protocol === 'AUTO' && proxy === 'sidecar') return 'downstream';
  // HTTP/1 that keeps the case of headers is settled: HTTP/2 has no case to keep.
  if (preserveCase && keepsCase(protocol)) return 'http1';
  const policy = http?.h2UpgradePolicy ?? 'DEFAULT';
  if (policy === 'UPGRADE') return 'http2';
  return policy === 'DEFAULT' && isHttp(protocol) && mesh.h2UpgradePolicy === 'UPGRADE' ? 'http2' : 'http1';
}

function keepsCase(protocol: Protocol): boolean {
  return (isHttp(protocol) || protocol === 'AUTO') && !isHttp2(protocol);
}

export interface ProtocolInputs {
  readonly protocol: UpstreamProtocol;
  /** As the port declares it. */
  readonly declared: Protocol;
  readonly preserveCase: boolean;
  readonly pool: ConnectionPoolSettings | undefined;
  /** SNI, and the SAN to expect, come from the request's authority. */
  readonly autoSni?: boolean | undefined;
  readonly autoSanValidation?: boolean | undefined;
  /** Statuses that count as errors of the endpoint. */
  readonly errorCodes?: readonly number[] | undefined;
}

/** The `typed_extension_protocol_options` of a cluster; undefined when Envoy's defaults are meant. */
export function protocolOptions(inputs: ProtocolInputs): Readonly<Record<string, AnyMessage>> | undefined {
  const { protocol, pool, autoSni = false, autoSanValidation = false, errorCodes = [] } = inputs;
  const common = commonOptions(pool);
  const http1 = inputs.preserveCase && keepsCase(inputs.declared) ? PRESERVE_CASE : {};
  const named = autoSni || autoSanValidation;
  if (protocol === 'http1' && common === undefined && !named && errorCodes.length === 0 && http1 !== PRESERVE_CASE)
    return undefined;
  const options: HttpProtocolOptions = {
    commonHttpProtocolOptions: common,
    ...protocolConfig(protocol, pool, http1),
    upstreamHttpProtocolOptions: named
      ? { autoSni: autoSni || undefined, autoSanValidation: autoSanValidation || undefined }
      : undefined,
    outlierDetection: errorCodes.length === 0 ? undefined : { errorMatcher: anyStatus(errorCodes) },
  };
  return { [OPTIONS]: anyOf(OPTIONS, options) };
}

type Http1Options = Messages['envoy.config.core.v3.Http1ProtocolOptions'];
type MatchPredicate = Messages['envoy.config.common.matcher.v3.MatchPredicate'];

/** Header names as the application wrote them. */
export const PRESERVE_CASE: Http1Options = {
  headerKeyFormat: {
    statefulFormatter: extension(
      'preserve_case',
      'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
      {},
    ),
  },
};

function anyStatus(codes: readonly number[]): MatchPredicate {
  const rules = codes.map(
    (code): MatchPredicate => ({
      httpResponseHeadersMatch: { headers: [{ name: ':status', stringMatch: { exact: String(code) } }] },
    }),
  );
  return rules.length === 1 ? (rules[0] ?? {}) : { orMatch: { rules } };
}

function commonOptions(pool: ConnectionPoolSettings | undefined): HttpProtocolOptions['commonHttpProtocolOptions'] {
  const idleTimeout = protoDuration(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxConnectionDuration = protoDuration(pool?.tcp?.maxConnectionDuration);
  const perConnection = pool?.http?.maxRequestsPerConnection ?? 0;
  const http2 = (pool?.http?.maxConcurrentStreams ?? 0) > 0 || pool?.http?.http2KeepAlive !== undefined;
  if (idleTimeout === undefined && maxConnectionDuration === undefined && perConnection <= 0 && !http2)
    return undefined;
  return {
    idleTimeout,
    maxConnectionDuration,
    maxRequestsPerConnection: perConnection > 0 ? perConnection : undefined,
  };
}

function protocolConfig(
  protocol: UpstreamProtocol,
  pool: ConnectionPoolSettings | undefined,
  httpProtocolOptions: Http1Options,
): Partial<HttpProtocolOptions> {
  switch (protocol) {
    case 'http1':
      return { explicitHttpConfig: { httpProtocolOptions } };
    case 'http2':
      return { explicitHttpConfig: { http2ProtocolOptions: http2Options(pool) } };
    case 'downstream':
      return { useDownstreamProtocolConfig: { httpProtocolOptions, http2ProtocolOptions: {} } };
  }
}

function http2Options(pool: ConnectionPoolSettings | undefined): Messages['envoy.config.core.v3.Http2ProtocolOptions'] {
  const http = pool?.http;
  const keepalive = http?.http2KeepAlive;
  return {
    maxConcurrentStreams:
      http?.maxConcurrentStreams !== undefined && http.maxConcurrentStreams > 0 ? http.maxConcurrentStreams : undefined,
    connectionKeepalive:
      keepalive === undefined
        ? undefined
        : { interval: protoDuration(keepalive.interval), timeout: protoDuration(keepalive.timeout) },
  };
}
