// The services of one egress listener, grouped by port: what the routes of each port choose from.
// Depends on the list of services alone, so classes that see the same list share the groups.

import { isHttp, type Service, type ServicePort } from '../../ir/service.ts';
import type { ScopedService, VirtualService } from '../../ir/traffic.ts';
import { type HostIndex, hostIndex } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings, orderBy } from '../../lib/order.ts';
import { commonEnds, middleOf } from '../../lib/positions.ts';
import { successor } from '../../lib/successor.ts';
import { sameList } from '../../lib/table.ts';

export interface PortGroup {
  /** 0: every port of every service (HTTP proxies, unix sockets). */
  readonly port: number;
  /** In registry order. */
  readonly services: readonly ScopedService[];
  readonly byHost: ReadonlyMap<string, ScopedService>;
  /** No host stands in the list more than once. */
  readonly distinct: boolean;
}

/** A group and the list that it was taken from. */
export interface ListedGroup {
  readonly listed: readonly ScopedService[];
  readonly group: PortGroup;
}

/**
 * The services with the port, or all with all their ports (0); Alias services are in, as destinations. `before`: the group
 * of the list before, which is kept where the services that came or went have nothing to do with it.
 */
export function portGroup(
  services: readonly ScopedService[],
  port: number,
  before: ListedGroup | undefined,
): PortGroup {
  if (before === undefined || before.group.port !== port) return firstGroup(services, port);
  return before.listed === services ? before.group : nextGroup(before.group, before.listed, services);
}

const firstGroup = memo(
  (services: readonly ScopedService[], port: number): PortGroup =>
    groupOf(port, port === 0 ? services : services.filter((scoped) => hasPort(scoped, port))),
);

const nextGroup = successor(
  (before: PortGroup, listed: readonly ScopedService[], services: readonly ScopedService[]): PortGroup =>
    groupAfter(services, listed, before) ?? firstGroup(services, before.port),
);

function hasPort({ service }: ScopedService, port: number): boolean {
  return port === 0 || service.ports.some((each) => each.number === port);
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
  if (byHost.size === services.length) return { port, services, byHost, distinct: true };
  const kept = services.filter((scoped) => byHost.get(scoped.service.hostname) === scoped);
  return { port, services: kept, byHost, distinct: false };
}

/** The group before with the difference of the lists; undefined where hosts stand in them more than once. */
function groupAfter(
  services: readonly ScopedService[],
  listed: readonly ScopedService[],
  before: PortGroup,
): PortGroup | undefined {
  const { port, distinct } = before;
  if (!distinct) return undefined;
  const common = commonEnds(listed, services);
  const gone = middleOf(listed, common).filter((scoped) => hasPort(scoped, port));
  const come = middleOf(services, common).filter((scoped) => hasPort(scoped, port));
  if (sameList(gone, come)) return before;
  const at = placeIn(before, listed, common.start);
  const byHost = new Map(before.byHost);
  for (const { service } of gone) byHost.delete(service.hostname);
  for (const scoped of come) byHost.set(scoped.service.hostname, scoped);
  const next = before.services.toSpliced(at, gone.length, ...come);
  return byHost.size === next.length ? { port, services: next, byHost, distinct } : undefined;
}

/** How many services of the group stand in front of a place of the list. */
function placeIn({ port, services }: PortGroup, listed: readonly ScopedService[], place: number): number {
  for (let at = place - 1; at >= 0; at--) {
    const scoped = listed[at] as ScopedService;
    if (hasPort(scoped, port)) return services.indexOf(scoped) + 1;
  }
  return 0;
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
