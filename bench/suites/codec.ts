// Encoding and decoding of a typical cluster.

import { anyOf, decode, encode } from '../../src/codec/index.ts';
import type { Messages } from '../../src/messages/index.ts';
import type { Notebook } from '../figures.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';

const TYPICAL: Messages[typeof CLUSTER] = {
  name: 'outbound|80||reviews.shop.svc.cluster.local',
  type: 'EDS',
  connectTimeout: '10s',
  edsClusterConfig: {
    serviceName: 'outbound|80||reviews.shop.svc.cluster.local',
    edsConfig: { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' },
  },
  circuitBreakers: { thresholds: [{ maxConnections: 4294967295, maxRequests: 4294967295 }] },
  transportSocket: {
    name: 'envoy.transport_sockets.tls',
    typedConfig: anyOf('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
      sni: 'outbound_.80_._.reviews.shop.svc.cluster.local',
      commonTlsContext: {
        alpnProtocols: ['istio', 'h2'],
        tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_2', tlsMaximumProtocolVersion: 'TLSv1_3' },
      },
    }),
  },
};

const BATCH = 20_000;

export function codec(rounds: number, notes: Notebook): void {
  const bytes = encode(CLUSTER, TYPICAL);
  const perCall = (work: () => void): readonly number[] =>
    Array.from({ length: rounds }, () => {
      const started = performance.now();
      for (let i = 0; i < BATCH; i++) work();
      return ((performance.now() - started) * 1000) / BATCH;
    });
  notes.cost(
    `encode a cluster of ${bytes.length} bytes`,
    'µs',
    perCall(() => encode(CLUSTER, TYPICAL)),
  );
  notes.cost(
    'decode it',
    'µs',
    perCall(() => decode(CLUSTER, bytes)),
  );
}
