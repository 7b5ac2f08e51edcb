// Parts of Istio's object schemas that the mesh configuration uses as well, with their types.

import type {
  ClientTLSSettings,
  ConnectionPoolSettings,
  HTTPRetry,
  LocalityLoadBalancerSetting,
  OutlierDetection,
  ReadinessProbe,
  TcpKeepalive,
  ZoneAwareLoadBalancerSetting,
} from './generated/types.ts';
import type { Kind } from './object.ts';
import { istioSchema } from './parse/istio.ts';
import type { Schema } from './schema/schema.ts';
import type { Typed } from './schema/typed.ts';

/** `[]` steps into a list. A path that the schema lacks admits anything. */
function part(kind: Kind, ...path: readonly string[]): Schema {
  let schema = istioSchema(kind);
  for (const step of path) schema = step === '[]' ? schema?.items : schema?.properties?.[step];
  return schema ?? {};
}

export const clientTlsSchema: Typed<ClientTLSSettings> = part('DestinationRule', 'trafficPolicy', 'tls');
export const connectionPoolSchema: Typed<ConnectionPoolSettings> = part(
  'DestinationRule',
  'trafficPolicy',
  'connectionPool',
);
export const tcpKeepaliveSchema: Typed<TcpKeepalive> = part(
  'DestinationRule',
  'trafficPolicy',
  'connectionPool',
  'tcp',
  'tcpKeepalive',
);
export const outlierDetectionSchema: Typed<OutlierDetection> = part(
  'DestinationRule',
  'trafficPolicy',
  'outlierDetection',
);
export const localityLbSchema: Typed<LocalityLoadBalancerSetting> = part(
  'DestinationRule',
  'trafficPolicy',
  'loadBalancer',
  'localityLbSetting',
);
export const zoneAwareLbSchema: Typed<ZoneAwareLoadBalancerSetting> = part(
  'DestinationRule',
  'trafficPolicy',
  'loadBalancer',
  'zoneAwareLbSetting',
);
export const httpRetrySchema: Typed<HTTPRetry> = part('VirtualService', 'http', '[]', 'retries');
export const readinessProbeSchema: Typed<ReadinessProbe> = part('WorkloadGroup', 'probe');
