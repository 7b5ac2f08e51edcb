// Addresses as one class of proxies sees them: those of a service, those that stand for "any", and the loopback.

import { isDualStack } from '../config/features.ts';
import type { IpFamily } from '../ir/proxy.ts';
import { NO_ADDRESS, type Service } from '../ir/service.ts';
import { ipVersion } from '../lib/ip.ts';
import type { MeshSettings } from './mesh.ts';

export const NO_ADDRESS_V6 = '::';

/** What of a proxy decides which addresses it sees. */
export interface AddressViewer {
  readonly family: IpFamily;
  readonly clusterId: string;
  readonly dnsCapture: boolean;
  /** Both families of a service count: see `isDualStack`. */
  readonly dualStack: boolean;
}

/** Addresses that a proxy of these families uses, in order. */
export function ofFamilies(
  addresses: readonly string[],
  { family, dualStack }: Pick<AddressViewer, 'family' | 'dualStack'>,
): readonly string[] {
  if (family === 'dual' && dualStack) return addresses;
  const wanted = family === 'dual' ? ipVersion((addresses[0] ?? '').split('/')[0] ?? '') === 6 : family === 'v6';
  return addresses.filter((address) => (ipVersion(address.split('/')[0] ?? '') === 6) === wanted);
}

/**
 * The addresses of a service, the main one first: the VIPs of the proxy's own cluster in its families, else a virtual one
 * where the agent resolves names, else the service's default. `0.0.0.0` (or `::`) = it has none; some are prefixes.
 */
export function serviceAddresses(service: Service, viewer: AddressViewer): readonly string[] {
  const { family, clusterId, dnsCapture } = viewer;
  const vips = ofFamilies(service.clusterVips.get(clusterId) ?? [], viewer);
  if (vips.length > 0) return family === 'dual' ? vips : vips.slice(0, 1);
  const { autoAllocated, defaultAddress } = service;
  if (dnsCapture && autoAllocated !== undefined && defaultAddress === NO_ADDRESS) {
    const given = [autoAllocated.v4, autoAllocated.v6].filter((address) => address !== '');
    const virtual = ofFamilies(given, viewer);
    if (virtual.length > 0) return family === 'dual' ? virtual : virtual.slice(0, 1);
  }
  return [defaultAddress];
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

/** Where captured connections arrive: the kernel redirects each to the port in its own family. */
export function captureAddresses(family: IpFamily, mesh: MeshSettings): readonly string[] {
  const any = wildcards(family);
  return isDualStack(mesh) ? any : any.slice(0, 1);
}

export function isWildcardAddress(address: string): boolean {
  return address === NO_ADDRESS || address === NO_ADDRESS_V6;
}

export function loopback(family: IpFamily): string {
  return family === 'v6' ? '::1' : '127.0.0.1';
}

/** Loopback addresses of all of the proxy's families, the main one first. */
export function loopbacks(family: IpFamily): readonly string[] {
  return family === 'dual' ? ['127.0.0.1', '::1'] : [loopback(family)];
}
