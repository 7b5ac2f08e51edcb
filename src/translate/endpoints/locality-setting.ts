// Which locality load balancing is in force for a cluster.

import type {
  LocalityLoadBalancerSetting,
  TrafficPolicy,
  ZoneAwareLoadBalancerSetting,
} from '../../config/generated/types.ts';
import type { Service } from '../../ir/service.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';
import type { MeshSettings } from '../mesh.ts';

type CommonLbConfig = Messages['envoy.config.cluster.v3.Cluster.CommonLbConfig'];

const REGION = 'topology.kubernetes.io/region';
const ZONE = 'topology.kubernetes.io/zone';
const SUBZONE = 'topology.istio.io/subzone';
const NETWORK = 'topology.istio.io/network';
const HOSTNAME = 'kubernetes.io/hostname';

/** What a Service's traffic distribution stands for. */
const DISTRIBUTIONS: Readonly<Record<'PreferSameZone' | 'PreferSameNode', LocalityLoadBalancerSetting>> = {
  PreferSameZone: { failoverPriority: [NETWORK, REGION, ZONE] },
  PreferSameNode: { failoverPriority: [NETWORK, REGION, ZONE, SUBZONE, HOSTNAME] },
};

/** How localities rank for a proxy: by distance, labels or shares, or (`zones`) by region, with Envoy balancing its zones. */
export type LocalityRanking =
  | { readonly kind: 'localities'; readonly setting: LocalityLoadBalancerSetting }
  | { readonly kind: 'zones'; readonly setting: ZoneAwareLoadBalancerSetting };

/** What locality settings read of a service. */
type Distributed = Pick<Service, 'trafficDistribution'>;

const byLocalities = memo((setting: LocalityLoadBalancerSetting): LocalityRanking => ({ kind: 'localities', setting }));
const byZones = memo((setting: ZoneAwareLoadBalancerSetting): LocalityRanking => ({ kind: 'zones', setting }));

/** Zone-aware balancing is of the rule, or of a mesh for services that nothing else is said about. */
function zoneAware(
  service: Distributed,
  policy: TrafficPolicy,
  mesh: MeshSettings,
): ZoneAwareLoadBalancerSetting | undefined {
  const balancer = policy.loadBalancer;
  if (balancer?.zoneAwareLbSetting !== undefined) return balancer.zoneAwareLbSetting;
  if (balancer?.localityLbSetting !== undefined || service.trafficDistribution !== undefined) return undefined;
  return mesh.zoneAwareLbSetting;
}

/** What ranks the localities of the assignment; undefined = nothing. The same object for the same settings. */
export function localityRanking(
  service: Distributed,
  policy: TrafficPolicy,
  mesh: MeshSettings,
): LocalityRanking | undefined {
  const zones = zoneAware(service, policy, mesh);
  if (zones !== undefined) return zones.enabled === false ? undefined : byZones(zones);
  const setting = localitySetting(service, policy, mesh);
  return setting === undefined ? undefined : byLocalities(setting);
}

/** The setting that applies to the assignment: the rule's, else the service's, else the mesh's; undefined = none. */
function localitySetting(
  service: Distributed,
  policy: TrafficPolicy,
  mesh: MeshSettings,
): LocalityLoadBalancerSetting | undefined {
  const own = policy.loadBalancer?.localityLbSetting;
  const detects = policy.outlierDetection !== undefined || mesh.defaultTrafficPolicy?.outlierDetection !== undefined;
  if (own !== undefined) return own.enabled === false ? undefined : usable(own, detects);
  if (service.trafficDistribution !== undefined) return DISTRIBUTIONS[service.trafficDistribution];
  const shared = mesh.localityLbSetting;
  return shared === undefined || shared.enabled === false ? undefined : usable(shared, detects);
}

/** Without outlier detection nothing would ever be seen as failed, so there is no failover: only distribution remains. */
function usable(setting: LocalityLoadBalancerSetting, detects: boolean): LocalityLoadBalancerSetting | undefined {
  const distributes = setting.distribute !== undefined && setting.distribute.length > 0;
  return distributes || detects ? setting : undefined;
}

/** What Envoy itself does with localities: weighs them by what the assignment says of them, or balances zones. */
export function localityConfig(service: Distributed, policy: TrafficPolicy, mesh: MeshSettings): CommonLbConfig {
  const zones = zoneAware(service, policy, mesh);
  if (zones === undefined)
    return { localityWeightedLbConfig: localityWeighted(service, policy, mesh) ? {} : undefined };
  // Envoy balances zones by itself wherever it knows its own; only a share of none keeps it from that.
  const routingEnabled = zones.enabled === false ? { value: 0 } : undefined;
  return { zoneAwareLbConfig: { routingEnabled, minClusterSize: zones.minClusterSize } };
}

/** True when Envoy shall weigh localities by what the assignment says of them. */
function localityWeighted(service: Distributed, policy: TrafficPolicy, mesh: MeshSettings): boolean {
  const own = policy.loadBalancer?.localityLbSetting;
  if (own === undefined && service.trafficDistribution !== undefined) return true;
  const setting = own ?? mesh.localityLbSetting;
  if (setting === undefined || setting.enabled === false) return false;
  if (setting.distribute !== undefined && setting.distribute.length > 0) return true;
  const detects = policy.outlierDetection !== undefined || mesh.defaultTrafficPolicy?.outlierDetection !== undefined;
  const fails = (setting.failover?.length ?? 0) > 0 || (setting.failoverPriority?.length ?? 0) > 0;
  return fails && detects;
}

/** The value of a topology label, taken from where topology is kept, or of an ordinary one. */
export function topologyValue(key: string, at: TopologyFacts): string {
  const [region = '', zone = '', subzone = ''] = at.locality.split('/');
  switch (key) {
    case REGION:
      return region;
    case ZONE:
      return zone;
    case SUBZONE:
      return subzone;
    case NETWORK:
      return at.network;
    case 'topology.istio.io/cluster':
      return at.clusterId;
    case HOSTNAME:
      return at.nodeName;
    default:
      return at.labels[key] ?? '';
  }
}

export interface TopologyFacts {
  readonly locality: string;
  readonly network: string;
  readonly clusterId: string;
  readonly nodeName: string;
  readonly labels: Readonly<Record<string, string>>;
}

export { NETWORK as NETWORK_LABEL };
