// Which locality load balancing is in force for a cluster.

import type { LocalityLoadBalancerSetting, TrafficPolicy } from '../../config/generated/types.ts';
import type { MeshConfig } from '../../config/mesh.ts';
import type { Service } from '../../ir/service.ts';

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

/** The setting that applies to the assignment: the rule's, else the service's, else the mesh's; undefined = none. */
export function localitySetting(
  service: Service,
  policy: TrafficPolicy,
  mesh: MeshConfig,
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

/** True when Envoy shall weigh localities by what the assignment says of them. */
export function localityWeighted(service: Service, policy: TrafficPolicy, mesh: MeshConfig): boolean {
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
