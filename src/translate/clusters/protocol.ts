// How a cluster speaks HTTP to its endpoints: envoy.extensions.upstreams.http.v3.HttpProtocolOptions.

import { anyOf } from '../../codec/index.ts';
import type { ConnectionPoolSettings } from '../../config/generated/types.ts';
import type { MeshConfig } from '../../config/mesh.ts';
import type { ProxyType } from '../../ir/proxy.ts';
import { isHttp2, type Protocol } from '../../ir/service.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { AnyMessage, Messages } from '../../messages/index.ts';

const OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
type HttpProtocolOptions = Messages[typeof OPTIONS];

/** `http1` needs no options of its own: it is what Envoy does without them. */
export type UpstreamProtocol = 'http1' | 'http2' | 'downstream';

/** The protocol of a port, as declared, upgraded by policy or taken from the client. */
export function upstreamProtocol(
  protocol: Protocol,
  pool: ConnectionPoolSettings | undefined,
  mesh: MeshConfig,
  proxy: ProxyType,
): UpstreamProtocol {
  if (isHttp2(protocol)) return 'http2';
  const http = pool?.http;
  if (http?.useClientProtocol === true) return 'downstream';
  if (protocol === 'HTTP' || protocol === 'AUTO') {
    const policy = http?.h2UpgradePolicy ?? 'DEFAULT';
    if (policy === 'UPGRADE') return 'http2';
    if (policy === 'DEFAULT' && protocol === 'HTTP' && mesh.h2UpgradePolicy === 'UPGRADE') return 'http2';
  }
  return protocol === 'AUTO' && proxy === 'sidecar' ? 'downstream' : 'http1';
}

export interface ProtocolInputs {
  readonly protocol: UpstreamProtocol;
  readonly pool: ConnectionPoolSettings | undefined;
  /** SNI, and the SAN to expect, come from the request's authority. */
  readonly autoSni?: boolean | undefined;
  readonly autoSanValidation?: boolean | undefined;
}

/** The `typed_extension_protocol_options` of a cluster; undefined when Envoy's defaults are meant. */
export function protocolOptions(inputs: ProtocolInputs): Readonly<Record<string, AnyMessage>> | undefined {
  const { protocol, pool, autoSni = false, autoSanValidation = false } = inputs;
  const common = commonOptions(pool);
  if (protocol === 'http1' && common === undefined && !autoSni) return undefined;
  const options: HttpProtocolOptions = {
    commonHttpProtocolOptions: common,
    ...protocolConfig(protocol, pool),
    upstreamHttpProtocolOptions: autoSni
      ? { autoSni: true, autoSanValidation: autoSanValidation || undefined }
      : undefined,
  };
  return { [OPTIONS]: anyOf(OPTIONS, options) };
}

function commonOptions(pool: ConnectionPoolSettings | undefined): HttpProtocolOptions['commonHttpProtocolOptions'] {
  const idleTimeout = protoDuration(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxConnectionDuration = protoDuration(pool?.tcp?.maxConnectionDuration);
  const perConnection = pool?.http?.maxRequestsPerConnection ?? 0;
  if (idleTimeout === undefined && maxConnectionDuration === undefined && perConnection <= 0) return undefined;
  return {
    idleTimeout,
    maxConnectionDuration,
    maxRequestsPerConnection: perConnection > 0 ? perConnection : undefined,
  };
}

function protocolConfig(
  protocol: UpstreamProtocol,
  pool: ConnectionPoolSettings | undefined,
): Partial<HttpProtocolOptions> {
  switch (protocol) {
    case 'http1':
      return { explicitHttpConfig: { httpProtocolOptions: {} } };
    case 'http2':
      return { explicitHttpConfig: { http2ProtocolOptions: http2Options(pool) } };
    case 'downstream':
      return { useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: http2Options(pool) } };
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
