// How an Envoy alone, without an agent, reaches the control plane: over TLS by its Google gRPC client, with the token of a
// file read at each call. In: AgentConfig; out: the ADS service and what takes the place of the agent. Called by bootstrap.ts.

import { socketAddress } from './bootstrap-clusters.ts';
import type { AgentConfig, RootSource } from './config.ts';

type Json = Readonly<Record<string, unknown>>;

const CREDENTIALS = 'envoy.grpc_credentials.file_based_metadata';
/** Where the image, as most distributions, has the operating system's roots. */
const SYSTEM_ROOTS = '/etc/ssl/certs/ca-certificates.crt';

/** What tells the control plane that secrets have to come over ADS. */
export const AGENTLESS_METADATA = { MELTEMI_AGENTLESS: 'true' } as const;

/** Throws where no identity could be proven: without one there would be no certificate. */
export function agentlessService(config: AgentConfig): Json {
  const { discovery, clusterId, xdsHeaders } = config;
  if (discovery.security !== 'tls') throw new Error('a proxy without an agent needs TLS to the control plane');
  const headers = Object.entries({ clusterid: clusterId, ...xdsHeaders });
  return {
    googleGrpc: {
      targetUri: discovery.address,
      statPrefix: 'xds-grpc',
      channelCredentials: { sslCredentials: { rootCerts: { filename: rootsFile(discovery.roots) } } },
      callCredentials: [
        {
          fromPlugin: {
            name: CREDENTIALS,
            typedConfig: {
              '@type': 'type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig',
              secretData: { filename: absolute(config.tokenFile) },
              headerKey: 'authorization',
              headerPrefix: 'Bearer ',
            },
          },
        },
      ],
      credentialsFactoryName: CREDENTIALS,
      channelArgs: {
        args: {
          'grpc.ssl_target_name_override': { stringValue: discovery.serverName },
          'grpc.default_authority': { stringValue: discovery.serverName },
          // A control plane that vanished without a word is noticed within 40 s.
          'grpc.keepalive_time_ms': { intValue: '30000' },
          'grpc.keepalive_timeout_ms': { intValue: '10000' },
          'grpc.keepalive_permit_without_calls': { intValue: '1' },
          'grpc.http2.max_pings_without_data': { intValue: '0' },
          'grpc.max_receive_message_length': { intValue: '-1' },
        },
      },
    },
    initialMetadata: headers.map(([key, value]) => ({ key, value })),
  };
}

function rootsFile(roots: RootSource): string {
  return roots.kind === 'system' ? SYSTEM_ROOTS : absolute(roots.path);
}

/** Defaults are relative, for an agent whose folder is the root; an Envoy may be started anywhere. */
function absolute(path: string): string {
  return path.startsWith('./') ? path.slice(1) : path;
}

/** Envoy's own readiness in place of the agent's. */
export const ADMIN_READY = { prefixRewrite: '/ready' } as const;

/**
 * Kubelet's HTTP probes of the application, which mutual TLS would turn away: a listener in the agent's place that passes on
 * exactly the paths that the pod names, from the address that capture lets pass.
 */
export function probeListener(config: AgentConfig): { readonly listeners: Json[]; readonly clusters: Json[] } {
  const { probes, application } = config.features;
  const listeners: Json[] = [];
  const clusters = new Map<string, Json>();
  const routes: Json[] = [];
  for (const [path, { action, timeoutMs }] of probes) {
    if (action.kind !== 'http') continue;
    const name = `probe-${action.port}${action.secure ? '-tls' : ''}`;
    clusters.set(name, probeCluster(name, action.port, action.secure, application));
    const host = action.headers.find(([header]) => header.toLowerCase() === 'host')?.[1];
    routes.push({
      match: { path },
      route: {
        cluster: name,
        prefixRewrite: action.path,
        timeout: `${timeoutMs / 1000}s`,
        ...(host === undefined ? {} : { hostRewriteLiteral: host }),
      },
      requestHeadersToAdd: action.headers
        .filter(([header]) => header.toLowerCase() !== 'host')
        .map(([key, value]) => ({ header: { key, value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' })),
    });
  }
  if (routes.length > 0) listeners.push(listener(config, routes));
  return { listeners, clusters: [...clusters.values()] };
}

function probeCluster(
  name: string,
  port: number,
  secure: boolean,
  target: AgentConfig['features']['application'],
): Json {
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
    // Kubelets don't look at the certificates of what they probe.
    ...(secure
      ? {
          transportSocket: {
            name: 'envoy.transport_sockets.tls',
            typedConfig: {
              '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
            },
          },
        }
      : {}),
  };
}

function listener(config: AgentConfig, routes: readonly Json[]): Json {
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
