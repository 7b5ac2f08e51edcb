// The virtual hosts of one group of services, linked: who has which domains, with which routes, encoded.
// In: the inputs of the group, its state before. Out: the state now; every part that came out the same is the same object.

import type { Finding } from '../../config/object.ts';
import type { Origin } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import type { Steps } from '../../lib/steps.ts';
import { claimsOfListener, type ListenerClaims, type ListenerInputs } from './claims-of-listener.ts';
import { lostDomains, lostOrigins } from './lost.ts';
import { type VirtualHost, virtualHost } from './route-config.ts';
import { ownerOf, type Settlement, settle } from './settle.ts';
import type { RouteList } from './virtual-service.ts';

/** Virtual hosts rendered in one step. */
const STRIDE = 64;

export interface LinkedGroup {
  readonly linked: ListenerClaims;
  readonly settlement: Settlement;
  /** Ordered by name. */
  readonly hosts: readonly VirtualHost[];
}

/** In steps of some virtual hosts. */
export function* linkGroup(
  inputs: ListenerInputs,
  attemptCount: boolean,
  previous: LinkedGroup | undefined,
): Steps<LinkedGroup> {
  const linked = yield* claimsOfListener(inputs, previous?.linked);
  yield;
  const settlement = settle(linked.claims, inputs.group.port === 0, previous?.settlement);
  // The proxy's settings are among the inputs: with another class nothing is taken over.
  const before = previous?.linked.inputs.proxyClass === inputs.proxyClass ? previous : undefined;
  const keep = before?.settlement === settlement ? before : undefined;
  const hosts: VirtualHost[] = [];
  for (const [position, { claim, index, domains }] of settlement.settled.entries()) {
    if (position % STRIDE === 0) yield;
    const list = linked.routes[index];
    if (list === undefined) continue;
    const known = keep?.linked.routes[index] === list ? keep.hosts[position] : undefined;
    hosts.push(known ?? virtualHost(list, claim.name, domains, attemptCount, false));
  }
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
