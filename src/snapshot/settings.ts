// The settings that linking depends on, cut out of the mesh configuration: a change of any other setting leaves every
// linked object as it is.

import type { MeshConfig } from '../config/mesh.ts';
import { deepEqual } from '../lib/equal.ts';

export interface SnapshotOptions {
  /** Suffix of Kubernetes service names: `cluster.local`. */
  readonly domain: string;
  /** Cluster of the control plane's own configuration. */
  readonly clusterId: string;
  /** Gateways select pods of their own namespace only (PILOT_SCOPE_GATEWAY_TO_NAMESPACE). */
  readonly scopeGatewayToNamespace: boolean;
}

export const DEFAULT_SNAPSHOT_OPTIONS: SnapshotOptions = {
  domain: 'cluster.local',
  clusterId: 'Kubernetes',
  scopeGatewayToNamespace: false,
};

export interface LinkSettings extends SnapshotOptions {
  readonly rootNamespace: string;
  readonly virtualServiceExportTo: readonly string[];
  readonly destinationRuleExportTo: readonly string[];
  /** HTTPS servers of gateways are served over QUIC too. */
  readonly quicListeners: boolean;
  /** Labels by which endpoints fail over, as the mesh configuration names them. */
  readonly failoverPriority: readonly string[];
}

/** The previous settings themselves when they are equal. */
export function linkSettings(
  previous: LinkSettings | undefined,
  mesh: MeshConfig,
  options: SnapshotOptions,
): LinkSettings {
  const next: LinkSettings = {
    domain: options.domain,
    clusterId: options.clusterId,
    scopeGatewayToNamespace: options.scopeGatewayToNamespace,
    rootNamespace: mesh.rootNamespace,
    virtualServiceExportTo: mesh.defaultVirtualServiceExportTo,
    destinationRuleExportTo: mesh.defaultDestinationRuleExportTo,
    quicListeners: mesh.features?.quicListeners === true,
    failoverPriority: [
      ...(mesh.localityLbSetting.failoverPriority ?? []),
      ...(mesh.zoneAwareLbSetting?.failoverPriority ?? []),
    ],
  };
  return previous !== undefined && deepEqual(previous, next) ? previous : next;
}
