// The virtual hosts of one group of services, linked: who has which domains, with which routes, encoded.
// In: the inputs of the group, its state before. Out: the state now; every part that came out the same is the same object.

import type { Finding } from '../../config/object.ts';
import type { Origin } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { claimsOfListener, type ListenerClaims, type ListenerInputs } from './claims-of-listener.ts';
import { lostDomains, lostOrigins } from './lost.ts';
import { type VirtualHost, virtualHost } from './route-config.ts';
import { ownerOf, type Settlement, settle } from './settle.ts';
import type { RouteList } from './virtual-service.ts';

export interface LinkedGroup {
  readonly linked: ListenerClaims;
  readonly settlement: Settlement;
  /** Ordered by name. */
  readonly hosts: readonly VirtualHost[];
}

export function linkGroup(
  inputs: ListenerInputs,
  attemptCount: boolean,
  previous: LinkedGroup | undefined,
): LinkedGroup {
  const linked = claimsOfListener(inputs, previous?.linked);
  const settlement = settle(linked.claims, inputs.group.port === 0, previous?.settlement);
  // The proxy's settings are among the inputs: with another class nothing is taken over.
  const before = previous?.linked.inputs.proxyClass === inputs.proxyClass ? previous : undefined;
  const keep = before?.settlement === settlement ? before : undefined;
  const hosts = settlement.settled.flatMap(({ claim, index, domains }, position) => {
    const list = linked.routes[index];
    if (list === undefined) return [];
    const known = keep?.linked.routes[index] === list ? keep.hosts[position] : undefined;
    return known ?? virtualHost(list, claim.name, domains, attemptCount, false);
  });
  return { linked, settlement, hosts };
}

/** The one virtual host that has the name, for whatever Host header; none when nobody has it. */
export function onlyHost(
  { linked, settlement }: LinkedGroup,
  hostname: string,
  attemptCount: boolean,
): readonly VirtualHost[] {
  const owner = ownerOf(settlement, hostname);
  const list = owner === undefined ? undefined : linked.routes[owner.index];
  return owner === undefined || list === undefined
    ? []
    : [virtualHost(list, owner.claim.name, '*', attemptCount, false)];
}

export const groupFindings = memo((group: LinkedGroup): readonly Finding[] => {
  const lists = new Set<RouteList>(group.linked.routes);
  return [...[...lists].flatMap((list) => list.findings), ...lostDomains(group.settlement, group.linked.routes)];
});

/** Objects that lost hosts to others here. */
export const groupLosers = memo((group: LinkedGroup): readonly Origin[] =>
  lostOrigins(group.settlement, group.linked.routes),
);
