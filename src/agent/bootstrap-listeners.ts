import { ADMIN_READY } from './bootstrap-agentless.ts';
import { socketAddress } from './bootstrap-clusters.ts';
import type { AgentConfig } from './config.ts';

type Json = Readonly<Record<string, unknown>>;

/** The two listeners for kubelet and Prometheus, outside of overload limits: a busy proxy is not an unhealthy one. */
export function staticListeners(config: AgentConfig): Json[] {
  const { ports, statsCompression, agentless } = config;
  const filters = statsCompression ? [compressor()] : [];
  const ready = agentless ? { cluster: 'prometheus_stats', ...ADMIN_READY } : { cluster: 'agent' };
  return [
    listener(config, 'prometheus', ports.prometheus, '/stats/prometheus', { cluster: 'prometheus_stats' }, filters),
    listener(config, 'health', ports.health, '/healthz/ready', ready, []),
  ];
}

function listener(
  config: AgentConfig,
  kind: string,
  port: number,
  path: string,
  action: Json,
  filters: readonly Json[],
): Json {
  return {
    name: `static-${kind}`,
    address: socketAddress(config.bindAddress, port),
    ...additionalAddresses(config, port),
    ignoreGlobalConnLimit: true,
    bypassOverloadManager: true,
    filterChains: [{ filters: [connectionManager(kind, path, action, filters)] }],
  };
}

/** Dual stack: a proxy with addresses of both families answers on both wildcards. */
function additionalAddresses(config: AgentConfig, port: number): Json {
  const isDual =
    config.instanceIps.some((ip) => ip.includes(':')) && config.instanceIps.some((ip) => !ip.includes(':'));
  const other = config.bindAddress === '0.0.0.0' ? '::' : '0.0.0.0';
  const isWildcard = config.bindAddress === '0.0.0.0' || config.bindAddress === '::';
  return isDual && isWildcard ? { additionalAddresses: [{ address: socketAddress(other, port) }] } : {};
}

function connectionManager(kind: string, path: string, action: Json, filters: readonly Json[]): Json {
  const route = { match: { prefix: path }, route: action };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      codecType: 'AUTO',
      statPrefix: kind === 'health' ? 'agent' : 'stats',
      routeConfig: { virtualHosts: [{ name: 'backend', domains: ['*'], routes: [route] }] },
      httpFilters: [
        ...filters,
        {
          name: 'envoy.filters.http.router',
          typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
        },
      ],
    },
  };
}

/** Compresses for scrapers that ask for gzip; the page of a large proxy is megabytes of repetition. */
function compressor(): Json {
  return {
    name: 'envoy.filters.http.compressor',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor',
      compressorLibrary: {
        name: 'gzip',
        typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip' },
      },
    },
  };
}
