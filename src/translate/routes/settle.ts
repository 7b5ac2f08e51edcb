// Settling claims on domains within one RouteConfiguration: Envoy refuses one in which a domain stands twice.
// In: claims in order of precedence, the settlement before. Out: what each is left with, ordered as virtual hosts are.
// Depends on nothing else. Who gets what is decided anew among those alone that share a domain with a claim that came or
// went, or share one with such a claim, and so on; all others have nothing to do with it.

import { memo } from '../../lib/memo.ts';
import { compareNumbers, compareStrings } from '../../lib/order.ts';
import { differenceOf, replacedByName } from '../../lib/positions.ts';
import { sameList } from '../../lib/table.ts';
import type { Claimed } from './claims-of-listener.ts';
import { DOMAIN_SEPARATOR, type DomainClaim } from './domains.ts';
import { KeySet } from './key-set.ts';

export interface Settled {
  readonly claimed: Claimed;
  /** The domains that are left, joined by line ends: a flat memo input. */
  readonly domains: string;
}

/** A domain that somebody else has. */
export interface Lost {
  readonly claimed: Claimed;
  readonly domain: string;
}

export interface Settlement {
  readonly claimed: readonly Claimed[];
  /** Claims that keep a domain, ordered by name; each the same object while it keeps the same. */
  readonly settled: readonly Settled[];
  /** Somebody has `*`. */
  readonly wildcard: boolean;
  /** In order of claims. */
  readonly lost: readonly Lost[];
}

/** Claims that were decided over; counted by tests. */
export const SETTLED = { claims: 0 };

/** `explicitPorts`: the listener serves many ports, so that a name without port belongs to port 80. */
export function settle(
  claimed: readonly Claimed[],
  explicitPorts: boolean,
  previous: Settlement | undefined,
): Settlement {
  if (previous === undefined) return fromNothing(claimed, explicitPorts);
  if (sameList(previous.claimed, claimed)) return previous;
  if (sameClaims(previous.claimed, claimed)) return withOthers(claimed, previous);
  const { gone, come } = differenceOf(previous.claimed, claimed);
  const touched = touchedBy(claimed, come, gone);
  if (touched === undefined) return fromNothing(claimed, explicitPorts);
  const again = decided(touched.size === 0 ? [] : claimed.filter((each) => touched.has(each)), explicitPorts);
  const open = new Set([...touched, ...gone]);
  const settled = replacedByName(previous.settled, nameOfSettled, [...open].map(nameOf), again.settled, isSame);
  const othersLost = previous.lost.length === 0 ? NONE : previous.lost.filter((each) => !open.has(each.claimed));
  const wildcard = hasWildcard(previous.wildcard ? settled : again.settled);
  return { claimed, settled, wildcard, lost: inOrderOf(claimed, othersLost, again.lost) };
}

const NONE: readonly Lost[] = [];

function fromNothing(claimed: readonly Claimed[], explicitPorts: boolean): Settlement {
  const { settled, lost } = decided(claimed, explicitPorts);
  return { claimed, settled, wildcard: hasWildcard(settled), lost };
}

function sameClaims(before: readonly Claimed[], after: readonly Claimed[]): boolean {
  if (before.length !== after.length) return false;
  for (let at = 0; at < before.length; at++) {
    const old = before[at] as Claimed;
    const now = after[at] as Claimed;
    if (old !== now && old.claim !== now.claim) return false;
  }
  return true;
}

/** The same claims, some of which have other routes now. */
function withOthers(claimed: readonly Claimed[], { claimed: old, settled, wildcard, lost }: Settlement): Settlement {
  const others = new Map<Claimed, Claimed>();
  for (let at = 0; at < claimed.length; at++)
    if (claimed[at] !== old[at]) others.set(old[at] as Claimed, claimed[at] as Claimed);
  const turned = <T extends { readonly claimed: Claimed }>(each: T): T => {
    const other = others.get(each.claimed);
    return other === undefined ? each : { ...each, claimed: other };
  };
  return { claimed, settled: settled.map(turned), wildcard, lost: lost.map(turned) };
}

function hasWildcard(settled: readonly Settled[]): boolean {
  return settled.some((each) => each.domains === '*');
}

/**
 * The claims to which anything may happen when some come and some go: those themselves, whoever shares a domain with
 * one of them, or with one that does. Undefined when it is most.
 */
function touchedBy(
  claimed: readonly Claimed[],
  come: readonly Claimed[],
  gone: readonly Claimed[],
): ReadonlySet<Claimed> | undefined {
  const most = claimed.length / 2 + FEW;
  if (come.length + gone.length > most) return undefined;
  // Two of one name are for one host, which is among the domains of both.
  const keys = new KeySet();
  const touched = new Set(come);
  for (const each of come) keys.add(each.claim);
  for (const each of gone) keys.add(each.claim);
  for (let more = true; more; ) {
    more = false;
    for (const each of claimed) {
      if (!keys.hasAny(each.claim) || touched.has(each)) continue;
      touched.add(each);
      keys.add(each.claim);
      more = true;
    }
    if (touched.size > most) return undefined;
  }
  return touched;
}

/** Of so few, all may be decided over again. */
const FEW = 4;

/** All claims decided over, one after the other. */
function decided(claimed: readonly Claimed[], explicitPorts: boolean): Pick<Settlement, 'settled' | 'lost'> {
  SETTLED.claims += claimed.length;
  const fullNames = new Set<string>();
  for (const { claim } of claimed) {
    if (!claim.service) continue;
    fullNames.add(claim.host);
    if (explicitPorts) fullNames.add(claim.name);
  }
  const names = new Set<string>();
  const taken = new Set<string>();
  const settled: Settled[] = [];
  const lost: Lost[] = [];
  for (const each of claimed) {
    const { claim } = each;
    if (names.has(claim.name)) {
      lost.push({ claimed: each, domain: claim.host });
      continue;
    }
    names.add(claim.name);
    const kept = keptDomains(claim, taken, fullNames, (domain) => lost.push({ claimed: each, domain }));
    const named = explicitPorts && claim.port !== 80 ? kept.filter((domain) => domain.includes(':')) : kept;
    if (named.length === 0) continue;
    settled.push({ claimed: each, domains: named === claim.domains ? claim.text : named.join(DOMAIN_SEPARATOR) });
  }
  settled.sort(byName);
  return { settled, lost };
}

function byName(a: Settled, b: Settled): number {
  return compareStrings(nameOfSettled(a), nameOfSettled(b));
}

function nameOf({ claim }: Claimed): string {
  return claim.name;
}

function nameOfSettled({ claimed }: Settled): string {
  return claimed.claim.name;
}

function isSame(a: Settled, b: Settled): boolean {
  return a.claimed === b.claimed && a.domains === b.domains;
}

/** The claim's own list where nothing is taken away. */
function keptDomains(
  { domains, keys, short, host, name }: DomainClaim,
  taken: Set<string>,
  fullNames: ReadonlySet<string>,
  lose: (domain: string) => void,
): readonly string[] {
  const kept: string[] = [];
  for (let position = 0; position < domains.length; position++) {
    const domain = domains[position] as string;
    const key = keys[position] ?? domain;
    if (fullNames.has(domain) && domain !== host && domain !== name && short.includes(domain)) continue;
    if (taken.has(key)) {
      lose(domain);
      continue;
    }
    taken.add(key);
    kept.push(domain);
  }
  return kept.length === domains.length ? domains : kept;
}

function inOrderOf(claimed: readonly Claimed[], a: readonly Lost[], b: readonly Lost[]): readonly Lost[] {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  const places = new Map(claimed.map((each, index) => [each, index]));
  const place = ({ claimed: each }: Lost): number => places.get(each) ?? 0;
  return [...a, ...b].sort((one, other) => compareNumbers(place(one), place(other)));
}

/** Who has a domain in the end. */
export function ownerOf(settlement: Settlement, domain: string): Settled | undefined {
  return owners(settlement).get(domain);
}

const owners = memo(({ settled }: Settlement): ReadonlyMap<string, Settled> => {
  const found = new Map<string, Settled>();
  for (const each of settled) for (const domain of each.domains.split(DOMAIN_SEPARATOR)) found.set(domain, each);
  return found;
});
