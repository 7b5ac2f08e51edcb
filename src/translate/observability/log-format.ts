// The default formats of access logs, and the formatter extensions that some commands need.

import type { JsonObject, Messages } from '../../messages/index.ts';
import { extension } from '../envoy.ts';

type TypedExtension = Messages['envoy.config.core.v3.TypedExtensionConfig'];

/** Field of the JSON form and command of the text form, in the order of the text. */
const FIELDS: readonly (readonly [string, string])[] = [
  ['start_time', '%START_TIME%'],
  ['method', '%REQ(:METHOD)%'],
  ['path', '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%'],
  ['protocol', '%PROTOCOL%'],
  ['response_code', '%RESPONSE_CODE%'],
  ['response_flags', '%RESPONSE_FLAGS%'],
  ['response_code_details', '%RESPONSE_CODE_DETAILS%'],
  ['connection_termination_details', '%CONNECTION_TERMINATION_DETAILS%'],
  ['upstream_transport_failure_reason', '%UPSTREAM_TRANSPORT_FAILURE_REASON%'],
  ['bytes_received', '%BYTES_RECEIVED%'],
  ['bytes_sent', '%BYTES_SENT%'],
  ['duration', '%DURATION%'],
  ['upstream_service_time', '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%'],
  ['x_forwarded_for', '%REQ(X-FORWARDED-FOR)%'],
  ['user_agent', '%REQ(USER-AGENT)%'],
  ['request_id', '%REQ(X-REQUEST-ID)%'],
  ['authority', '%REQ(:AUTHORITY)%'],
  ['upstream_host', '%UPSTREAM_HOST%'],
  ['upstream_cluster', '%UPSTREAM_CLUSTER_RAW%'],
  ['upstream_local_address', '%UPSTREAM_LOCAL_ADDRESS%'],
  ['downstream_local_address', '%DOWNSTREAM_LOCAL_ADDRESS%'],
  ['downstream_remote_address', '%DOWNSTREAM_REMOTE_ADDRESS%'],
  ['requested_server_name', '%REQUESTED_SERVER_NAME%'],
  ['route_name', '%ROUTE_NAME%'],
];

export const DEFAULT_JSON_FORMAT: JsonObject = Object.fromEntries(FIELDS);

/** Fields that may hold blanks. */
const QUOTED: ReadonlySet<string> = new Set([
  'upstream_transport_failure_reason',
  'x_forwarded_for',
  'user_agent',
  'request_id',
  'authority',
  'upstream_host',
]);

export const DEFAULT_TEXT_FORMAT: string = `${FIELDS.map(([name, command]) => {
  switch (name) {
    case 'start_time':
      return `[${command}]`;
    case 'method':
      return `"${command}`;
    case 'protocol':
      return `${command}"`;
    default:
      return QUOTED.has(name) ? `"${command}"` : command;
  }
}).join(' ')}\n`;

const EXTENSIONS: readonly (readonly [command: string, formatter: TypedExtension])[] = [
  [
    '%REQ_WITHOUT_QUERY(',
    extension(
      'envoy.formatter.req_without_query',
      'envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery',
      {},
    ),
  ],
  ['%METADATA(', extension('envoy.formatter.metadata', 'envoy.extensions.formatter.metadata.v3.Metadata', {})],
  ['%CEL(', extension('envoy.formatter.cel', 'envoy.extensions.formatter.cel.v3.Cel', {})],
];

/** Formatter extensions for the commands in a format that Envoy's core doesn't know. */
export function formattersFor(format: string): readonly TypedExtension[] {
  return EXTENSIONS.flatMap(([command, formatter]) => (format.includes(command) ? [formatter] : []));
}
