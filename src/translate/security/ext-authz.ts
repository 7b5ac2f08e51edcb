// The external authorizer behind CUSTOM policies, as an HTTP and as a network filter.

import type { ExtensionProvider } from '../../config/mesh.ts';
import { protoDuration } from '../../lib/duration.ts';
import { sortedEntries } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';
import { extension } from '../envoy.ts';
import { grpcService, type Provider, type ProviderTarget } from '../observability/providers.ts';
import { regexMatcher } from './matchers.ts';
import { httpStatus } from './status-code.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type NetworkFilter = Messages['envoy.config.listener.v3.Filter'];
type ExtAuthz = Messages['envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'];
type StringMatcher = Messages['envoy.type.matcher.v3.StringMatcher'];
type ListStringMatcher = Messages['envoy.type.matcher.v3.ListStringMatcher'];
type MetadataMatcher = Messages['envoy.type.matcher.v3.MetadataMatcher'];
type HttpProvider = NonNullable<ExtensionProvider['envoyExtAuthzHttp']>;
type GrpcProvider = NonNullable<ExtensionProvider['envoyExtAuthzGrpc']>;

export interface ExternalAuthorizer {
  readonly http: HttpFilter;
  /** Only gRPC providers can judge connections. */
  readonly tcp: NetworkFilter | undefined;
}

/** Prefix of the dynamic metadata that the shadow rules before ext_authz write. */
export const EXT_AUTHZ_SHADOW_PREFIX = 'istio_ext_authz_';
/** Prefix of the ids of those rules. */
export const EXT_AUTHZ_RULE_PREFIX = 'istio-ext-authz';

/** Long enough for any authorizer: failing earlier is a choice that users make by `timeout`. */
const DEFAULT_TIMEOUT = '600s';

const TCP_STAT_PREFIX = 'tcp.';

/** The filters of a provider; undefined when it is not an authorizer, its service is not there, or its settings are wrong. */
export function externalAuthorizer({ config, target }: Provider): ExternalAuthorizer | undefined {
  if (target === undefined) return undefined;
  if (config.envoyExtAuthzHttp !== undefined) return overHttp(config.name, config.envoyExtAuthzHttp, target);
  if (config.envoyExtAuthzGrpc !== undefined) return overGrpc(config.name, config.envoyExtAuthzGrpc, target);
  return undefined;
}

function overHttp(name: string, provider: HttpProvider, target: ProviderTarget): ExternalAuthorizer | undefined {
  const common = commonSettings(name, provider);
  if (common === undefined) return undefined;
  if (provider.pathPrefix !== undefined && provider.pathPrefix !== '' && !provider.pathPrefix.startsWith('/'))
    return undefined;
  const added = sortedEntries(provider.includeAdditionalHeadersInCheck).map(([key, value]) => ({ key, value }));
  const http = httpFilter({
    ...common,
    allowedHeaders: headerPatterns(provider.includeRequestHeadersInCheck ?? provider.includeHeadersInCheck),
    httpService: {
      serverUri: {
        uri: `http://${target.hostname}`,
        cluster: target.cluster,
        timeout: protoDuration(provider.timeout) ?? DEFAULT_TIMEOUT,
      },
      pathPrefix: provider.pathPrefix === '' ? undefined : provider.pathPrefix,
      authorizationRequest: added.length === 0 ? undefined : { headersToAdd: added },
      authorizationResponse: authorizationResponse(provider),
    },
  });
  return { http, tcp: undefined };
}

function authorizationResponse(
  provider: HttpProvider,
): Messages['envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse'] | undefined {
  const response = {
    allowedUpstreamHeaders: headerPatterns(provider.headersToUpstreamOnAllow),
    allowedClientHeaders: headerPatterns(provider.headersToDownstreamOnDeny),
    allowedClientHeadersOnSuccess: headerPatterns(provider.headersToDownstreamOnAllow),
  };
  return Object.values(response).some((value) => value !== undefined) ? response : undefined;
}

function overGrpc(name: string, provider: GrpcProvider, target: ProviderTarget): ExternalAuthorizer | undefined {
  const common = commonSettings(name, provider);
  if (common === undefined) return undefined;
  const service = grpcService(target, protoDuration(provider.timeout) ?? DEFAULT_TIMEOUT);
  const tcp = extension('envoy.filters.network.ext_authz', 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz', {
    statPrefix: TCP_STAT_PREFIX,
    grpcService: service,
    failureModeAllow: provider.failOpen === true ? true : undefined,
    transportApiVersion: 'V3',
    filterEnabledMetadata: enabledBy('envoy.filters.network.rbac', name),
  });
  return { http: httpFilter({ ...common, grpcService: service }), tcp };
}

function httpFilter(settings: ExtAuthz): HttpFilter {
  return extension('envoy.filters.http.ext_authz', 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', settings);
}

function commonSettings(name: string, provider: HttpProvider | GrpcProvider): ExtAuthz | undefined {
  const { statusOnError, includeRequestBodyInCheck: body } = provider;
  const status = statusOnError === undefined || statusOnError === '' ? undefined : httpStatus(statusOnError);
  if (status === undefined && statusOnError !== undefined && statusOnError !== '') return undefined;
  return {
    failureModeAllow: provider.failOpen === true ? true : undefined,
    statusOnError: status === undefined ? undefined : { code: status },
    clearRouteCache: provider.clearRouteCache === true ? true : undefined,
    transportApiVersion: 'V3',
    withRequestBody:
      body === undefined
        ? undefined
        : {
            maxRequestBytes: body.maxRequestBytes,
            allowPartialMessage: body.allowPartialMessage === true ? true : undefined,
            packAsBytes: body.packAsBytes === true ? true : undefined,
          },
    filterEnabledMetadata: enabledBy('envoy.filters.http.rbac', name),
  };
}

/** The filter runs for what a rule of its provider's policies matched, and for nothing else. */
function enabledBy(filter: string, provider: string): MetadataMatcher {
  return {
    filter,
    path: [{ key: `${EXT_AUTHZ_SHADOW_PREFIX}shadow_effective_policy_id` }],
    value: { stringMatch: { prefix: `${EXT_AUTHZ_RULE_PREFIX}-${provider}` } },
  };
}

function headerPatterns(headers: readonly string[] | undefined): ListStringMatcher | undefined {
  return headers === undefined || headers.length === 0 ? undefined : { patterns: headers.map(headerPattern) };
}

function headerPattern(header: string): StringMatcher {
  if (header === '*') return regexMatcher('.+');
  if (header.startsWith('*')) return { suffix: header.slice(1), ignoreCase: true };
  if (header.endsWith('*')) return { prefix: header.slice(0, -1), ignoreCase: true };
  return { exact: header, ignoreCase: true };
}
