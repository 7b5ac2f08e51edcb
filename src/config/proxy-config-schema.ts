// istio.mesh.v1alpha1.ProxyConfig: `defaultConfig` of the mesh, the `proxy.istio.io/config` annotation, PROXY_CONFIG.

import {
  decimal,
  duration,
  flag,
  int32,
  integer,
  list,
  mapOf,
  object,
  oneOfText,
  text,
  textMap,
  texts,
  uint32,
} from './schema/typed.ts';
import { clientTlsSchema, readinessProbeSchema, tcpKeepaliveSchema } from './shared-schemas.ts';

const port = integer(0, 65535);

const remoteService = object({ address: text, tlsSettings: clientTlsSchema, tcpKeepalive: tcpKeepaliveSchema });

const tracing = object({
  zipkin: object({ address: text }),
  lightstep: object({ address: text, accessToken: text }),
  datadog: object({ address: text }),
  stackdriver: object({
    debug: flag,
    maxNumberOfAttributes: uint32,
    maxNumberOfAnnotations: uint32,
    maxNumberOfMessageEvents: uint32,
  }),
  openCensusAgent: object({ address: text, context: texts }),
  customTags: mapOf(
    object({
      literal: object({ value: text }),
      environment: object({ name: text, defaultValue: text }),
      header: object({ name: text, defaultValue: text }),
    }),
  ),
  maxPathTagLength: uint32,
  sampling: decimal,
  tlsSettings: clientTlsSchema,
  enableIstioTags: flag,
});

const clientCertDetails = oneOfText(
  'UNDEFINED',
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
);

const disabled = object({ disabled: flag });
const enabled = object({ enabled: flag });

const proxyHeaders = object({
  forwardedClientCert: clientCertDetails,
  setCurrentClientCertDetails: object({ subject: flag, cert: flag, chain: flag, dns: flag, uri: flag }),
  requestId: disabled,
  server: object({ disabled: flag, value: text }),
  attemptCount: disabled,
  envoyDebugHeaders: disabled,
  metadataExchangeHeaders: object({ mode: oneOfText('UNDEFINED', 'IN_MESH') }),
  preserveHttp1HeaderCase: flag,
  xForwardedHost: enabled,
  xForwardedPort: enabled,
});

const privateKeyProvider = object({
  cryptomb: object({ pollDelay: duration, fallback: flag }),
  qat: object({ pollDelay: duration, fallback: flag }),
});

const connectionSettings = object({
  profile: oneOfText('SIDECAR', 'EDGE'),
  listenerPerConnectionBufferLimitBytes: uint32,
  clusterPerConnectionBufferLimitBytes: uint32,
  httpIdleTimeout: duration,
  httpMaxConnectionDuration: duration,
  httpDrainTimeout: duration,
  httpRequestTimeout: duration,
  httpRequestHeadersTimeout: duration,
  httpStreamIdleTimeout: duration,
  httpMaxStreamDuration: duration,
  httpMaxConcurrentStreams: uint32,
  http2InitialStreamWindowSize: uint32,
  http2InitialConnectionWindowSize: uint32,
  httpHeadersWithUnderscoresAction: oneOfText(
    'HEADERS_WITH_UNDERSCORES_UNSPECIFIED',
    'HEADERS_WITH_UNDERSCORES_ALLOW',
    'HEADERS_WITH_UNDERSCORES_REJECT_REQUEST',
    'HEADERS_WITH_UNDERSCORES_DROP_HEADER',
  ),
  httpMergeSlashes: flag,
  httpPathWithEscapedSlashesAction: oneOfText(
    'PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED',
    'KEEP_UNCHANGED',
    'REJECT_REQUEST',
    'UNESCAPE_AND_REDIRECT',
    'UNESCAPE_AND_FORWARD',
  ),
  listenerConnectionLimit: uint32,
  globalDownstreamConnectionLimit: uint32,
});

export const proxyConfigSchema = object({
  configPath: text,
  binaryPath: text,
  serviceCluster: text,
  tracingServiceName: oneOfText('APP_LABEL_AND_NAMESPACE', 'CANONICAL_NAME_ONLY', 'CANONICAL_NAME_AND_NAMESPACE'),
  drainDuration: duration,
  discoveryAddress: text,
  discoveryRefreshDelay: duration,
  zipkinAddress: text,
  statsdUdpAddress: text,
  envoyMetricsServiceAddress: text,
  proxyAdminPort: port,
  availabilityZone: text,
  controlPlaneAuthPolicy: oneOfText('NONE', 'MUTUAL_TLS', 'INHERIT'),
  customConfigFile: text,
  statNameLength: int32,
  concurrency: integer(0, 2_147_483_647),
  proxyBootstrapTemplatePath: text,
  interceptionMode: oneOfText('REDIRECT', 'TPROXY', 'NONE'),
  tracing,
  sds: object({ enabled: flag, k8sSaJwtPath: text }),
  envoyAccessLogService: remoteService,
  envoyMetricsService: remoteService,
  proxyMetadata: textMap,
  runtimeValues: textMap,
  statusPort: port,
  extraStatTags: texts,
  gatewayTopology: object({
    numTrustedProxies: uint32,
    forwardClientCertDetails: clientCertDetails,
    proxyProtocol: object({}),
  }),
  terminationDrainDuration: duration,
  meshId: text,
  readinessProbe: readinessProbeSchema,
  proxyStatsMatcher: object({ inclusionPrefixes: texts, inclusionSuffixes: texts, inclusionRegexps: texts }),
  holdApplicationUntilProxyStarts: flag,
  caCertificatesPem: list(text),
  image: object({ imageType: text }),
  privateKeyProvider,
  proxyHeaders,
  fileFlushInterval: duration,
  fileFlushMinSizeKb: uint32,
  statsCompression: flag,
  connectionSettings,
});
