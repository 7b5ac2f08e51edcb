// istio.mesh.v1alpha1.MeshConfig as it is written in YAML: every field may be absent.

import { extensionProviderSchema } from './provider-schemas.ts';
import { proxyConfigSchema } from './proxy-config-schema.ts';
import { duration, flag, list, nonEmpty, object, oneOfText, text, textMap, texts } from './schema/typed.ts';
import {
  clientTlsSchema,
  connectionPoolSchema,
  httpRetrySchema,
  localityLbSchema,
  outlierDetectionSchema,
  tcpKeepaliveSchema,
  zoneAwareLbSchema,
} from './shared-schemas.ts';
import { integer } from './schema/typed.ts';

const labelSelector = object({
  matchLabels: textMap,
  matchExpressions: list(
    object({ key: nonEmpty, operator: oneOfText('In', 'NotIn', 'Exists', 'DoesNotExist'), values: texts }, [
      'key',
      'operator',
    ]),
  ),
});

const tlsConfig = object({
  minProtocolVersion: oneOfText('TLS_AUTO', 'TLSV1_2', 'TLSV1_3'),
  ecdhCurves: texts,
  cipherSuites: texts,
});

const visibility = oneOfText('VISIBILITY_UNSPECIFIED', 'NONE', 'NAMESPACE', 'PUBLIC');

const port = integer(0, 65535);

export const meshConfigSchema = object({
  proxyListenPort: port,
  proxyInboundListenPort: port,
  proxyHttpPort: port,
  connectTimeout: duration,
  protocolDetectionTimeout: duration,
  tcpKeepalive: tcpKeepaliveSchema,
  hboneIdleTimeout: duration,
  ingressClass: text,
  ingressService: text,
  ingressControllerMode: oneOfText('UNSPECIFIED', 'OFF', 'DEFAULT', 'STRICT'),
  ingressSelector: text,
  enableTracing: flag,
  accessLogFile: text,
  accessLogFormat: text,
  accessLogEncoding: oneOfText('TEXT', 'JSON'),
  enableEnvoyAccessLogService: flag,
  disableEnvoyListenerLog: flag,
  defaultConfig: proxyConfigSchema,
  outboundTrafficPolicy: object({
    mode: oneOfText('REGISTRY_ONLY', 'ALLOW_ANY', 'ALLOW_ANY_DYNAMIC_DNS'),
    tls: clientTlsSchema,
  }),
  inboundTrafficPolicy: object({ mode: oneOfText('PASSTHROUGH', 'LOCALHOST') }),
  configSources: list(object({ address: text, tlsSettings: clientTlsSchema, subscribedResources: texts })),
  enableAutoMtls: flag,
  trustDomain: nonEmpty,
  trustDomainAliases: list(nonEmpty),
  caCertificates: list(object({ pem: text, spiffeBundleUrl: text, certSigners: texts, trustDomains: texts })),
  defaultServiceExportTo: texts,
  defaultVirtualServiceExportTo: texts,
  defaultDestinationRuleExportTo: texts,
  rootNamespace: nonEmpty,
  localityLbSetting: localityLbSchema,
  zoneAwareLbSetting: zoneAwareLbSchema,
  dnsRefreshRate: duration,
  h2UpgradePolicy: oneOfText('DO_NOT_UPGRADE', 'UPGRADE'),
  inboundClusterStatName: text,
  outboundClusterStatName: text,
  certificates: list(object({ secretName: text, dnsNames: texts })),
  serviceSettings: list(object({ settings: object({ clusterLocal: flag }), hosts: texts })),
  serviceScopeConfigs: list(
    object({
      namespaceSelector: labelSelector,
      servicesSelector: labelSelector,
      scope: oneOfText('LOCAL', 'GLOBAL'),
    }),
  ),
  enablePrometheusMerge: flag,
  verifyCertificateAtClient: flag,
  ca: object({ address: text, tlsSettings: clientTlsSchema, requestTimeout: duration, istiodSide: flag }),
  extensionProviders: list(extensionProviderSchema),
  defaultProviders: object({ tracing: texts, metrics: texts, accessLogging: texts }),
  discoverySelectors: list(labelSelector),
  pathNormalization: object({
    normalization: oneOfText('DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'),
  }),
  defaultHttpRetryPolicy: httpRetrySchema,
  defaultInboundHttpRetryPolicy: httpRetrySchema,
  meshMTLS: tlsConfig,
  tlsDefaults: tlsConfig,
  defaultTrafficPolicy: object({ connectionPool: connectionPoolSchema, outlierDetection: outlierDetectionSchema }),
  serviceEntryVisibility: object({
    defaultVisibility: visibility,
    applyToSidecars: flag,
    policies: list(object({ visibility, matchingRules: list(object({ namespaceSelector: labelSelector })) })),
  }),
});
