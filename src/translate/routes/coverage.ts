// What of a listener a VirtualService is about: services that its hosts name or cover, hosts that nobody else knows, ports.
// In: a port group and the VirtualServices of the listener. Called by claims-of-listener.ts.

import type { ScopedService, VirtualService } from '../../ir/traffic.ts';
import { hostMatches, isWildcard } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { httpPorts, type ListedGroup, mostSpecific } from './listener-services.ts';
import { semanticsOf } from './settings.ts';

interface Listened extends Pick<ListedGroup, 'group'> {
  readonly virtualServices: readonly VirtualService[];
}

interface Coverage {
  readonly services: readonly ScopedService[];
  /** Hosts that are no service, in lower case. */
  readonly others: readonly string[];
}

export function coveredBy(inputs: Listened, node: VirtualService): Coverage {
  const services = new Set<ScopedService>();
  const others: string[] = [];
  for (const each of node.hosts) {
    const host = each.toLowerCase();
    if (isWildcard(host)) continue;
    const scoped = inputs.group.byHost.get(host);
    if (scoped === undefined) others.push(host);
    else services.add(scoped);
  }
  if (hasWildcard(node)) for (const each of node.hosts) addCovered(each.toLowerCase(), node, inputs, services, others);
  return { services: [...services], others };
}

/** The services for which the pattern is the most specific one; where it covers none it is a host of its own. */
function addCovered(
  pattern: string,
  node: VirtualService,
  { group, virtualServices }: Listened,
  services: Set<ScopedService>,
  others: string[],
): void {
  if (!isWildcard(pattern)) return;
  const gatewayApi = semanticsOf(node) === 'gateway';
  const covered = gatewayApi ? [] : group.services.filter(({ service }) => hostMatches(pattern, service.hostname));
  if (covered.length === 0) others.push(pattern);
  for (const scoped of covered)
    if (mostSpecific(virtualServices).lookup(scoped.service.hostname) === node) services.add(scoped);
}

export const hasWildcard = memo((node: VirtualService): boolean => node.hosts.some(isWildcard));

/** The ports on which a VirtualService is served, with those of its services that have each. */
export function servedOn(
  group: Listened['group'],
  services: readonly ScopedService[],
): ReadonlyMap<number, readonly ScopedService[]> {
  const byPort = new Map<number, ScopedService[]>();
  for (const scoped of services) {
    for (const { number } of httpPorts(scoped.service, group)) {
      const known = byPort.get(number);
      if (known === undefined) byPort.set(number, [scoped]);
      else known.push(scoped);
    }
  }
  // Hosts outside of the registry are served on port 80 alone unless services give the VirtualService more ports.
  if (byPort.size === 0 && group.port === 80) byPort.set(80, []);
  return byPort;
}
