// Endpoints as records.

import type { Endpoint } from '../ir/endpoint.ts';
import type { WorkloadFacts } from './facts.ts';

/** What all endpoints of one workload have in common. */
export interface Place {
  readonly facts: WorkloadFacts;
  readonly namespace: string;
  readonly clusterId: string;
  readonly hostname: string;
  readonly subdomain: string;
}

/** Written out member by member: a mesh makes hundreds of thousands of these, and spreading costs several times as much. */
export function endpointRecord(
  place: Place,
  address: string,
  port: number,
  portName: string,
  health: Endpoint['health'],
  weight: number,
): Endpoint {
  const { facts } = place;
  return {
    address,
    port,
    portName,
    labels: facts.labels,
    locality: facts.locality,
    network: facts.network,
    clusterId: place.clusterId,
    identity: facts.identity,
    tlsMode: facts.tlsMode,
    health,
    weight,
    namespace: place.namespace,
    workloadName: facts.workloadName,
    nodeName: facts.nodeName,
    hostname: place.hostname,
    subdomain: place.subdomain,
  };
}
