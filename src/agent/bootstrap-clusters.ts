import type { AgentConfig } from './config.ts';

type Json = Readonly<Record<string, unknown>>;

/** The clusters that Envoy has before the control plane says anything. */
export function staticClusters(config: AgentConfig): Json[] {
  const admin = local('prometheus_stats', socketAddress(config.localAddress, config.ports.admin));
  const own = ownPods(config);
  if (config.agentless) return [admin, ...own];
  return [
    admin,
    ...own,
    local('agent', socketAddress(statusAddress(config), config.ports.status)),
    overSocket('sds-grpc', config.sdsSocket, {}),
    ...(config.credentialSocket === undefined ? [] : [overSocket('sds-external', config.credentialSocket, {})]),
    {
      ...overSocket('xds-grpc', config.xdsSocket, { commonHttpProtocolOptions: { maxRequestsPerConnection: 1 } }),
      circuitBreakers: {
        thresholds: ['DEFAULT', 'HIGH'].map((priority) => ({
          priority,
          maxConnections: 100_000,
          maxPendingRequests: 100_000,
          maxRequests: 100_000,
        })),
      },
      upstreamConnectionOptions: { tcpKeepalive: { keepaliveTime: 300 } },
    },
  ];
}

/** The cluster of the other pods of the workload, under the name by which Envoy finds its own zone's share. */
export const LOCAL_CLUSTER = 'local_cluster';

/** Its endpoints come from the control plane, which sends them where the metadata asks for it. */
export function knowsItself({ metadata }: AgentConfig): boolean {
  const word = metadata['ENABLE_SELF_DISCOVERY'];
  return word === true || (typeof word === 'string' && /^(1|t|true)$/i.test(word));
}

function ownPods(config: AgentConfig): readonly Json[] {
  if (!knowsItself(config)) return [];
  return [
    {
      name: LOCAL_CLUSTER,
      altStatName: `${LOCAL_CLUSTER};`,
      type: 'EDS',
      connectTimeout: '1s',
      lbPolicy: 'LEAST_REQUEST',
      edsClusterConfig: { edsConfig: { ads: {}, resourceApiVersion: 'V3' }, serviceName: LOCAL_CLUSTER },
    },
  ];
}

/** Where Envoy reaches the agent's port: its address, or this machine's if it listens on all. */
function statusAddress(config: AgentConfig): string {
  const isWildcard = config.statusAddress === '0.0.0.0' || config.statusAddress === '::';
  return isWildcard ? config.localAddress : config.statusAddress;
}

function local(name: string, address: Json): Json {
  return {
    name,
    type: 'STATIC',
    connectTimeout: '0.250s',
    lbPolicy: 'ROUND_ROBIN',
    loadAssignment: assignment(name, address),
  };
}

function overSocket(name: string, path: string, options: Json): Json {
  return {
    name,
    type: 'STATIC',
    connectTimeout: '1s',
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicitHttpConfig: { http2ProtocolOptions: {} },
        ...options,
      },
    },
    loadAssignment: assignment(name, { pipe: { path } }),
  };
}

function assignment(name: string, address: Json): Json {
  return { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] };
}

/** An address and port in JSON form. */
export function socketAddress(address: string, port: number): Json {
  return { socketAddress: { protocol: 'TCP', address, portValue: port } };
}
