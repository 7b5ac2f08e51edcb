// Two clients that see much the same: what was claimed for one stands for the other, but for the names and the rules that depend
// on the namespace. In: the inputs of a listener for both. Out: whether anything is taken over, and what isn't.
// Called by claims-of-listener.ts.

import type { VirtualService } from '../../ir/traffic.ts';
import { deepEqual } from '../../lib/equal.ts';
import { memo } from '../../lib/memo.ts';
import { asksForSource } from './applicable.ts';
import type { ListenerInputs } from './claims-of-listener.ts';
import { domainNamespace, haveSameServices, hostNamespace, seeSameAddresses } from './domains.ts';
import type { PortGroup } from './listener-services.ts';
import { semanticsOf } from './settings.ts';
import type { RouteDefaults } from './virtual-service.ts';

/** The same client, or one elsewhere in the same cluster. */
export function areKin(a: ListenerInputs, b: ListenerInputs): boolean {
  if (a.group.port !== b.group.port || !sameDefaults(a.defaults, b.defaults)) return false;
  const [one, other] = [a.addressing, b.addressing];
  return seeSameAddresses(one, other) && haveSameServices(one.dnsDomain, other.dnsDomain);
}

function sameDefaults(a: RouteDefaults, b: RouteDefaults): boolean {
  const alike = a.retries === b.retries && a.sessions === b.sessions;
  return alike && a.forwardedHost === b.forwardedHost && a.dialect === b.dialect;
}

/** Where the client is, and what it is, for VirtualServices that ask. */
export function sameSource({ proxyClass: a }: ListenerInputs, { proxyClass: b }: ListenerInputs): boolean {
  return a === b || (a.namespace === b.namespace && deepEqual(a.labels, b.labels));
}

export const looksAtSource = memo(
  (node: VirtualService): boolean => semanticsOf(node) === 'gateway' || asksForSource(node),
);

/** Hosts of the group now that may have other names for one client than for the other: in its own namespace they have shorter ones. */
export function renamedHosts(now: ListenerInputs, before: ListenerInputs): ReadonlySet<string> {
  const domains = [now.addressing.dnsDomain, before.addressing.dnsDomain];
  if (domains[0] === domains[1]) return NO_HOSTS;
  const named = namedByDomain(now.group);
  return new Set([...domains.map(domainNamespace), ''].flatMap((namespace) => named.get(namespace) ?? []));
}

/** Hosts of a group by the DNS domain in which they have shorter names; those with aliases, which may have any, under none. */
const namedByDomain = memo(({ services }: PortGroup): ReadonlyMap<string, readonly string[]> => {
  const named = new Map<string, string[]>();
  for (const { service } of services) {
    const namespace = service.aliases.length > 0 ? '' : hostNamespace(service.hostname);
    if (namespace === undefined) continue;
    const hosts = named.get(namespace);
    if (hosts === undefined) named.set(namespace, [service.hostname]);
    else hosts.push(service.hostname);
  }
  return named;
});

const NO_HOSTS: ReadonlySet<string> = new Set();
