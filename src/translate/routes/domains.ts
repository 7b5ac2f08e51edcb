// The names under which a virtual host answers.
// In: services, and how a class of proxies sees them. Out: claims on domains, each once per combination of inputs; and
// their settlement over one RouteConfiguration, where every domain may stand once only.

import { isDualStack } from '../../config/features.ts';
import type { MeshConfig } from '../../config/mesh.ts';
import type { IpFamily, ProxyClass } from '../../ir/proxy.ts';
import { NO_ADDRESS, type Service } from '../../ir/service.ts';
import { ipVersion, isIp } from '../../lib/ip.ts';
import { memo } from '../../lib/memo.ts';
import { type AddressViewer, isWildcardAddress, ofFamilies, serviceAddresses } from '../addresses.ts';

/** The domains that one virtual host asks for. Its identity stands for its content. */
export interface DomainClaim {
  /** Name of the virtual host: `HOST:PORT`. */
  readonly name: string;
  /** The full name that it is about. */
  readonly host: string;
  readonly port: number;
  readonly domains: readonly string[];
  /** The same in lower case, as Envoy compares them. */
  readonly keys: readonly string[];
  /** A hash of each key, in the same order; worked out when somebody looks for others with one of them. */
  hashes: readonly number[] | undefined;
  /** All of them, joined. */
  readonly text: string;
  /** Domains that are abbreviations: they yield to a service whose full name they are. */
  readonly short: readonly string[];
  /** A service's claim, not that of a host which only a VirtualService knows. */
  readonly service: boolean;
}

export const DOMAIN_SEPARATOR = '\n';

function claim(
  host: string,
  port: number,
  domains: readonly string[],
  short: readonly string[],
  service: boolean,
): DomainClaim {
  const text = domains.join(DOMAIN_SEPARATOR);
  const keys = text.toLowerCase() === text ? domains : domains.map((domain) => domain.toLowerCase());
  return { name: domainName(host, port), host, port, domains, keys, hashes: undefined, text, short, service };
}

/** How a class of proxies addresses services. */
export interface Addressing {
  readonly dnsDomain: string;
  readonly clusterId: string;
  readonly family: IpFamily;
  readonly dnsCapture: boolean;
  readonly dualStack: boolean;
}

export function addressingOf({ dnsDomain, clusterId, family, settings }: ProxyClass, mesh: MeshConfig): Addressing {
  return { dnsDomain, clusterId, family, dnsCapture: settings.dnsCapture, dualStack: isDualStack(mesh) };
}

/** True where both are given the same addresses of every service. */
export function seeSameAddresses(a: Addressing, b: Addressing): boolean {
  const alike = a.clusterId === b.clusterId && a.family === b.family;
  return alike && a.dnsCapture === b.dnsCapture && a.dualStack === b.dualStack;
}

/** `HOST:PORT`, with brackets around IPv6 addresses. */
export function domainName(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}

function bracketed(host: string): string {
  return host.includes(':') && ipVersion(host) === 6 ? `[${host}]` : host;
}

/** The claim of a service on one of its ports; `withPorts`: each name also as `NAME:PORT` (HTTP proxy ports). */
export function serviceClaim(service: Service, port: number, withPorts: boolean, addressing: Addressing): DomainClaim {
  const { clusterId, family, dnsCapture, dualStack } = addressing;
  const view = dnsView(service, addressing.dnsDomain);
  return claimOf(service, port, withPorts, view, clusterId, family, dnsCapture, dualStack);
}

/** The claim of a host that is no service. */
export function hostClaim(host: string, port: number): DomainClaim {
  return claim(host, port, [bracketed(host)], NO_NAMES, false);
}

const NO_NAMES: readonly string[] = [];

const claimOf = memo(
  (
    service: Service,
    port: number,
    withPorts: boolean,
    view: string,
    clusterId: string,
    family: IpFamily,
    dnsCapture: boolean,
    dualStack: boolean,
  ): DomainClaim => {
    const domains: string[] = [];
    const short: string[] = [];
    const add = (name: string, to: string[]): void => {
      to.push(bracketed(name));
      if (withPorts) to.push(domainName(name, port));
    };
    const addHost = (host: string): void => {
      add(host, domains);
      const from = short.length;
      for (const name of shortNames(host, view)) add(name, short);
      for (let index = from; index < short.length; index++) domains.push(short[index] as string);
    };
    addHost(service.hostname);
    for (const host of service.aliases) addHost(host);
    // Pods of a headless service have names of their own below it.
    if (service.resolution === 'Passthrough' && service.registry === 'Kubernetes') {
      domains.push(...domains.map((domain) => `*.${domain}`));
    }
    const viewer = { clusterId, family, dnsCapture, dualStack };
    for (const address of visibleAddresses(service, viewer)) add(address, domains);
    return claim(service.hostname, port, domains, short, true);
  },
);

/** Views in which the proxy's own DNS domain no longer appears, so that classes of many namespaces share claims. */
const SAME_NAMESPACE = '=';
const OTHER_NAMESPACE = '~';
const ELSEWHERE = '';

/** What abbreviations of the service's name resolve for a proxy: by its DNS domain, as far as that matters. */
function dnsView(service: Service, dnsDomain: string): string {
  if (service.aliases.length > 0 || !dnsDomain.includes('.svc.')) return dnsDomain;
  return kubernetesView(service.hostname, dnsDomain);
}

function kubernetesView(host: string, dnsDomain: string): string {
  if (!host.endsWith(afterNamespace(dnsDomain))) return ELSEWHERE;
  const namespace = hostNamespace(host);
  if (namespace === undefined) return ELSEWHERE;
  return namespace === domainNamespace(dnsDomain) ? SAME_NAMESPACE : OTHER_NAMESPACE;
}

/** `shop` of `web.shop.svc.cluster.local`; undefined of what is no name of a service in Kubernetes. */
export function hostNamespace(host: string): string | undefined {
  const end = host.indexOf('.svc.');
  const start = host.indexOf('.') + 1;
  return end <= 0 || start > end ? undefined : host.slice(start, end);
}

/** `shop` of `shop.svc.cluster.local`, which proxies there have as their domain. */
export function domainNamespace(dnsDomain: string): string {
  return dnsDomain.slice(0, dnsDomain.indexOf('.svc.'));
}

function afterNamespace(dnsDomain: string): string {
  return dnsDomain.slice(dnsDomain.indexOf('.svc.'));
}

/** Services have the same names in both domains, but for those of the namespaces that the domains are of. */
export function haveSameServices(a: string, b: string): boolean {
  return a === b || (a.includes('.svc.') && b.includes('.svc.') && afterNamespace(a) === afterNamespace(b));
}

/** The absolute form, and what a resolver with the proxy's search domains completes to the host. */
function shortNames(host: string, view: string): readonly string[] {
  const absolute = isIp(host) ? [] : [`${host}.`];
  const kubernetes = view.includes('.svc.') ? kubernetesView(host, view) : view;
  const base = host.slice(0, Math.max(0, host.indexOf('.svc.')));
  if (kubernetes === SAME_NAMESPACE) return [...absolute, base.slice(0, base.indexOf('.')), `${base}.svc`, base];
  if (kubernetes === OTHER_NAMESPACE) return [...absolute, base, `${base}.svc`];
  if (kubernetes === ELSEWHERE) return absolute;
  return [...absolute, ...relativeNames(host, kubernetes)];
}

/** Outside of Kubernetes: the host without the labels that it shares with the proxy's domain. */
function relativeNames(host: string, dnsDomain: string): readonly string[] {
  const own = host.split('.');
  const domain = dnsDomain.split('.');
  let shared = 0;
  while (shared < Math.min(own.length, domain.length) && own.at(-1 - shared) === domain.at(-1 - shared)) shared++;
  if (shared === 0 || shared === own.length) return [];
  const unique = own.slice(0, own.length - shared);
  const name = unique.join('.');
  return unique.length === 2 ? [name, `${name}.${own[own.length - shared]}`] : [name];
}

/** The addresses by which a class of proxies reaches the service, without its ports' own. */
function visibleAddresses(service: Service, viewer: AddressViewer): readonly string[] {
  const { clusterId, family, dnsCapture } = viewer;
  const ofFamily = (address: string): boolean => family === 'dual' || (family === 'v6') === address.includes(':');
  const vips = (service.clusterVips.get(clusterId) ?? []).filter((vip) => vip !== NO_ADDRESS);
  const own = ofFamilies(vips, viewer);
  if (own.length > 0) return own;
  const { defaultAddress, autoAllocated } = service;
  if (dnsCapture && defaultAddress === NO_ADDRESS && autoAllocated !== undefined) {
    const given = [autoAllocated.v4, autoAllocated.v6].filter((address) => address !== '');
    return ofFamilies(given, viewer);
  }
  if (defaultAddress === '' || defaultAddress === NO_ADDRESS) return [];
  // With addresses by cluster the default one is another cluster's: of the wrong family it is of no use. Addresses that a
  // ServiceEntry declares are matched whatever the family.
  return service.clusterVips.size > 0 && !ofFamily(defaultAddress) ? [] : [defaultAddress];
}

/** True where the proxy has an address of its own to listen on for the service: not none, not a prefix. */
export function hasVip(service: Service, addressing: Addressing): boolean {
  const [first = ''] = serviceAddresses(service, addressing);
  return isIp(first) && !isWildcardAddress(first);
}
