// Hosts that the proxy itself resolves when they are asked for: caches, filters, and routes for whatever is not registered.
// A cache is shared by name between cluster and filters, and all have to describe it the same way.

import { isDualStack } from '../../config/features.ts';
import type { Dialect, IpFamily } from '../../ir/proxy.ts';
import type { Messages } from '../../messages/index.ts';
import { dnsCacheName, lookupFamily } from '../clusters/discovery.ts';
import { DYNAMIC_DNS_CLUSTER } from '../clusters/names.ts';
import { extension } from '../envoy.ts';
import type { DnsCache } from '../http/index.ts';
import type { Filter } from './listener.ts';
import type { MeshSettings } from '../mesh.ts';

/** The cache of a service with resolution DYNAMIC_DNS. */
export function serviceDnsCache(hostname: string, family: IpFamily, mesh: MeshSettings): DnsCache {
  return { name: dnsCacheName(hostname), dnsLookupFamily: lookupFamily(family, isDualStack(mesh)) };
}

/** Before a TCP proxy: the host is the SNI. */
export function sniForwardProxy(hostname: string, port: number, family: IpFamily, mesh: MeshSettings): Filter {
  return extension(
    'envoy.extensions.filters.network.sni_dynamic_forward_proxy',
    'envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig',
    { dnsCacheConfig: serviceDnsCache(hostname, family, mesh), portValue: port },
  );
}

/** A gRPC client's own deadline counts. */
const NO_GRPC_LIMIT = {
  classic: { maxGrpcTimeout: '0s' },
  current: { maxStreamDuration: { grpcTimeoutHeaderMax: '0s' } },
  latest: { maxStreamDuration: { grpcTimeoutHeaderMax: '0s' } },
} as const;

const ANY_ROUTE = 'allow_any_dynamic_dns';

/** 1 MiB, as in every route configuration. */
const MAX_DIRECT_RESPONSE = 1_048_576;

/** Routes of plain HTTP to ports that no service has. */
export function dynamicDnsRoutes(
  attemptCount: boolean,
  dialect: Dialect,
): Messages['envoy.config.route.v3.RouteConfiguration'] {
  return {
    name: ANY_ROUTE,
    validateClusters: false,
    maxDirectResponseBodySizeBytes: MAX_DIRECT_RESPONSE,
    ignorePortInHostMatching: true,
    virtualHosts: [
      {
        name: ANY_ROUTE,
        domains: ['*'],
        includeRequestAttemptCount: attemptCount ? true : undefined,
        routes: [
          {
            name: ANY_ROUTE,
            match: { prefix: '/' },
            route: { cluster: DYNAMIC_DNS_CLUSTER, timeout: '0s', ...NO_GRPC_LIMIT[dialect] },
          },
        ],
      },
    ],
  };
}
