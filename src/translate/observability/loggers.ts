// One access logger per kind of provider, and the two that MeshConfig switches on by itself.

import type { ExtensionProvider } from '../../config/mesh.ts';
import type { Dialect } from '../../ir/proxy.ts';
import { sortedEntries } from '../../lib/order.ts';
import type { AnyMessage, JsonObject, JsonValue, Messages } from '../../messages/index.ts';
import { extension } from '../envoy.ts';
import { DEFAULT_JSON_FORMAT, DEFAULT_TEXT_FORMAT, formattersFor } from './log-format.ts';
import { grpcService, type Provider, type ProviderTarget } from './providers.ts';
import type { MeshSettings } from '../mesh.ts';

type FormatString = Messages['envoy.config.core.v3.SubstitutionFormatString'];
type CommonGrpc = Messages['envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig'];
type FileProvider = NonNullable<ExtensionProvider['envoyFileAccessLog']>;
type OtelProvider = NonNullable<ExtensionProvider['envoyOtelAls']>;

/** An access logger without its filter. */
export interface Logger {
  readonly name: string;
  readonly typedConfig: AnyMessage;
}

/** Where loggers are attached. */
export type LogPlace = 'http' | 'tcp' | 'listener';

const FILE = 'envoy.access_loggers.file';
const HTTP_GRPC = 'envoy.access_loggers.http_grpc';
const TCP_GRPC = 'envoy.tcp_grpc_access_log';
const OTEL = 'envoy.access_loggers.open_telemetry';

/** Filter state that other proxies of a mesh may leave behind. */
const PEER_STATE: readonly string[] = ['upstream_peer', 'downstream_peer'];
const WASM_PEER_STATE: readonly string[] = [
  ...PEER_STATE,
  'wasm.upstream_peer',
  'wasm.upstream_peer_id',
  'wasm.downstream_peer',
  'wasm.downstream_peer_id',
];

/** The logger of a provider; undefined for providers that don't log, or whose service is not there. */
export function loggerOf({ config, target }: Provider, mesh: MeshSettings, dialect: Dialect): Logger | undefined {
  if (config.envoyFileAccessLog !== undefined) return fileLogger(config.name, config.envoyFileAccessLog, mesh);
  if (target === undefined) return undefined;
  if (config.envoyHttpAls !== undefined) {
    const als = config.envoyHttpAls;
    const common = grpcCommon(als.logName ?? 'http_envoy_accesslog', target, als.filterStateObjectsToLog);
    return extension(HTTP_GRPC, 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
      commonConfig: common,
      additionalRequestHeadersToLog: als.additionalRequestHeadersToLog,
      additionalResponseHeadersToLog: als.additionalResponseHeadersToLog,
      additionalResponseTrailersToLog: als.additionalResponseTrailersToLog,
    });
  }
  if (config.envoyTcpAls !== undefined) {
    const als = config.envoyTcpAls;
    const common = grpcCommon(als.logName ?? 'tcp_envoy_accesslog', target, als.filterStateObjectsToLog);
    return extension(TCP_GRPC, 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig', {
      commonConfig: common,
    });
  }
  return config.envoyOtelAls === undefined ? undefined : otelLogger(config.envoyOtelAls, target, dialect);
}

function grpcCommon(logName: string, target: ProviderTarget, state: readonly string[] | undefined): CommonGrpc {
  return {
    logName,
    grpcService: grpcService(target),
    transportApiVersion: 'V3',
    filterStateObjectsToLog: state !== undefined && state.length > 0 ? state : PEER_STATE,
  };
}

function otelLogger(als: OtelProvider, target: ProviderTarget, dialect: Dialect): Logger {
  const body = als.logFormat?.text;
  const text = body === undefined || body === '' ? DEFAULT_TEXT_FORMAT : body;
  const labels = (als.logFormat?.labels ?? {}) as JsonObject;
  const values = sortedEntries(labels).map(([key, value]) => ({ key, value: { stringValue: labelText(value) } }));
  const formatters = formattersFor(text + JSON.stringify(labels));
  const common = {
    logName: als.logName ?? 'otel_envoy_accesslog',
    grpcService: grpcService(target),
    filterStateObjectsToLog: WASM_PEER_STATE,
  };
  return extension(OTEL, 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig', {
    // Envoy 1.37 moved the fields of `common_config` up and deprecated it.
    ...(dialect === 'latest' ? common : { commonConfig: { ...common, transportApiVersion: 'V3' } }),
    disableBuiltinLabels: true,
    body: { stringValue: text },
    attributes: values.length === 0 ? undefined : { values },
    formatters: formatters.length === 0 ? undefined : formatters,
  });
}

/** Only texts are formats. */
function labelText(value: JsonValue): string {
  return typeof value === 'string' ? value : '';
}

/** The provider that is always there; without a format of its own it has the mesh's. */
const BUILT_IN = 'envoy';

function fileLogger(name: string, provider: FileProvider, mesh: MeshSettings): Logger {
  const path = provider.path ?? '/dev/stdout';
  if (name === BUILT_IN && provider.logFormat === undefined && provider.omitEmptyValues !== true)
    return file(path, meshFormat(mesh));
  const format = provider.logFormat;
  const logFormat = format?.labels === undefined ? textFormat(format?.text) : jsonFormat(format.labels as JsonObject);
  return file(path, {
    ...logFormat,
    omitEmptyValues: provider.omitEmptyValues === true ? true : undefined,
  });
}

function file(path: string, logFormat: FormatString): Logger {
  return extension(FILE, 'envoy.extensions.access_loggers.file.v3.FileAccessLog', { path, logFormat });
}

function textFormat(text: string | undefined): FormatString {
  const line = text === undefined || text === '' ? DEFAULT_TEXT_FORMAT : text.endsWith('\n') ? text : `${text}\n`;
  const formatters = formattersFor(line);
  return { textFormatSource: { inlineString: line }, formatters: formatters.length === 0 ? undefined : formatters };
}

function jsonFormat(fields: JsonObject): FormatString {
  const formatters = formattersFor(JSON.stringify(fields));
  return {
    jsonFormat: fields,
    jsonFormatOptions: {},
    formatters: formatters.length === 0 ? undefined : formatters,
  };
}

const LOG_SERVICE_CLUSTER = 'envoy_accesslog_service';

/** `accessLogFile` and `enableEnvoyAccessLogService`. */
export function legacyLoggers(mesh: MeshSettings, where: LogPlace): readonly Logger[] {
  const loggers: Logger[] = [];
  if (mesh.accessLogFile !== '') loggers.push(file(mesh.accessLogFile, meshFormat(mesh)));
  if (mesh.enableEnvoyAccessLogService) loggers.push(logService(where));
  return loggers;
}

function meshFormat({ accessLogEncoding, accessLogFormat }: MeshSettings): FormatString {
  if (accessLogEncoding === 'TEXT') return textFormat(accessLogFormat);
  return jsonFormat(parsedObject(accessLogFormat) ?? DEFAULT_JSON_FORMAT);
}

/** A format that is no JSON object falls to the default: logs in another shape are better than none. */
function parsedObject(text: string): JsonObject | undefined {
  if (text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

function logService(where: LogPlace): Logger {
  const commonConfig: CommonGrpc = {
    logName: `${where}_envoy_accesslog`,
    grpcService: { envoyGrpc: { clusterName: LOG_SERVICE_CLUSTER } },
    transportApiVersion: 'V3',
    filterStateObjectsToLog: WASM_PEER_STATE,
  };
  return where === 'http'
    ? extension(HTTP_GRPC, 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
        commonConfig,
      })
    : extension(TCP_GRPC, 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig', { commonConfig });
}
