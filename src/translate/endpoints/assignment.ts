// One ClusterLoadAssignment: the endpoints of one port and subset of a service, as one place in the mesh sees them.

import type { Subset } from '../../config/generated/types.ts';
import type { Endpoint, ServiceEndpoints } from '../../ir/endpoint.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import type { PeerAuthnIndex } from '../../ir/snapshot.ts';
import { compareStrings } from '../../lib/order.ts';
import type { ClusterLoadAssignment, Messages } from '../../messages/index.ts';
import { socketAddress } from '../envoy.ts';
import { byLocality, type LocalityGroup, rankLocalities, type WeightedEndpoint } from './groups.ts';
import type { LocalityRanking, TopologyFacts } from './locality-setting.ts';
import { type NetworkView, throughGateways } from './networks.ts';

type LbEndpoint = Messages['envoy.config.endpoint.v3.LbEndpoint'];

export interface AssignmentInputs {
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: Subset | undefined;
  readonly endpoints: ServiceEndpoints | undefined;
  /** Health is left out of DNS clusters: what a name resolves to is not known to the registry. */
  readonly embedded: boolean;
  /** `on`: every endpoint. `auto`: those that have a sidecar and whose policy doesn't disable it. */
  readonly mtls: 'on' | 'auto' | 'off';
  /** UNHEALTHY endpoints are sent, so that Envoy can fall back to them in a panic. */
  readonly unhealthy: boolean;
  readonly peerAuthn: PeerAuthnIndex;
  readonly ranking: LocalityRanking | undefined;
  readonly proxy: TopologyFacts;
  readonly networkView: readonly string[];
  readonly network: NetworkView;
  /** Label of endpoints that finish what they have; empty: none. */
  readonly drainingLabel: string;
  /** For the SNI-DNAT clusters of a gateway: local endpoints with mTLS only. */
  readonly sniDnat: boolean;
}

export function assignment(name: string, inputs: AssignmentInputs): ClusterLoadAssignment {
  const { service, port } = inputs;
  const mtls = (endpoint: Endpoint): boolean => takesMtls(endpoint, inputs);
  const weighted: WeightedEndpoint[] = [];
  for (const endpoint of inputs.endpoints?.endpoints ?? []) {
    if (endpoint.portName !== port.name || !selected(endpoint, service, inputs)) continue;
    weighted.push({ endpoint, weight: endpoint.weight > 0 ? endpoint.weight : 1 });
  }
  const routed = routedEndpoints(weighted, inputs, mtls);
  const groups = withEmpty(byLocality(routed), weighted);
  const ranked = inputs.ranking === undefined ? groups : rankLocalities(groups, inputs.ranking, inputs.proxy);
  return { clusterName: name, endpoints: ranked.map((group) => localityEndpoints(group, inputs, mtls)) };
}

/** What is looked up by name is reached where the name leads, whatever its network. */
function routedEndpoints(
  weighted: readonly WeightedEndpoint[],
  inputs: AssignmentInputs,
  mtls: (endpoint: Endpoint) => boolean,
): readonly WeightedEndpoint[] {
  if (inputs.embedded) return inputs.sniDnat ? weighted.filter(({ endpoint }) => mtls(endpoint)) : weighted;
  return inputs.sniDnat ? localOnly(weighted, inputs, mtls) : throughGateways(weighted, inputs.network, mtls);
}

/** A locality whose endpoints can't be reached from here stays, without endpoints: it is known, and empty. */
function withEmpty(groups: readonly LocalityGroup[], known: readonly WeightedEndpoint[]): readonly LocalityGroup[] {
  const present = new Set(groups.map((group) => group.locality));
  const lost = byLocality(known).filter((group) => !present.has(group.locality));
  if (lost.length === 0) return groups;
  const empty = lost.map((group) => ({ ...group, endpoints: [], weight: 0 }));
  return [...groups, ...empty].sort((a, b) => compareStrings(a.locality, b.locality));
}

function selected(endpoint: Endpoint, service: Service, inputs: AssignmentInputs): boolean {
  const { proxy, networkView, subset } = inputs;
  if (service.clusterLocal && endpoint.clusterId !== proxy.clusterId) return false;
  if (service.nodeLocal && endpoint.nodeName !== proxy.nodeName) return false;
  if (networkView.length > 0 && endpoint.network !== '' && !networkView.includes(endpoint.network)) return false;
  if (endpoint.health === 'UNHEALTHY' && !inputs.unhealthy) return false;
  const draining = endpoint.health === 'DRAINING' || isLabelled(endpoint, inputs);
  if (draining && service.persistentSession === undefined) return false;
  for (const [key, value] of Object.entries(subset?.labels ?? {})) if (endpoint.labels[key] !== value) return false;
  return true;
}

function isLabelled({ labels }: Endpoint, { drainingLabel }: AssignmentInputs): boolean {
  return drainingLabel !== '' && (labels[drainingLabel] ?? '') !== '';
}

function takesMtls(endpoint: Endpoint, { mtls, peerAuthn }: AssignmentInputs): boolean {
  if (mtls !== 'auto') return mtls === 'on' && endpoint.tlsMode === 'istio';
  return (
    endpoint.tlsMode === 'istio' && peerAuthn.modeOf(endpoint.namespace, endpoint.labels, endpoint.port) !== 'DISABLE'
  );
}

function localOnly(
  weighted: readonly WeightedEndpoint[],
  { network }: AssignmentInputs,
  mtls: (endpoint: Endpoint) => boolean,
): readonly WeightedEndpoint[] {
  const scaled = throughGateways(weighted, network, mtls);
  return scaled.filter(({ endpoint }) => mtls(endpoint));
}

function localityEndpoints(
  group: LocalityGroup,
  inputs: AssignmentInputs,
  mtls: (endpoint: Endpoint) => boolean,
): Messages['envoy.config.endpoint.v3.LocalityLbEndpoints'] {
  const [region = '', zone = '', subZone = ''] = group.locality.split('/');
  return {
    locality: { region, zone, subZone },
    lbEndpoints: group.endpoints.map(({ endpoint, weight }) => lbEndpoint(endpoint, weight, inputs, mtls(endpoint))),
    loadBalancingWeight: group.weight > 0 ? group.weight : undefined,
    priority: group.priority,
  };
}

const MTLS_METADATA = { 'envoy.transport_socket_match': { tlsMode: 'istio' } };

function lbEndpoint(endpoint: Endpoint, weight: number, inputs: AssignmentInputs, mtls: boolean): LbEndpoint {
  return {
    endpoint: {
      address: socketAddress(endpoint.address, endpoint.port),
      additionalAddresses: endpoint.otherAddresses?.map((other) => ({ address: socketAddress(other, endpoint.port) })),
    },
    healthStatus: inputs.embedded ? undefined : isLabelled(endpoint, inputs) ? 'DRAINING' : endpoint.health,
    loadBalancingWeight: weight,
    metadata: {
      filterMetadata: {
        istio: { workload: workloadText(endpoint) },
        ...(mtls ? MTLS_METADATA : undefined),
      },
    },
  };
}

/** `WORKLOAD;NAMESPACE;CANONICAL_NAME;CANONICAL_REVISION;CLUSTER`, as access logs and telemetry read it. */
function workloadText({ workloadName, namespace, labels, clusterId }: Endpoint): string {
  const name =
    labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels['app'] ?? workloadName;
  const revision =
    labels['service.istio.io/canonical-revision'] ?? labels['app.kubernetes.io/version'] ?? labels['version'] ?? '';
  return `${workloadName};${namespace};${name};${revision};${clusterId}`;
}
