// The standard metrics of a mesh on stock Envoy: a `stats` access logger that counts every request and connection.
// In: the side of a proxy, what kind of chain, overrides. Out: one logger, or none. Envoy shows the metrics as
// `envoy_istio_requests_total` and so on; the agent's page drops the first word.

import type { Messages } from '../../messages/index.ts';
import type { ListenerRole } from '../context.ts';
import { extension } from '../envoy.ts';
import { PEER_FIELDS, PEER_METADATA, peerField, ownField } from '../http/peer.ts';
import { celForFormat } from './cel.ts';
import type { MetricId, MetricOverrides } from './metrics.ts';

type AccessLog = Messages['envoy.config.accesslog.v3.AccessLog'];
type Config = Messages['envoy.extensions.access_loggers.stats.v3.Config'];
type Stat = Messages['envoy.extensions.access_loggers.stats.v3.Config.Stat'];
type Labels = readonly (readonly [name: string, format: string])[];

const NAME = 'meltemi.stats';
const UNKNOWN = 'unknown';

/** What tells the protocol of a chain, for the metrics that it has. */
type ChainKind = 'http' | 'tcp';

interface Metric {
  readonly id: MetricId;
  readonly name: string;
  readonly value: { readonly fixed: number } | { readonly format: string };
  readonly unit?: 'Bytes' | 'Milliseconds' | undefined;
}

const METRICS: Readonly<Record<ChainKind, readonly Metric[]>> = {
  http: [
    { id: 'REQUEST_COUNT', name: 'istio_requests_total', value: { fixed: 1 } },
    {
      id: 'REQUEST_DURATION',
      name: 'istio_request_duration_milliseconds',
      value: { format: '%DURATION%' },
      unit: 'Milliseconds',
    },
    {
      id: 'REQUEST_SIZE',
      name: 'istio_request_bytes',
      value: { format: '%CEL(request.total_size)%' },
      unit: 'Bytes',
    },
    {
      id: 'RESPONSE_SIZE',
      name: 'istio_response_bytes',
      value: { format: '%CEL(response.total_size)%' },
      unit: 'Bytes',
    },
  ],
  // The logger speaks when a connection ends: what was opened is counted then, too.
  tcp: [
    { id: 'TCP_OPENED_CONNECTIONS', name: 'istio_tcp_connections_opened_total', value: { fixed: 1 } },
    { id: 'TCP_CLOSED_CONNECTIONS', name: 'istio_tcp_connections_closed_total', value: { fixed: 1 } },
    { id: 'TCP_SENT_BYTES', name: 'istio_tcp_sent_bytes_total', value: { format: '%BYTES_SENT%' } },
    { id: 'TCP_RECEIVED_BYTES', name: 'istio_tcp_received_bytes_total', value: { format: '%BYTES_RECEIVED%' } },
  ],
};

export function statsLogger(role: ListenerRole, kind: ChainKind, overrides: MetricOverrides): AccessLog | undefined {
  const labels = standardLabels(role, kind);
  const counters: NonNullable<Config['counters']>[number][] = [];
  const histograms: NonNullable<Config['histograms']>[number][] = [];
  for (const { id, name, value, unit } of METRICS[kind]) {
    const override = overrides.get(id);
    if (override?.disabled === true) continue;
    const stat = statOf(name, labels, override?.labels);
    if (unit !== undefined) histograms.push({ stat, unit, valueFormat: 'format' in value ? value.format : '' });
    else if ('fixed' in value) counters.push({ stat, valueFixed: value.fixed });
    else counters.push({ stat, valueFormat: value.format });
  }
  if (counters.length + histograms.length === 0) return undefined;
  return extension(NAME, 'envoy.extensions.access_loggers.stats.v3.Config', { statsScope: {}, counters, histograms });
}

function statOf(name: string, labels: Labels, overrides: ReadonlyMap<string, string | undefined> | undefined): Stat {
  const all = new Map(labels);
  for (const [label, expression] of overrides ?? []) {
    if (expression === undefined) {
      all.delete(label);
      continue;
    }
    const cel = celForFormat(expression);
    all.set(label, cel === undefined ? UNKNOWN : `%CEL(${cel})%`);
  }
  return { name, tags: [...all].map(([label, valueFormat]) => ({ name: label, valueFormat })) };
}

const cel = (expression: string): string => `%CEL(${expression})%`;
const orUnknown = (field: string): string => cel(`has(${field}) && ${field} != '' ? ${field} : '${UNKNOWN}'`);

const SERVICE = "xds.cluster_metadata.filter_metadata['istio'].services[0]";
const HAS_SERVICE =
  "'istio' in xds.cluster_metadata.filter_metadata && 'services' in xds.cluster_metadata.filter_metadata['istio']";

/** Host of a request to nobody that is known; connections have none. */
const HOST: Readonly<Record<ChainKind, string>> = { http: 'request.host', tcp: `'${UNKNOWN}'` };

function standardLabels(role: ListenerRole, kind: ChainKind): Labels {
  const inbound = role === 'sidecar-inbound';
  const [own, peer] = inbound ? ['destination', 'source'] : ['source', 'destination'];
  return [
    ['reporter', inbound ? 'destination' : 'source'],
    ...PEER_FIELDS.map(({ label, node }) => [`${own}_${label}`, cel(ownField(node, UNKNOWN))] as const),
    ...PEER_FIELDS.map(({ label, key }) => [`${peer}_${label}`, peerLabel(key, kind, inbound)] as const),
    ...principals(inbound),
    ['destination_service', cel(`${HAS_SERVICE} ? ${SERVICE}.host : ${HOST[kind]}`)],
    ['destination_service_name', cel(`${HAS_SERVICE} ? ${SERVICE}.name : ${HOST[kind]}`)],
    ['destination_service_namespace', cel(`${HAS_SERVICE} ? ${SERVICE}.namespace : '${UNKNOWN}'`)],
    ...(kind === 'http' ? REQUEST_LABELS : CONNECTION_LABELS),
    ['response_flags', '%RESPONSE_FLAGS%'],
    ['connection_security_policy', inbound ? cel("connection.mtls ? 'mutual_tls' : 'none'") : UNKNOWN],
  ];
}

/** Nobody outside the mesh may invent values of labels: on the receiving side the header counts on mutual TLS alone. */
function peerLabel(key: string, kind: ChainKind, inbound: boolean): string {
  if (kind === 'tcp') return UNKNOWN;
  const known = `'${PEER_METADATA}' in metadata.filter_metadata`;
  return cel(`${inbound ? `connection.mtls && ${known}` : known} ? ${peerField(key)} : '${UNKNOWN}'`);
}

function principals(inbound: boolean): Labels {
  return inbound
    ? [
        ['source_principal', orUnknown('connection.uri_san_peer_certificate')],
        ['destination_principal', orUnknown('connection.uri_san_local_certificate')],
      ]
    : [
        ['source_principal', orUnknown('upstream.uri_san_local_certificate')],
        ['destination_principal', orUnknown('upstream.uri_san_peer_certificate')],
      ];
}

const REQUEST_LABELS: Labels = [
  [
    'request_protocol',
    cel(
      "'content-type' in request.headers && request.headers['content-type'].startsWith('application/grpc') ? 'grpc' : 'http'",
    ),
  ],
  ['response_code', '%RESPONSE_CODE%'],
  ['grpc_response_status', '%GRPC_STATUS_NUMBER%'],
];

const CONNECTION_LABELS: Labels = [['request_protocol', 'tcp']];
