// Virtual addresses of ServiceEntries that have none of their own: one IPv4 and one IPv6 address for each host of a
// namespace. A pure function of what was allocated before and of what is wanted now: who has an address keeps it, and
// replicas that start from nothing agree, because a new host's place follows from its name.

import type { ConfigObject } from '../config/object.ts';
import { fnv1a } from '../lib/hash.ts';
import { isWildcard } from '../lib/hosts.ts';
import { memo } from '../lib/memo.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import type { Findings } from './findings.ts';
import type { ServiceEntry } from './input.ts';
import { LABEL } from './labels.ts';

export interface Vip {
  /** Empty when the status of the object names no address of the family. */
  readonly v4: string;
  readonly v6: string;
}

/** By `NAMESPACE/HOST`. */
export type Vips = ReadonlyMap<string, Vip>;

export interface VipClaim {
  readonly key: string;
  readonly created: number;
  readonly object: ConfigObject;
  /** Addresses that the object's status names already. */
  readonly given?: Vip | undefined;
}

/** Offsets into 240.240.0.0/16, without the network's first and last address. */
const CAPACITY = 65534;

export const NO_VIPS: Vips = new Map();

/** The hosts of one ServiceEntry that are to have virtual addresses. */
export const vipClaims = memo((entry: ServiceEntry): readonly VipClaim[] => {
  const { spec } = entry;
  if ((spec.addresses?.length ?? 0) > 0 || (spec.resolution ?? 'NONE') === 'NONE') return [];
  if (entry.labels[LABEL.autoAllocate]?.toLowerCase() === 'false') return [];
  const hosts = (spec.hosts ?? []).filter((host) => !isWildcard(host) || spec.resolution === 'DYNAMIC_DNS');
  return [...new Set(hosts)].map((host) => ({
    key: vipKey(entry.namespace, host),
    created: entry.created,
    object: entry,
    given: givenVip(entry, host),
  }));
});

export function vipKey(namespace: string, host: string): string {
  return `${namespace}/${host}`;
}

function givenVip(entry: ServiceEntry, host: string): Vip | undefined {
  const values = (entry.status?.addresses ?? []).filter((each) => each.host === host).map((each) => each.value);
  if (values.length === 0) return undefined;
  return { v4: values.find((each) => !each.includes(':')) ?? '', v6: values.find((each) => each.includes(':')) ?? '' };
}

/**
 * Allocates. `claims` may come in any order; `reserved` are addresses that users wrote into objects. The result is
 * `previous` itself when nothing differs.
 */
export function allocateVips(
  previous: Vips,
  claims: readonly VipClaim[],
  reserved: ReadonlySet<string>,
  findings: Findings,
): Vips {
  const ordered = [...claims].sort(OLDEST_FIRST);
  const next = new Map<string, Vip>();
  const taken = new Set<string>(reserved);
  takeGiven(ordered, next, taken, previous, findings);
  for (const { key } of ordered) {
    const before = previous.get(key);
    if (next.has(key) || before === undefined || taken.has(before.v4) || taken.has(before.v6)) continue;
    take(key, before, next, taken);
  }
  const fresh = ordered.filter((claim) => !next.has(claim.key)).sort((a, b) => compareStrings(a.key, b.key));
  for (const { key, object } of fresh) {
    if (next.has(key)) continue;
    const vip = probe(key, taken);
    if (vip === undefined) {
      findings.add('MEL0108', object, undefined, `no address of 240.240.0.0/16 is left for host ${hostOf(key)}`);
    } else take(key, vip, next, taken);
  }
  return sameVips(previous, next) ? previous : next;
}

const OLDEST_FIRST = orderBy<VipClaim>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.key, b.key),
  (a, b) => compareStrings(a.object.name, b.object.name),
);

/** Addresses from the status of objects; of two that name the same one the oldest keeps it. */
function takeGiven(
  ordered: readonly VipClaim[],
  next: Map<string, Vip>,
  taken: Set<string>,
  previous: Vips,
  findings: Findings,
): void {
  for (const { key, given, object } of ordered) {
    if (given === undefined || next.has(key)) continue;
    if (taken.has(given.v4) || taken.has(given.v6)) {
      const address = taken.has(given.v4) ? given.v4 : given.v6;
      const message = `address ${address} of host ${hostOf(key)} is in use by an older object; another is allocated`;
      findings.add('MEL0109', object, 'status.addresses', message);
      continue;
    }
    const before = previous.get(key);
    take(key, before !== undefined && before.v4 === given.v4 && before.v6 === given.v6 ? before : given, next, taken);
  }
}

function take(key: string, vip: Vip, next: Map<string, Vip>, taken: Set<string>): void {
  next.set(key, vip);
  if (vip.v4 !== '') taken.add(vip.v4);
  if (vip.v6 !== '') taken.add(vip.v6);
}

/** The first free place from the one that the key's hash names, in ascending order around the range. */
function probe(key: string, taken: ReadonlySet<string>): Vip | undefined {
  const start = fnv1a(key) % CAPACITY;
  for (let step = 0; step < CAPACITY; step++) {
    const offset = ((start + step) % CAPACITY) + 1;
    const v4 = `240.240.${offset >> 8}.${offset & 255}`;
    const v6 = `2001:2::${offset.toString(16)}`;
    if (!taken.has(v4) && !taken.has(v6)) return { v4, v6 };
  }
  return undefined;
}

export function hostOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

function sameVips(a: Vips, b: Vips): boolean {
  if (a.size !== b.size) return false;
  for (const [key, vip] of a) if (b.get(key) !== vip) return false;
  return true;
}
