// The HTTP connection manager of every listener: sidecar outbound and inbound, gateway.
// In: a ChainContext (proxy, mesh, policies, telemetry) and what is particular to the chain. Out: one network filter.
// Called by listeners and gateway.

import { lasting } from '../../codec/index.ts';
import type { Protocol } from '../../ir/service.ts';
import { isHttp2 } from '../../ir/service.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';
import type { ChainContext } from '../context.ts';
import { PRESERVE_CASE } from '../clusters/protocol.ts';
import { ADS_CONFIG_SOURCE, extension, STAT_NAME_END, typed } from '../envoy.ts';
import { connectionSettings } from './connection-settings.ts';
import { httpFilters } from './filters.ts';
import { proxyHeaders } from './headers.ts';

type Hcm = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'];
type Http1Options = Messages['envoy.config.core.v3.Http1ProtocolOptions'];
type Filter = Messages['envoy.config.listener.v3.Filter'];
type RouteConfiguration = Messages['envoy.config.route.v3.RouteConfiguration'];

/** Where the routes of a chain come from. */
export type RouteSource =
  | { readonly kind: 'rds'; readonly name: string }
  | { readonly kind: 'inline'; readonly config: RouteConfiguration };

export interface HcmInputs {
  readonly context: ChainContext;
  /** Without the end mark. */
  readonly statPrefix: string;
  readonly routes: RouteSource;
  /** Protocol of the port, after TLS termination. */
  readonly protocol: Protocol;
  /** The port that match clauses of extensions compare with. */
  readonly port: number;
  /** An explicit proxy port: requests name their host in the request line. */
  readonly explicitProxy?: boolean | undefined;
  /** Over QUIC: HTTP/3 and nothing else. */
  readonly quic?: boolean | undefined;
  /** Names of DNS caches: a dynamic_forward_proxy filter for each. */
  readonly dnsCaches?: readonly DnsCache[] | undefined;
  /** Those that istiod has no filter for: of services that came after the one that the chain was made for. */
  readonly moreDnsCaches?: readonly DnsCache[] | undefined;
}

export type DnsCache = Messages['envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig'];

const SERVER_NAME = 'istio-envoy';

/** Modes in which the proxy writes what it knows of its client. */
const SETTING: ReadonlySet<unknown> = new Set(['APPEND_FORWARD', 'SANITIZE_SET']);

/** The connection manager as a network filter. */
export function httpConnectionManager(inputs: HcmInputs): Filter {
  const { context, routes, protocol, explicitProxy, quic } = inputs;
  const message: Hcm = {
    statPrefix: inputs.statPrefix + STAT_NAME_END,
    rds: routes.kind === 'rds' ? { configSource: ADS_CONFIG_SOURCE, routeConfigName: routes.name } : undefined,
    routeConfig: routes.kind === 'inline' ? routes.config : undefined,
    httpFilters: httpFilters(inputs),
    httpProtocolOptions: http1Options(context, explicitProxy === true),
    http2ProtocolOptions: context.role === 'sidecar-inbound' && isHttp2(protocol) ? {} : undefined,
    ...sharedOptions(context),
    ...(quic === true ? HTTP3 : undefined),
  };
  return extension(
    'envoy.filters.network.http_connection_manager',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    message,
  );
}

/** What all connection managers of a context have. */
const sharedOptions = memo((context: ChainContext): Partial<Hcm> => {
  const { settings } = context.proxyClass;
  const { block, useRequestId } = context.tracing();
  return {
    useRemoteAddress: context.role === 'gateway',
    internalAddressConfig: context.internalAddresses,
    streamIdleTimeout: '0s',
    proxy100Continue: true,
    upgradeConfigs: UPGRADES,
    ...pathNormalization(context),
    commonHttpProtocolOptions: settings.idleTimeout === undefined ? undefined : { idleTimeout: settings.idleTimeout },
    ...headerOptions(context),
    ...limits(context),
    requestIdExtension: useRequestId ? SAMPLING_REQUEST_ID : REQUEST_ID,
    tracing: block,
    accessLog: context.logs.http,
  };
});

const UPGRADES: Hcm['upgradeConfigs'] = [lasting({ upgradeType: 'websocket' })];
const REQUEST_ID = requestId(false);
const SAMPLING_REQUEST_ID = requestId(true);

function requestId(useRequestIdForTraceSampling: boolean): Hcm['requestIdExtension'] {
  const type = 'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig';
  return lasting({ typedConfig: typed(type, { useRequestIdForTraceSampling }) });
}

const HTTP3: Partial<Hcm> = { codecType: 'HTTP3', http3ProtocolOptions: {} };

function pathNormalization({ mesh }: ChainContext): Partial<Hcm> {
  const mode = mesh.pathNormalization?.normalization ?? 'DEFAULT';
  const unescape = mode === 'DECODE_AND_MERGE_SLASHES';
  return {
    normalizePath: mode !== 'NONE',
    mergeSlashes: unescape || mode === 'MERGE_SLASHES' ? true : undefined,
    pathWithEscapedSlashesAction: unescape ? 'UNESCAPE_AND_FORWARD' : 'KEEP_UNCHANGED',
  };
}

function http1Options({ proxyClass, role }: ChainContext, explicitProxy: boolean): Http1Options | undefined {
  const { http10 } = proxyClass.settings;
  const { preserveCase } = proxyHeaders(proxyClass);
  if (!http10 && !explicitProxy && !preserveCase && role !== 'gateway') return undefined;
  return {
    acceptHttp10: http10 ? true : undefined,
    allowAbsoluteUrl: explicitProxy ? true : undefined,
    ...(preserveCase ? PRESERVE_CASE : undefined),
  };
}

/** Limits of a proxy at the edge; what the proxy itself says of idle connections stays. */
function limits(context: ChainContext): Partial<Hcm> {
  const { manager, common } = connectionSettings(context.proxyClass);
  if (common === undefined) return manager;
  const idleTimeout = context.idleTimeout ?? common.idleTimeout;
  return { ...manager, commonHttpProtocolOptions: { ...common, idleTimeout } };
}

function headerOptions(context: ChainContext): Partial<Hcm> {
  const headers = proxyHeaders(context.proxyClass);
  const { gatewayClientCert = 'SANITIZE_SET', keepServer, trustedProxies } = headers;
  const gateway = context.role === 'gateway';
  const outbound = context.role === 'sidecar-outbound';
  const ownName = outbound ? headers.serverName : (headers.serverName ?? SERVER_NAME);
  const inboundCert = outbound ? undefined : (headers.forwardedClientCert ?? 'APPEND_FORWARD');
  const inboundDetails = outbound ? undefined : headers.clientCertDetails;
  return {
    generateRequestId: headers.generateRequestId ? undefined : false,
    serverHeaderTransformation: keepServer ? 'PASS_THROUGH' : undefined,
    appendXForwardedPort: headers.forwardedPort ? true : undefined,
    serverName: keepServer ? undefined : ownName,
    xffNumTrustedHops: gateway && trustedProxies !== 0 ? trustedProxies : undefined,
    forwardClientCertDetails: gateway ? gatewayClientCert : inboundCert,
    setCurrentClientCertDetails: gateway ? gatewayDetails(gatewayClientCert) : inboundDetails,
  };
}

function gatewayDetails(mode: NonNullable<Hcm['forwardClientCertDetails']>): Hcm['setCurrentClientCertDetails'] {
  return SETTING.has(mode) ? ALL_DETAILS : undefined;
}

const ALL_DETAILS: Hcm['setCurrentClientCertDetails'] = lasting({ subject: true, cert: true, dns: true, uri: true });
