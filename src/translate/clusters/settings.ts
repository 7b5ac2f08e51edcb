// DestinationRule settings as fields of envoy.config.cluster.v3.Cluster.

import { lasting } from '../../codec/index.ts';
import type {
  ConnectionPoolSettings,
  LoadBalancerSettings,
  OutlierDetection,
  TcpKeepalive,
  TrafficPolicy,
} from '../../config/generated/types.ts';
import { MAX_RING } from '../../config/limits.ts';
import { protoDuration, wholeSeconds } from '../../lib/duration.ts';
import type { Cluster } from '../../messages/index.ts';
import type { MeshSettings } from '../mesh.ts';

/** "No limit": Envoy's own defaults (1024) would break large meshes silently. */
const UNLIMITED = 4294967295;

type Fields = Partial<Cluster>;

/** Of most clusters. */
const OFF: Fields = {
  circuitBreakers: lasting({
    thresholds: [
      { maxConnections: UNLIMITED, maxPendingRequests: UNLIMITED, maxRequests: UNLIMITED, maxRetries: UNLIMITED },
    ],
  }),
};

/** Circuit breakers: every limit is off unless the pool sets it. */
export function circuitBreakers(pool: ConnectionPoolSettings | undefined, policy?: TrafficPolicy): Fields {
  const budget = policy?.retryBudget;
  if (pool === undefined && budget === undefined) return OFF;
  return {
    circuitBreakers: {
      thresholds: [
        {
          maxConnections: positive(pool?.tcp?.maxConnections) ?? UNLIMITED,
          maxPendingRequests: positive(pool?.http?.http1MaxPendingRequests) ?? UNLIMITED,
          maxRequests: positive(pool?.http?.http2MaxRequests) ?? UNLIMITED,
          maxRetries: positive(pool?.http?.maxRetries) ?? UNLIMITED,
          retryBudget:
            budget === undefined
              ? undefined
              : {
                  budgetPercent: { value: budget.percent ?? 20 },
                  minRetryConcurrency: positive(budget.minRetryConcurrency) ?? 3,
                },
        },
      ],
    },
  };
}

export function connectTimeout(pool: ConnectionPoolSettings | undefined, mesh: MeshSettings): Fields {
  return { connectTimeout: protoDuration(pool?.tcp?.connectTimeout) ?? mesh.connectTimeout };
}

/** TCP keepalive: the mesh's, each field overridden by the pool's. */
export function tcpKeepalive(pool: ConnectionPoolSettings | undefined, mesh: MeshSettings): Fields {
  const base: TcpKeepalive | undefined = mesh.tcpKeepalive;
  const own = pool?.tcp?.tcpKeepalive;
  if (base === undefined && own === undefined) return {};
  const seconds = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : (wholeSeconds(text) ?? 0);
  return {
    upstreamConnectionOptions: {
      tcpKeepalive: {
        keepaliveProbes: positive(own?.probes) ?? positive(base?.probes),
        keepaliveTime: seconds(own?.time ?? base?.time),
        keepaliveInterval: seconds(own?.interval ?? base?.interval),
      },
    },
  };
}

/** Outlier detection; success-rate ejection is always off, as the API has no field for it. */
export function outlierDetection(outlier: OutlierDetection | undefined): Fields {
  if (outlier === undefined) return {};
  const split = outlier.splitExternalLocalOriginErrors === true;
  const errors = outlier.consecutive5xxErrors;
  const gateway = outlier.consecutiveGatewayErrors;
  return {
    outlierDetection: {
      interval: protoDuration(outlier.interval),
      baseEjectionTime: protoDuration(outlier.baseEjectionTime),
      maxEjectionPercent: positive(outlier.maxEjectionPercent),
      consecutive5xx: errors,
      enforcingConsecutive5xx: errors === undefined ? undefined : errors > 0 ? 100 : 0,
      consecutiveGatewayFailure: gateway,
      enforcingConsecutiveGatewayFailure: gateway === undefined ? undefined : gateway > 0 ? 100 : 0,
      enforcingSuccessRate: 0,
      splitExternalLocalOriginErrors: split || undefined,
      consecutiveLocalOriginFailure: split ? positive(outlier.consecutiveLocalOriginFailures) : undefined,
      enforcingConsecutiveLocalOriginFailure:
        split && positive(outlier.consecutiveLocalOriginFailures) !== undefined ? 100 : undefined,
      enforcingLocalOriginSuccessRate: split ? 0 : undefined,
    },
  };
}

/** Envoy refuses a cluster with a larger ring. */
function ringSize(asked: number | undefined): number | undefined {
  const size = positive(asked);
  return size === undefined ? undefined : Math.min(size, MAX_RING);
}

/** Load balancing policy of a cluster whose endpoints Envoy may choose among. */
export function loadBalancer(settings: LoadBalancerSettings | undefined): Fields {
  const hash = settings?.consistentHash;
  if (hash !== undefined) {
    if (hash.maglev !== undefined) {
      const tableSize = positive(hash.maglev.tableSize);
      return { lbPolicy: 'MAGLEV', maglevLbConfig: tableSize === undefined ? undefined : { tableSize } };
    }
    const asked = ringSize(hash.ringHash?.minimumRingSize);
    if (hash.ringHash !== undefined)
      return { lbPolicy: 'RING_HASH', ringHashLbConfig: asked === undefined ? undefined : { minimumRingSize: asked } };
    return { lbPolicy: 'RING_HASH', ringHashLbConfig: { minimumRingSize: ringSize(hash.minimumRingSize) ?? 1024 } };
  }
  const slowStart = slowStartOf(settings);
  switch (settings?.simple) {
    case 'ROUND_ROBIN':
      return { lbPolicy: 'ROUND_ROBIN', roundRobinLbConfig: slowStart };
    case 'RANDOM':
      return { lbPolicy: 'RANDOM' };
    // Clusters of PASSTHROUGH have nothing to choose among: discovery.ts.
    case 'PASSTHROUGH':
    case 'LEAST_CONN':
    case 'LEAST_REQUEST':
    case 'UNSPECIFIED':
    case undefined:
      return { lbPolicy: 'LEAST_REQUEST', leastRequestLbConfig: slowStart };
  }
}

function slowStartOf(settings: LoadBalancerSettings | undefined): { slowStartConfig: object } | undefined {
  const warmup = settings?.warmup;
  if (warmup === undefined) {
    const slowStartWindow = protoDuration(settings?.warmupDurationSecs);
    return slowStartWindow === undefined ? undefined : { slowStartConfig: { slowStartWindow } };
  }
  return {
    slowStartConfig: {
      slowStartWindow: protoDuration(warmup.duration),
      // The key is mandatory in RuntimeDouble; no runtime layer of ours has one of this name.
      aggression: { defaultValue: warmup.aggression ?? 1, runtimeKey: '(' },
      minWeightPercent: { value: warmup.minimumPercent ?? 10 },
    },
  };
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined;
}
