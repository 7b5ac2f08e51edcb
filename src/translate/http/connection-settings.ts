// ProxyConfig `connectionSettings` of routers: limits for a proxy that faces the internet.
// The profile EDGE gives values to whatever is not set; without it only what is set counts.

import type { ProxyConfig } from '../../config/mesh.ts';
import type { ProxyClass, ProxySettings } from '../../ir/proxy.ts';
import { protoDuration } from '../../lib/duration.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';

type Hcm = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'];
type HttpOptions = Messages['envoy.config.core.v3.HttpProtocolOptions'];
type Http2Options = Messages['envoy.config.core.v3.Http2ProtocolOptions'];
type Settings = NonNullable<ProxyConfig['connectionSettings']>;

export interface ConnectionSettings {
  /** Over those of every connection manager. */
  readonly manager: Partial<Hcm>;
  readonly common: HttpOptions | undefined;
  /** `per_connection_buffer_limit_bytes` of listeners. */
  readonly listenerBuffer: number | undefined;
}

const NOTHING: ConnectionSettings = { manager: {}, common: undefined, listenerBuffer: undefined };

const EDGE: Settings = {
  listenerPerConnectionBufferLimitBytes: 32768,
  httpIdleTimeout: '3600s',
  httpStreamIdleTimeout: '300s',
  httpRequestTimeout: '300s',
  httpRequestHeadersTimeout: '60s',
  httpMaxConcurrentStreams: 100,
  http2InitialStreamWindowSize: 65536,
  http2InitialConnectionWindowSize: 1048576,
  httpHeadersWithUnderscoresAction: 'HEADERS_WITH_UNDERSCORES_REJECT_REQUEST',
  httpMergeSlashes: true,
  httpPathWithEscapedSlashesAction: 'UNESCAPE_AND_REDIRECT',
};

export function connectionSettings({ type, settings }: ProxyClass): ConnectionSettings {
  return type === 'router' ? ofRouter(settings) : NOTHING;
}

const ofRouter = memo(({ proxyConfig }: ProxySettings): ConnectionSettings => {
  const given = proxyConfig['connectionSettings'] as Settings | undefined;
  if (given === undefined) return NOTHING;
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Settings;
  const settings = given.profile === 'EDGE' ? { ...EDGE, ...set } : set;
  return {
    manager: managerSettings(settings),
    common: commonSettings(settings),
    listenerBuffer: settings.listenerPerConnectionBufferLimitBytes,
  };
});

function managerSettings(settings: Settings): Partial<Hcm> {
  const http2: Http2Options = {
    maxConcurrentStreams: settings.httpMaxConcurrentStreams,
    initialStreamWindowSize: settings.http2InitialStreamWindowSize,
    initialConnectionWindowSize: settings.http2InitialConnectionWindowSize,
  };
  return present({
    http2ProtocolOptions: orNothing(http2),
    streamIdleTimeout: protoDuration(settings.httpStreamIdleTimeout),
    requestTimeout: protoDuration(settings.httpRequestTimeout),
    requestHeadersTimeout: protoDuration(settings.httpRequestHeadersTimeout),
    drainTimeout: protoDuration(settings.httpDrainTimeout),
    mergeSlashes: settings.httpMergeSlashes,
    pathWithEscapedSlashesAction: escapedSlashes(settings.httpPathWithEscapedSlashesAction),
  });
}

function commonSettings(settings: Settings): HttpOptions | undefined {
  return orNothing({
    idleTimeout: protoDuration(settings.httpIdleTimeout),
    maxConnectionDuration: protoDuration(settings.httpMaxConnectionDuration),
    maxStreamDuration: protoDuration(settings.httpMaxStreamDuration),
    headersWithUnderscoresAction: underscores(settings.httpHeadersWithUnderscoresAction),
  });
}

function underscores(
  action: Settings['httpHeadersWithUnderscoresAction'],
): HttpOptions['headersWithUnderscoresAction'] {
  switch (action) {
    case 'HEADERS_WITH_UNDERSCORES_REJECT_REQUEST':
      return 'REJECT_REQUEST';
    case 'HEADERS_WITH_UNDERSCORES_DROP_HEADER':
      return 'DROP_HEADER';
    case 'HEADERS_WITH_UNDERSCORES_ALLOW':
    case 'HEADERS_WITH_UNDERSCORES_UNSPECIFIED':
    case undefined:
      return undefined;
  }
}

function escapedSlashes(action: Settings['httpPathWithEscapedSlashesAction']): Hcm['pathWithEscapedSlashesAction'] {
  return action === 'PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED' ? undefined : action;
}

function orNothing<T extends object>(message: T): T | undefined {
  return Object.values(message).some((value) => value !== undefined) ? message : undefined;
}

/** Without undefined members, so that spreading it covers only what is set. */
function present<T extends object>(message: T): T {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)) as T;
}
