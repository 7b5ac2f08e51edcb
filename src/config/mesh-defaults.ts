// The mesh-wide configuration as translators see it, and its built-in defaults: those of istio.mesh.v1alpha1.MeshConfig.

import type { Features } from './features.ts';
import type { LocalityLoadBalancerSetting } from './generated/types.ts';
import type { meshConfigSchema } from './mesh-schema.ts';
import type { extensionProviderSchema } from './provider-schemas.ts';
import type { proxyConfigSchema } from './proxy-config-schema.ts';
import type { Of } from './schema/typed.ts';

export type ExtensionProvider = Of<typeof extensionProviderSchema>;
export type ProxyConfig = Of<typeof proxyConfigSchema>;
/** As written; MeshConfig is this over the defaults. */
export type MeshConfigFields = Of<typeof meshConfigSchema>;

type Present<T, K extends keyof T> = { readonly [P in K]-?: Exclude<T[P], undefined> };

type Defaulted = Present<
  MeshConfigFields,
  | 'trustDomain'
  | 'trustDomainAliases'
  | 'rootNamespace'
  | 'proxyListenPort'
  | 'proxyInboundListenPort'
  | 'proxyHttpPort'
  | 'connectTimeout'
  | 'protocolDetectionTimeout'
  | 'dnsRefreshRate'
  | 'enableAutoMtls'
  | 'enableTracing'
  | 'accessLogFile'
  | 'accessLogFormat'
  | 'accessLogEncoding'
  | 'enableEnvoyAccessLogService'
  | 'disableEnvoyListenerLog'
  | 'enablePrometheusMerge'
  | 'defaultServiceExportTo'
  | 'defaultVirtualServiceExportTo'
  | 'defaultDestinationRuleExportTo'
  | 'ingressClass'
  | 'ingressService'
  | 'ingressSelector'
  | 'ingressControllerMode'
  | 'h2UpgradePolicy'
  | 'extensionProviders'
  | 'serviceSettings'
>;

type DefaultedProxy = Present<
  ProxyConfig,
  | 'configPath'
  | 'binaryPath'
  | 'drainDuration'
  | 'terminationDrainDuration'
  | 'discoveryAddress'
  | 'proxyAdminPort'
  | 'statusPort'
  | 'statNameLength'
  | 'controlPlaneAuthPolicy'
  | 'proxyMetadata'
>;

export type MeshProxyConfig = ProxyConfig & DefaultedProxy;
export type OutboundTrafficPolicy = Exclude<MeshConfigFields['outboundTrafficPolicy'], undefined>;
export type InboundTrafficPolicy = Exclude<MeshConfigFields['inboundTrafficPolicy'], undefined>;

export interface MeshConfig
  extends Omit<
      MeshConfigFields,
      keyof Defaulted | 'outboundTrafficPolicy' | 'inboundTrafficPolicy' | 'defaultConfig' | 'localityLbSetting'
    >,
    Defaulted {
  readonly outboundTrafficPolicy: OutboundTrafficPolicy & Present<OutboundTrafficPolicy, 'mode'>;
  readonly inboundTrafficPolicy: InboundTrafficPolicy & Present<InboundTrafficPolicy, 'mode'>;
  readonly localityLbSetting: LocalityLoadBalancerSetting;
  readonly defaultConfig: MeshProxyConfig;
  /** Of no file: see `withFeatures`. */
  readonly features?: Features | undefined;
}

export const DEFAULT_PROXY_CONFIG: MeshProxyConfig = {
  configPath: './etc/istio/proxy',
  binaryPath: '/usr/local/bin/envoy',
  serviceCluster: 'istio-proxy',
  drainDuration: '45s',
  terminationDrainDuration: '5s',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  proxyAdminPort: 15000,
  statusPort: 15020,
  statNameLength: 189,
  controlPlaneAuthPolicy: 'MUTUAL_TLS',
  proxyMetadata: {},
};

const DEFAULT_PROVIDERS: readonly ExtensionProvider[] = [
  { name: 'prometheus', prometheus: {} },
  { name: 'stackdriver', stackdriver: {} },
  { name: 'envoy', envoyFileAccessLog: { path: '/dev/stdout' } },
];

export const DEFAULT_MESH_CONFIG: MeshConfig = {
  trustDomain: 'cluster.local',
  trustDomainAliases: [],
  rootNamespace: 'istio-system',
  proxyListenPort: 15001,
  proxyInboundListenPort: 15006,
  proxyHttpPort: 0,
  connectTimeout: '10s',
  protocolDetectionTimeout: '0s',
  dnsRefreshRate: '60s',
  enableAutoMtls: true,
  enableTracing: true,
  accessLogFile: '',
  accessLogFormat: '',
  accessLogEncoding: 'TEXT',
  enableEnvoyAccessLogService: false,
  disableEnvoyListenerLog: false,
  enablePrometheusMerge: true,
  outboundTrafficPolicy: { mode: 'ALLOW_ANY' },
  inboundTrafficPolicy: { mode: 'PASSTHROUGH' },
  localityLbSetting: { enabled: true },
  defaultServiceExportTo: ['*'],
  defaultVirtualServiceExportTo: ['*'],
  defaultDestinationRuleExportTo: ['*'],
  ingressClass: 'istio',
  ingressService: 'istio-ingressgateway',
  ingressSelector: 'ingressgateway',
  ingressControllerMode: 'STRICT',
  h2UpgradePolicy: 'DO_NOT_UPGRADE',
  extensionProviders: DEFAULT_PROVIDERS,
  serviceSettings: [],
  defaultConfig: DEFAULT_PROXY_CONFIG,
};
