// MeshConfig.extensionProviders: one schema per kind of provider.

import {
  duration,
  flag,
  integer,
  list,
  nonEmpty,
  object,
  oneOfText,
  struct,
  text,
  textMap,
  texts,
  uint32,
} from './schema/typed.ts';

const port = integer(1, 65535);

/** `HOST` or `NAMESPACE/HOST`. */
const target = { service: nonEmpty, port };

const httpHeader = object({ name: nonEmpty, value: text, envName: text }, ['name']);

const httpService = object({ path: text, timeout: duration, headers: list(httpHeader) });

const requestBody = object({ maxRequestBytes: uint32, allowPartialMessage: flag, packAsBytes: flag });

const extAuthzHttp = object(
  {
    ...target,
    timeout: duration,
    pathPrefix: text,
    failOpen: flag,
    clearRouteCache: flag,
    statusOnError: text,
    includeHeadersInCheck: texts,
    includeRequestHeadersInCheck: texts,
    includeAdditionalHeadersInCheck: textMap,
    includeRequestBodyInCheck: requestBody,
    headersToUpstreamOnAllow: texts,
    headersToDownstreamOnDeny: texts,
    headersToDownstreamOnAllow: texts,
  },
  ['service', 'port'],
);

const extAuthzGrpc = object(
  {
    ...target,
    timeout: duration,
    failOpen: flag,
    clearRouteCache: flag,
    statusOnError: text,
    includeRequestBodyInCheck: requestBody,
  },
  ['service', 'port'],
);

const zipkin = object(
  {
    ...target,
    maxTagLength: uint32,
    enable64bitTraceId: flag,
    path: text,
    traceContextOption: oneOfText('USE_B3', 'USE_B3_WITH_W3C_PROPAGATION'),
    timeout: duration,
    headers: list(httpHeader),
  },
  ['service', 'port'],
);

const opentelemetry = object(
  {
    ...target,
    maxTagLength: uint32,
    http: httpService,
    grpc: object({ timeout: duration, initialMetadata: list(httpHeader) }),
    resourceDetectors: object({ environment: object({}), dynatrace: object({}) }),
    serviceAttributeEnrichment: oneOfText('ISTIO_CANONICAL', 'OTEL_SEMANTIC_CONVENTIONS'),
    dynatraceSampler: object({
      tenant: text,
      clusterId: integer(-2_147_483_648, 2_147_483_647),
      rootSpansPerMinute: uint32,
      httpService: object({ ...target, http: httpService }),
    }),
  },
  ['service', 'port'],
);

const logFormat = object({ text, labels: struct });

const httpAls = object(
  {
    ...target,
    logName: text,
    filterStateObjectsToLog: texts,
    additionalRequestHeadersToLog: texts,
    additionalResponseHeadersToLog: texts,
    additionalResponseTrailersToLog: texts,
  },
  ['service', 'port'],
);

const unsignedCount = uint32;

/** Members of the oneof, in the order of the published API. */
export const PROVIDER_MEMBERS = {
  envoyExtAuthzHttp: extAuthzHttp,
  envoyExtAuthzGrpc: extAuthzGrpc,
  zipkin,
  lightstep: object({ ...target, accessToken: text, maxTagLength: uint32 }),
  datadog: object({ ...target, maxTagLength: uint32 }, ['service', 'port']),
  stackdriver: object({
    debug: flag,
    maxNumberOfAttributes: unsignedCount,
    maxNumberOfAnnotations: unsignedCount,
    maxNumberOfMessageEvents: unsignedCount,
    maxTagLength: uint32,
    logging: object({ labels: textMap }),
  }),
  opencensus: object({ ...target, context: texts, maxTagLength: uint32 }),
  skywalking: object({ ...target, accessToken: text }, ['service', 'port']),
  opentelemetry,
  prometheus: object({}),
  envoyFileAccessLog: object({ path: text, logFormat, omitEmptyValues: flag }),
  envoyHttpAls: httpAls,
  envoyTcpAls: object({ ...target, logName: text, filterStateObjectsToLog: texts }, ['service', 'port']),
  envoyOtelAls: object({ ...target, logName: text, logFormat }, ['service', 'port']),
  sds: object({ name: text, service: text, port }),
};

export const extensionProviderSchema = object({ name: nonEmpty, ...PROVIDER_MEMBERS }, ['name']);
