// The virtual hosts of one group of services, linked: who has which domains, with which routes, encoded.
// In: the inputs of the group, its state before. Out: the state now; every part that came out the same is the same object.

import type { Finding } from '../../config/object.ts';
import type { Origin } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { carriedOver } from '../../lib/positions.ts';
import type { Steps } from '../../lib/steps.ts';
import { keepList } from '../../lib/table.ts';
import { claimsOfListener, type ListenerClaims, type ListenerInputs } from './claims-of-listener.ts';
import { lostDomains, lostOrigins } from './lost.ts';
import { type VirtualHost, virtualHost } from './route-config.ts';
import { ownerOf, type Settled, type Settlement, settle } from './settle.ts';
import type { RouteList } from './virtual-service.ts';

/** Virtual hosts rendered in one step. */
const STRIDE = 64;

export interface LinkedGroup {
  readonly linked: ListenerClaims;
  /** Requests that are sent again say so. */
  readonly attemptCount: boolean;
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
  const settlement = settle(linked.claimed, inputs.group.port === 0, previous?.settlement);
  const before = previous?.attemptCount === attemptCount ? previous : undefined;
  const group = { linked, attemptCount, settlement };
  if (before?.settlement.settled === settlement.settled) return { ...group, hosts: before.hosts };
  const rendered = ({ claimed, domains }: Settled): VirtualHost =>
    virtualHost(claimed.list, claimed.claim.name, domains, attemptCount, false);
  if (before !== undefined) {
    const { settled } = before.settlement;
    const hosts = carriedOver(settled, before.hosts, settlement.settled, (each, known) => known ?? rendered(each));
    return { ...group, hosts: keepList(before.hosts, hosts) };
  }
  const hosts: VirtualHost[] = [];
  for (const each of settlement.settled) {
    hosts.push(rendered(each));
    if (hosts.length % STRIDE === 0) yield;
  }
  return { ...group, hosts };
}

/** The one virtual host that has the name, for whatever Host header; none when nobody has it. */
export function onlyHost({ settlement }: LinkedGroup, hostname: string, attemptCount: boolean): readonly VirtualHost[] {
  const owner = ownerOf(settlement, hostname)?.claimed;
  return owner === undefined ? [] : [virtualHost(owner.list, owner.claim.name, '*', attemptCount, false)];
}

export const groupFindings = memo(({ linked, settlement }: LinkedGroup): readonly Finding[] => {
  const lists = new Set<RouteList>(linked.claimed.map((each) => each.list));
  return [...[...lists].flatMap((list) => list.findings), ...lostDomains(settlement)];
});

/** Objects that lost hosts to others here. */
export const groupLosers = memo(({ settlement }: LinkedGroup): readonly Origin[] => lostOrigins(settlement));
