// Envoy's bootstrap for stock Envoy 1.30 and newer: node, admin, static clusters and listeners, ADS over the agent's socket.
// In: AgentConfig; out: the JSON form of envoy.config.bootstrap.v3.Bootstrap. Pure.
// Called by agent.ts, and by `meltemi bootstrap` which prints it.

import { agentlessService } from './bootstrap-agentless.ts';
import { knowsItself, LOCAL_CLUSTER, staticClusters } from './bootstrap-clusters.ts';
import { staticListeners } from './bootstrap-listeners.ts';
import { probeListener } from './bootstrap-probes.ts';
import type { AgentConfig } from './config.ts';
import { nodeOf } from './node.ts';

type Json = Readonly<Record<string, unknown>>;

const INT32_MAX = 2_147_483_647;

/** The whole bootstrap. */
export function bootstrapOf(config: AgentConfig): Json {
  return {
    node: nodeOf(config),
    admin: {
      accessLog: [
        {
          name: 'envoy.access_loggers.file',
          typedConfig: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: '/dev/null',
          },
        },
      ],
      address: { socketAddress: { address: config.localAddress, portValue: config.ports.admin } },
      ignoreGlobalConnLimit: true,
    },
    layeredRuntime: layeredRuntime(config),
    overloadManager: overloadManager(config),
    bootstrapExtensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typedConfig: {
          '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
          bufferSizeKb: 64,
        },
      },
    ],
    clusterManager: {
      ...(knowsItself(config) ? { localClusterName: LOCAL_CLUSTER } : {}),
      enableDeferredClusterCreation: true,
    },
    deferredStatOptions: { enableDeferredCreationStats: true },
    statsConfig: { statsMatcher: { inclusionList: { patterns: statsPatterns(config) } } },
    dynamicResources: dynamicResources(config),
    staticResources: staticResources(config),
  };
}

function staticResources(config: AgentConfig): Json {
  const probes = config.agentless ? probeListener(config) : undefined;
  return {
    clusters: [...staticClusters(config), ...(probes?.clusters ?? [])],
    listeners: [...staticListeners(config), ...(probes?.listeners ?? [])],
  };
}

function dynamicResources(config: AgentConfig): Json {
  // The proxy is useless without listeners and clusters: it waits for them however long it takes.
  const overAds = { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' };
  return {
    ldsConfig: overAds,
    cdsConfig: overAds,
    adsConfig: {
      apiType: config.delta ? 'DELTA_GRPC' : 'GRPC',
      transportApiVersion: 'V3',
      setNodeOnFirstMessageOnly: true,
      grpcServices: [config.agentless ? agentlessService(config) : { envoyGrpc: { clusterName: 'xds-grpc' } }],
    },
  };
}

function layeredRuntime(config: AgentConfig): Json {
  const values: Record<string, unknown> = { 're2.max_program_size.error_level': '32768' };
  for (const [key, value] of Object.entries(config.proxyConfig.runtimeValues ?? {})) {
    if (value === '') delete values[key];
    else values[key] = value;
  }
  return {
    layers: [
      { name: 'global config', staticLayer: values },
      { name: 'admin', adminLayer: {} },
    ],
  };
}

/** Without a limit of the user's the monitor is there all the same: Envoy warns about every listener otherwise. */
function overloadManager(config: AgentConfig): Json {
  const { connectionSettings, proxyMetadata, runtimeValues } = config.proxyConfig;
  const wanted =
    connectionSettings?.globalDownstreamConnectionLimit ??
    proxyMetadata?.['ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS'] ??
    runtimeValues?.['overload.global_downstream_max_connections'];
  const limit = Number(wanted ?? INT32_MAX);
  return {
    resourceMonitors: [
      {
        name: 'envoy.resource_monitors.global_downstream_max_connections',
        typedConfig: {
          '@type':
            'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
          maxActiveDownstreamConnections: String(Number.isInteger(limit) && limit > 0 ? limit : INT32_MAX),
        },
      },
    ],
  };
}

const PREFIXES = [
  'cluster_manager',
  'listener_manager',
  'server',
  'cluster.xds-grpc',
  'wasm',
  'component',
  'istio',
  'reporter=',
];
const SUFFIXES = ['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied', 'downstream_cx_active'];
const REGEXPS = ['vhost\\..*\\.route\\..*'];
/** Envoy's own health check answers by these: where they are not kept, everything is unhealthy. */
const PROBED = 'cluster\\.probe-.*\\.membership_(healthy|total)';

/** The few statistics worth their memory in every proxy, and what user and pod ask for. */
function statsPatterns(config: AgentConfig): Json[] {
  const matcher = config.proxyConfig.proxyStatsMatcher ?? {};
  const annotated = (name: string) => splitList(config.annotations[`sidecar.istio.io/statsInclusion${name}`], config);
  const prefixes = [...PREFIXES, ...(matcher.inclusionPrefixes ?? []), ...annotated('Prefixes')];
  const suffixes = [...SUFFIXES, ...(matcher.inclusionSuffixes ?? []), ...annotated('Suffixes')];
  const regexps = [
    ...REGEXPS,
    ...(config.agentless ? [PROBED] : []),
    ...(matcher.inclusionRegexps ?? []),
    ...annotated('Regexps'),
  ];
  return [
    ...unique(prefixes).map((prefix) => ({ prefix })),
    ...unique(suffixes).map((suffix) => ({ suffix })),
    ...unique(regexps).map((regex) => ({ safeRegex: { regex } })),
  ];
}

function splitList(text: string | undefined, config: AgentConfig): string[] {
  const substituted = (text ?? '').replaceAll('{pod_ip}', config.instanceIps[0] ?? '');
  return substituted.split(',').filter((part) => part !== '');
}

const unique = (values: readonly string[]): string[] => [...new Set(values)];
