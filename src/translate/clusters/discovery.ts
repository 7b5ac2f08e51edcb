// How a cluster finds its endpoints: the `type` of the cluster and the fields that go with it.

import { anyOf, lasting } from '../../codec/index.ts';
import { isDualStack } from '../../config/features.ts';
import type { TrafficPolicy } from '../../config/generated/types.ts';
import type { IpFamily } from '../../ir/proxy.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import { memo } from '../../lib/memo.ts';
import type { Cluster, ClusterLoadAssignment, Messages } from '../../messages/index.ts';
import type { ClusterContext } from './context.ts';
import type { MeshSettings } from '../mesh.ts';

const CARES: Cluster['typedDnsResolverConfig'] = {
  name: 'envoy.network.dns_resolver.cares',
  typedConfig: anyOf('envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig', { udpMaxQueries: 100 }),
};

/** Spread over refreshes of many clusters, so that they don't ask in step. */
const DNS_JITTER = '0.100s';

export function discovery(
  service: Pick<Service, 'resolution' | 'registry'>,
  port: ServicePort,
  name: string,
  policy: TrafficPolicy,
  assignment: ClusterLoadAssignment | undefined,
  context: ClusterContext,
): Partial<Cluster> {
  const passthrough = service.resolution === 'Passthrough' && context.type === 'sidecar';
  if (passthrough) return originalDst(service, port);
  if (policy.loadBalancer?.simple === 'PASSTHROUGH') return { ...dnsSettings(service, context), ...ORIGINAL_DST };
  if (service.resolution === 'DNSLB') return dns('STRICT_DNS', assignment, context);
  if (service.resolution === 'DNSRoundRobinLB') return dns('LOGICAL_DNS', assignment, context);
  return {
    type: 'EDS',
    edsClusterConfig: { serviceName: name, edsConfig: ADS },
  };
}

const ADS: Messages['envoy.config.core.v3.ConfigSource'] = lasting({
  ads: {},
  initialFetchTimeout: '0s',
  resourceApiVersion: 'V3',
});

/** Bytes go where the client meant them to; a ServiceEntry may still move the port. */
function originalDst(service: Pick<Service, 'registry'>, port: ServicePort): Partial<Cluster> {
  const moved = service.registry === 'External' && typeof port.targetPort === 'number';
  return {
    type: 'ORIGINAL_DST',
    lbPolicy: 'CLUSTER_PROVIDED',
    originalDstLbConfig: moved ? { upstreamPortOverride: Number(port.targetPort) } : undefined,
  };
}

const ORIGINAL_DST: Partial<Cluster> = { type: 'ORIGINAL_DST', lbPolicy: 'CLUSTER_PROVIDED' };

/** Of a host that is looked up, also where a rule sends bytes on to where the client meant them to go. */
function dnsSettings({ resolution }: Pick<Service, 'resolution'>, context: ClusterContext): Partial<Cluster> {
  if (context.dialect !== 'classic' || (resolution !== 'DNSLB' && resolution !== 'DNSRoundRobinLB')) return {};
  const { clusterType: _, loadAssignment: __, type: ___, ...settings } = dns('STRICT_DNS', undefined, context);
  return settings;
}

function dns(
  type: 'STRICT_DNS' | 'LOGICAL_DNS',
  assignment: ClusterLoadAssignment | undefined,
  context: ClusterContext,
): Partial<Cluster> {
  const dnsLookupFamily = lookupFamily(context.family, isDualStack(context.mesh));
  const dnsRefreshRate = context.mesh.dnsRefreshRate;
  if (context.dialect === 'classic') {
    const legacy = { dnsLookupFamily, dnsRefreshRate, respectDnsTtl: true, dnsJitter: DNS_JITTER };
    return { type, ...legacy, typedDnsResolverConfig: CARES, loadAssignment: assignment };
  }
  return {
    clusterType: {
      name: 'envoy.cluster.dns',
      typedConfig: anyOf('envoy.extensions.clusters.dns.v3.DnsCluster', {
        dnsRefreshRate,
        respectDnsTtl: true,
        dnsJitter: DNS_JITTER,
        dnsLookupFamily,
        allAddressesInSingleEndpoint: type === 'LOGICAL_DNS' || undefined,
        typedDnsResolverConfig: CARES,
      }),
    },
    loadAssignment: assignment,
  };
}

/**
 * One cache for all ports of a host: it is the same name that is looked up. Where TLS does not verify that name Envoy wants
 * to be told that this is meant (`unverified`).
 */
export function dynamicDns(
  service: Pick<Service, 'hostname'>,
  { family, mesh }: ClusterContext,
  unverified: boolean,
): Partial<Cluster> {
  return {
    lbPolicy: 'CLUSTER_PROVIDED',
    clusterType: {
      name: 'envoy.clusters.dynamic_forward_proxy',
      typedConfig: anyOf('envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig', {
        dnsCacheConfig: {
          name: dnsCacheName(service.hostname),
          dnsLookupFamily: lookupFamily(family, isDualStack(mesh)),
        },
        allowInsecureClusterOptions: unverified || undefined,
      }),
    },
  };
}

export function dnsCacheName(host: string): string {
  return `${host}_dfp_dns_cache`;
}

type DnsCache = Messages['envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig'];

/** Hosts that a sidecar may resolve at a time under ALLOW_ANY_DYNAMIC_DNS. */
const MAX_ANY_HOSTS = 1024;

/** The cache behind ALLOW_ANY_DYNAMIC_DNS. Cluster and filters share it by name, and all have to describe it the same way. */
export function anyDnsCache(family: IpFamily, mesh: MeshSettings, dnsProxy: string | undefined): DnsCache {
  const dnsLookupFamily = lookupFamily(family, isDualStack(mesh));
  const typedDnsResolverConfig = dnsProxy === undefined || dnsProxy === '' ? undefined : agentResolver(mesh, dnsProxy);
  return { name: dnsCacheName('allow_any'), dnsLookupFamily, maxHosts: MAX_ANY_HOSTS, typedDnsResolverConfig };
}

/** Names of the mesh are the agent's to resolve. */
const agentResolver = memo((_mesh: MeshSettings, dnsProxy: string): DnsCache['typedDnsResolverConfig'] => {
  const colon = dnsProxy.lastIndexOf(':');
  const socketAddress = { address: dnsProxy.slice(0, colon), portValue: Number(dnsProxy.slice(colon + 1)) };
  return {
    name: 'envoy.network.dns_resolver.cares',
    typedConfig: anyOf('envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig', {
      resolvers: [{ socketAddress }],
    }),
  };
});

export function lookupFamily(family: IpFamily, dualStack: boolean): 'V4_ONLY' | 'V6_ONLY' | 'ALL' {
  if (family === 'v6') return 'V6_ONLY';
  return family === 'dual' && dualStack ? 'ALL' : 'V4_ONLY';
}
