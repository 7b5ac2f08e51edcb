// The services of one egress listener, grouped by port: what the routes of each port choose from.
// Depends on the list of services alone, so classes that see the same list share the groups.

import { isHttp, type Service, type ServicePort } from '../../ir/service.ts';
import type { ScopedService, VirtualService } from '../../ir/traffic.ts';
import { type HostIndex, hostIndex } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings, orderBy } from '../../lib/order.ts';

export interface PortGroup {
  /** 0: every port of every service (HTTP proxies, unix sockets). */
  readonly port: number;
  /** In registry order. */
  readonly services: readonly ScopedService[];
  readonly byHost: ReadonlyMap<string, ScopedService>;
}

/** By port number; Alias services are in, as destinations. */
export const groupsByPort = memo((services: readonly ScopedService[]): ReadonlyMap<number, PortGroup> => {
  const lists = new Map<number, ScopedService[]>();
  for (const scoped of services) {
    for (const number of new Set(scoped.service.ports.map((port) => port.number))) {
      const list = lists.get(number);
      if (list === undefined) lists.set(number, [scoped]);
      else list.push(scoped);
    }
  }
  return new Map([...lists].map(([port, list]) => [port, groupOf(port, list)]));
});

/** All services with all their ports. */
export const wholeGroup = memo((services: readonly ScopedService[]): PortGroup => groupOf(0, services));

export function emptyGroup(port: number): PortGroup {
  return groupOf(port, []);
}

function groupOf(port: number, services: readonly ScopedService[]): PortGroup {
  const byHost = new Map<string, ScopedService>();
  for (const scoped of services) {
    const { hostname, namespace } = scoped.service;
    const before = byHost.get(hostname)?.service;
    // Of one with several addresses each is a service of its own: the lowest stands for them, prefixes last.
    const lower = before?.namespace === namespace && byAddress(scoped.service, before) < 0;
    if (before === undefined || lower) byHost.set(hostname, scoped);
  }
  const kept = services.filter((scoped) => byHost.get(scoped.service.hostname) === scoped);
  return { port, services: kept.length === services.length ? services : kept, byHost };
}

const byAddress = orderBy<Service>(
  (a, b) => Number(a.defaultAddress.includes('/')) - Number(b.defaultAddress.includes('/')),
  (a, b) => compareStrings(a.defaultAddress, b.defaultAddress),
);

/** The ports of a service that count in a group: those that carry HTTP, or may. */
export function httpPorts(service: Service, group: PortGroup): readonly ServicePort[] {
  if (group.port === 0) return service.ports.filter(carriesHttp);
  const port = service.ports.find((each) => each.number === group.port);
  return port !== undefined && carriesHttp(port) ? [port] : [];
}

export function carriesHttp({ protocol }: ServicePort): boolean {
  return protocol === 'AUTO' || isHttp(protocol);
}

/** Which VirtualService is the most specific for a host; of equals the first. */
export const mostSpecific = memo(
  (nodes: readonly VirtualService[]): HostIndex<VirtualService> =>
    hostIndex(nodes.flatMap((node) => node.hosts.map((host) => [host.toLowerCase(), node] as const))),
);
