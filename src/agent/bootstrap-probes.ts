// Kubelet's probes of an application whose proxy has no agent: mutual TLS would turn them away, and a TCP probe would only find
// the proxy. A listener in the agent's place answers them, from the address that capture lets pass.
// In: the probes as the pod names them. Out: one listener, and a cluster for each thing probed. Called by bootstrap.ts.
//
// HTTP probes are passed on. TCP and gRPC probes can't be: Envoy would accept before it connects. It checks these ports by itself,
// as it checks endpoints, and the kubelet is told how the last check went.

import { socketAddress } from './bootstrap-clusters.ts';
import type { AgentConfig } from './config.ts';
import type { Probe, ProbeAction } from './probes/probe.ts';

type Json = Readonly<Record<string, unknown>>;

/** How old an answer about a TCP or gRPC port may be. */
const CHECK_INTERVAL = '2s';

interface Parts {
  readonly routes: Json[];
  readonly checks: Json[];
  readonly clusters: Map<string, Json>;
}

export function probeListener(config: AgentConfig): { readonly listeners: Json[]; readonly clusters: Json[] } {
  const parts: Parts = { routes: [], checks: [], clusters: new Map() };
  for (const [path, probe] of config.features.probes) add(parts, path, probe, config);
  const { routes, checks, clusters } = parts;
  return {
    listeners: routes.length + checks.length > 0 ? [listener(config, routes, checks)] : [],
    clusters: [...clusters.values()],
  };
}

function add({ routes, checks, clusters }: Parts, path: string, probe: Probe, config: AgentConfig): void {
  const { action } = probe;
  const { application } = config.features;
  switch (action.kind) {
    case 'http': {
      const name = `probe-${action.port}${action.secure ? '-tls' : ''}`;
      clusters.set(name, clusterOf(name, action.port, application, action.secure ? TLS : {}));
      routes.push(routeOf(path, name, action, probe.timeoutMs));
      return;
    }
    case 'tcp':
    case 'grpc': {
      const name = `probe-${action.port}-${action.kind}${action.kind === 'grpc' ? `-${action.service}` : ''}`;
      clusters.set(name, clusterOf(name, action.port, application, checked(action, probe.timeoutMs)));
      checks.push(checkFilter(path, name));
      return;
    }
    case 'exec':
      // Kubelet runs it in the container: it needs nobody's help.
      return;
  }
}

function routeOf(path: string, cluster: string, action: ProbeAction & { kind: 'http' }, timeoutMs: number): Json {
  const host = action.headers.find(([header]) => header.toLowerCase() === 'host')?.[1];
  return {
    match: { path },
    route: {
      cluster,
      prefixRewrite: action.path,
      timeout: seconds(timeoutMs),
      ...(host === undefined ? {} : { hostRewriteLiteral: host }),
    },
    requestHeadersToAdd: action.headers
      .filter(([header]) => header.toLowerCase() !== 'host')
      .map(([key, value]) => ({ header: { key, value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' })),
  };
}

function checked(action: ProbeAction & { kind: 'tcp' | 'grpc' }, timeoutMs: number): Json {
  const check = {
    timeout: seconds(timeoutMs),
    interval: CHECK_INTERVAL,
    // Nothing else ever goes there.
    noTrafficInterval: CHECK_INTERVAL,
    unhealthyThreshold: 1,
    healthyThreshold: 1,
    reuseConnection: false,
    ...(action.kind === 'tcp'
      ? { tcpHealthCheck: {} }
      : { grpcHealthCheck: action.service === '' ? {} : { serviceName: action.service } }),
  };
  return { healthChecks: [check], ...(action.kind === 'grpc' ? HTTP2 : {}) };
}

/** Kubelets don't look at the certificates of what they probe. */
const TLS: Json = {
  transportSocket: {
    name: 'envoy.transport_sockets.tls',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    },
  },
};

const HTTP2: Json = {
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
};

function seconds(ms: number): string {
  return `${ms / 1000}s`;
}

function clusterOf(name: string, port: number, target: AgentConfig['features']['application'], more: Json): Json {
  return {
    name,
    type: 'STATIC',
    connectTimeout: '5s',
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: socketAddress(target.host, port) } }] }],
    },
    ...(target.source === undefined
      ? {}
      : { upstreamBindConfig: { sourceAddress: { address: target.source, portValue: 0 } } }),
    ...more,
  };
}

/** Answers 200 while the one endpoint of the cluster is healthy, else 503. */
function checkFilter(path: string, cluster: string): Json {
  return {
    name: 'envoy.filters.http.health_check',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck',
      passThroughMode: false,
      clusterMinHealthyPercentages: { [cluster]: { value: 100 } },
      headers: [{ name: ':path', stringMatch: { exact: path } }],
    },
  };
}

function listener(config: AgentConfig, routes: readonly Json[], checks: readonly Json[]): Json {
  return {
    name: 'static-probes',
    address: socketAddress(config.bindAddress, config.ports.status),
    ignoreGlobalConnLimit: true,
    bypassOverloadManager: true,
    filterChains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typedConfig: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              codecType: 'AUTO',
              statPrefix: 'probes',
              routeConfig: { virtualHosts: [{ name: 'probes', domains: ['*'], routes }] },
              httpFilters: [
                ...checks,
                {
                  name: 'envoy.filters.http.router',
                  typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}
