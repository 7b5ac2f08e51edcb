// The metrics of the xDS server, under the names that istiod's dashboards and alerts know.
// In: a Meter. Out: one record of metrics. Called once per server.

import type { Counter, Gauge, Histogram, Meter } from '../lib/ports.ts';

export interface XdsMetrics {
  readonly connected: Gauge;
  readonly opened: Counter;
  readonly refused: Counter;
  /** Responses, whatever their reason. */
  readonly responses: Counter;
  readonly bytesSent: Counter;
  /** Responses that followed a change; answers to requests don't count. */
  readonly pushes: Counter;
  readonly pushTime: Histogram;
  readonly configSize: Histogram;
  readonly ackTime: Histogram;
  /** By label of the type; the others are in the total only. */
  readonly rejects: ReadonlyMap<string, Counter>;
  readonly totalRejects: Counter;
  readonly expiredNonces: Counter;
  readonly unknownTypes: Counter;
  readonly malformed: Counter;
  readonly writeTimeouts: Counter;
  readonly orderTimeouts: Counter;
  readonly internalErrors: Counter;
  readonly requestMax: Gauge;
  readonly waiting: Gauge;
  readonly waitingPushes: Gauge;
  readonly waitingOpens: Gauge;
}

const SIZES = [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000];
const PUSH_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SECONDS = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

export function xdsMetrics(meter: Meter): XdsMetrics {
  return {
    connected: meter.gauge('pilot_xds_streams', 'Open xDS streams.'),
    opened: meter.counter('pilot_xds_streams_total', 'Streams accepted, by protocol variant.', ['mode']),
    refused: meter.counter('pilot_xds_refused_streams_total', 'Streams refused, by gRPC status code.', ['code']),
    responses: meter.counter('pilot_xds_pushes', 'Responses sent, by type.', ['type']),
    bytesSent: meter.counter('meltemi_bytes_sent_total', 'Bytes of responses, by type.', ['type']),
    pushes: meter.counter('meltemi_pushes_total', 'Responses sent because something changed, by type.', ['type']),
    pushTime: meter.histogram(
      'meltemi_push_seconds',
      'Time from a change being seen to its response being handed to the connection, by type.',
      PUSH_SECONDS,
      ['type'],
    ),
    configSize: meter.histogram('pilot_xds_config_size_bytes', 'Size of responses, by type.', SIZES, ['type']),
    ackTime: meter.histogram('pilot_xds_ack_seconds', 'Time from a response to its answer, by type.', SECONDS, [
      'type',
    ]),
    rejects: new Map(
      ['cds', 'eds', 'lds', 'rds'].map((type) => [
        type,
        meter.counter(`pilot_xds_${type}_reject`, `Responses of type ${type} rejected by proxies.`),
      ]),
    ),
    totalRejects: meter.counter('pilot_total_xds_rejects', 'Responses rejected by proxies.', ['type']),
    expiredNonces: meter.counter('pilot_xds_expired_nonce', 'Requests with an outdated nonce, by type.', ['type']),
    unknownTypes: meter.counter('pilot_xds_unknown_types_total', 'Requests for types that are not served.'),
    malformed: meter.counter('pilot_xds_malformed_requests_total', 'Streams ended because of an unreadable request.'),
    writeTimeouts: meter.counter('pilot_xds_write_timeout', 'Streams cut off because the proxy does not read.'),
    orderTimeouts: meter.counter(
      'pilot_xds_order_timeout',
      'Responses sent although earlier ones were not answered in time.',
      ['type'],
    ),
    internalErrors: meter.counter(
      'pilot_total_xds_internal_errors',
      'Streams ended because of an error of this server.',
    ),
    requestMax: meter.gauge('pilot_xds_recv_max', 'Size of the largest request received, in bytes.'),
    waiting: meter.gauge(
      'meltemi_waiting_streams',
      'Streams whose first configuration waits for that of others to be read.',
    ),
    waitingPushes: meter.gauge(
      'meltemi_waiting_pushes',
      'Streams whose push waits for those of others to be answered.',
    ),
    waitingOpens: meter.gauge(
      'meltemi_waiting_opens',
      'Streams that are not read from yet, until others have said what they want.',
    ),
  };
}
