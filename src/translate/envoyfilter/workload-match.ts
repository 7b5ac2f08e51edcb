// What a workload's own clusters are matched by. In: the workload, a cluster's name. Out: its side, the services behind.
// Called by index.ts.

import type { Workload } from '../../ir/proxy.ts';
import { BLACK_HOLE_CLUSTER, DYNAMIC_DNS_CLUSTER, PASSTHROUGH_CLUSTER } from '../clusters/names.ts';
import { parseClusterName } from './cluster.ts';

const OUTBOUND: ReadonlySet<string> = new Set([BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER, DYNAMIC_DNS_CLUSTER]);

/** Every proxy has some clusters for what it sends beside those of services. */
export function isOutboundCluster(name: string): boolean {
  return OUTBOUND.has(name);
}

/** Hostnames of the services of an inbound port, joined by commas: names of inbound clusters say only the port. */
export function hostsOfInbound({ targets, ingress, sidecar }: Workload, name: string): string {
  const { direction, port } = parseClusterName(name);
  if (direction !== 'inbound') return '';
  const hosts = targets.filter((target) => target.targetPort === port).map((target) => target.service.hostname);
  // A port that only a Sidecar declares is known by the Sidecar.
  if (hosts.length === 0 && ingress !== undefined && sidecar !== undefined) {
    return `${sidecar.name}.${sidecar.namespace}`;
  }
  return [...new Set(hosts)].join(',');
}
