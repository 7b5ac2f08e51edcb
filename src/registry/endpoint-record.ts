// Endpoints as records.

import type { Endpoint } from '../ir/endpoint.ts';
import { isIp } from '../lib/ip.ts';
import type { EndpointOptions } from './endpoint-context.ts';
import type { WorkloadFacts } from './facts.ts';
import type { Pod } from './input.ts';

/** What all endpoints of one workload have in common. */
export interface Place {
  readonly facts: WorkloadFacts;
  readonly namespace: string;
  readonly clusterId: string;
  readonly hostname: string;
  readonly subdomain: string;
}

/** The same workload under all of these addresses, the main one first. Few meshes have such endpoints: others have no member for it. */
export function atAddresses(endpoint: Endpoint, addresses: readonly string[]): Endpoint {
  const [address = endpoint.address, ...otherAddresses] = addresses;
  return otherAddresses.length === 0 ? { ...endpoint, address } : { ...endpoint, address, otherAddresses };
}

/** Addresses that make one endpoint of a Pod: all of them, or none where each is for itself. */
export function unitedAddresses(pod: Pod | undefined, { dualStack }: EndpointOptions): readonly string[] {
  if (!dualStack) return NONE;
  const ips = (pod?.status?.podIPs ?? NONE).filter(isIp);
  return ips.length > 1 ? ips : NONE;
}

const NONE: readonly string[] = [];

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
