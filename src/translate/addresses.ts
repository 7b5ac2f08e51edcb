// Addresses as one class of proxies sees them: those of a service, those that stand for "any", and the loopback.

import type { IpFamily } from '../ir/proxy.ts';
import { NO_ADDRESS, type Service } from '../ir/service.ts';
import { ipVersion } from '../lib/ip.ts';

export const NO_ADDRESS_V6 = '::';

/** What of a proxy decides which addresses it sees. */
export interface AddressViewer {
  readonly family: IpFamily;
  readonly clusterId: string;
  readonly dnsCapture: boolean;
}

/**
 * The addresses of a service, the main one first: the VIPs of the proxy's own cluster in its families, else a virtual one
 * where the agent resolves names, else the service's default. `0.0.0.0` (or `::`) = it has none; some are prefixes.
 */
export function serviceAddresses(service: Service, viewer: AddressViewer): readonly string[] {
  const { family, clusterId, dnsCapture } = viewer;
  const vips = (service.clusterVips.get(clusterId) ?? []).filter((address) => speaks(family, address));
  if (vips.length > 0) return family === 'dual' ? vips : vips.slice(0, 1);
  const { autoAllocated, defaultAddress } = service;
  if (dnsCapture && autoAllocated !== undefined && defaultAddress === NO_ADDRESS) {
    const virtual = [autoAllocated.v4, autoAllocated.v6].filter((address) => address !== '' && speaks(family, address));
    if (virtual.length > 0) return family === 'dual' ? virtual : virtual.slice(0, 1);
  }
  return [defaultAddress];
}

function speaks(family: IpFamily, address: string): boolean {
  if (family === 'dual') return true;
  return (ipVersion(address) === 6) === (family === 'v6');
}

/** What listens on every address of the proxy's families. */
export function wildcards(family: IpFamily): readonly string[] {
  switch (family) {
    case 'v4':
      return [NO_ADDRESS];
    case 'v6':
      return [NO_ADDRESS_V6];
    case 'dual':
      return [NO_ADDRESS, NO_ADDRESS_V6];
  }
}

export function isWildcardAddress(address: string): boolean {
  return address === NO_ADDRESS || address === NO_ADDRESS_V6;
}

export function loopback(family: IpFamily): string {
  return family === 'v6' ? '::1' : '127.0.0.1';
}
