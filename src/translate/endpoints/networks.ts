// Endpoints in other networks are reached through those networks' gateways.

import type { Endpoint } from '../../ir/endpoint.ts';
import type { IpFamily } from '../../ir/proxy.ts';
import type { NetworkGateway, Networks } from '../../ir/snapshot.ts';
import { ipVersion } from '../../lib/ip.ts';
import { compareStrings } from '../../lib/order.ts';
import type { WeightedEndpoint } from './groups.ts';
import { NETWORK_LABEL } from './locality-setting.ts';

export interface NetworkView {
  readonly networks: Networks;
  readonly network: string;
  readonly family: IpFamily;
  /** Hostname gateways are of use to DNS clusters only. */
  readonly dns: boolean;
}

/**
 * Local endpoints stay, remote ones give way to the gateways of their network, with their weight shared out. All weights
 * are scaled by the least common multiple of the gateway counts, so that every share is a whole number.
 */
export function throughGateways(
  endpoints: readonly WeightedEndpoint[],
  view: NetworkView,
  mtls: (endpoint: Endpoint) => boolean,
): readonly WeightedEndpoint[] {
  if (view.networks.all.length === 0) return endpoints;
  const scale = scaleOf(view);
  const kept: WeightedEndpoint[] = [];
  const shares = new Map<string, { readonly gateway: NetworkGateway; weight: number; readonly like: Endpoint }>();
  for (const { endpoint, weight } of endpoints) {
    const gateways = gatewaysFor(endpoint, view);
    if (gateways === undefined) {
      kept.push({ endpoint, weight: weight * scale });
      continue;
    }
    // A gateway routes by SNI: only mTLS can pass.
    if (!mtls(endpoint)) continue;
    const reachable = gateways.filter((gateway) => reaches(gateway, view));
    for (const gateway of reachable) {
      const key = `${endpoint.locality}|${gateway.address}|${gateway.port}`;
      const share = Math.floor((weight * scale) / reachable.length);
      const known = shares.get(key);
      if (known === undefined) shares.set(key, { gateway, weight: share, like: endpoint });
      else known.weight += share;
    }
  }
  const remote = [...shares].sort((a, b) => compareStrings(a[0], b[0])).map(([, share]) => viaGateway(share));
  return [...kept, ...remote];
}

/** Undefined: the endpoint is reached directly. */
function gatewaysFor(endpoint: Endpoint, { networks, network }: NetworkView): readonly NetworkGateway[] | undefined {
  if (endpoint.network === network || endpoint.network === '') return undefined;
  return networks.gateways.get(`${endpoint.network}@${endpoint.clusterId}`) ?? networks.gateways.get(endpoint.network);
}

function reaches(gateway: NetworkGateway, { family, dns }: NetworkView): boolean {
  const version = ipVersion(gateway.address);
  if (version === undefined) return dns;
  if (family === 'dual') return true;
  return (version === 6) === (family === 'v6');
}

function scaleOf({ networks, dns }: NetworkView): number {
  let scale = 1;
  for (const list of networks.gateways.values()) {
    const count = dns ? list.length : list.filter(({ address }) => ipVersion(address) !== undefined).length;
    if (count > 0) scale = leastCommonMultiple(scale, count);
  }
  return scale;
}

function leastCommonMultiple(a: number, b: number): number {
  const divisor = (x: number, y: number): number => (y === 0 ? x : divisor(y, x % y));
  return (a / divisor(a, b)) * b;
}

function viaGateway({
  gateway,
  weight,
  like,
}: {
  readonly gateway: NetworkGateway;
  readonly weight: number;
  readonly like: Endpoint;
}): WeightedEndpoint {
  const endpoint: Endpoint = {
    ...like,
    address: gateway.address,
    otherAddresses: undefined,
    port: gateway.port,
    labels: {},
    network: gateway.network,
    identity: '',
    tlsMode: 'istio',
    health: 'HEALTHY',
    workloadName: '',
    namespace: '',
    nodeName: '',
    hostname: '',
    subdomain: '',
  };
  const { network, clusterId } = gateway;
  const facts = { locality: '', nodeName: '', network, clusterId, labels: { [NETWORK_LABEL]: network } };
  return { endpoint, weight: Math.max(weight, 1), facts };
}
