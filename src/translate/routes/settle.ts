// Settling claims on domains within one RouteConfiguration: Envoy refuses one in which a domain stands twice.
// In: claims in order of precedence. Out: what each is left with, ordered as virtual hosts are. Depends on nothing else,
// so it is kept as long as the claims are the same objects.

import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import { sameList } from '../../lib/table.ts';
import { DOMAIN_SEPARATOR, type DomainClaim } from './domains.ts';

export interface Settled {
  readonly claim: DomainClaim;
  /** Position in the list of claims. */
  readonly index: number;
  /** The domains that are left, joined by line ends: a flat memo input. */
  readonly domains: string;
}

export interface Settlement {
  readonly claims: readonly DomainClaim[];
  /** Claims that keep a domain, ordered by name. */
  readonly settled: readonly Settled[];
  /** Somebody has `*`. */
  readonly wildcard: boolean;
  /** Claims that lost a domain to another. */
  readonly lost: readonly { readonly claim: DomainClaim; readonly index: number; readonly domain: string }[];
}

/** `explicitPorts`: the listener serves many ports, so that a name without port belongs to port 80. */
export function settle(
  claims: readonly DomainClaim[],
  explicitPorts: boolean,
  previous: Settlement | undefined,
): Settlement {
  if (previous !== undefined && sameList(previous.claims, claims)) return previous;
  const fullNames = new Set<string>();
  for (const { host, name, service } of claims) {
    if (!service) continue;
    fullNames.add(host);
    if (explicitPorts) fullNames.add(name);
  }
  const names = new Set<string>();
  const taken = new Set<string>();
  const settled: Settled[] = [];
  const lost: Settlement['lost'][number][] = [];
  for (let index = 0; index < claims.length; index++) {
    const claim = claims[index] as DomainClaim;
    if (names.has(claim.name)) {
      lost.push({ claim, index, domain: claim.host });
      continue;
    }
    names.add(claim.name);
    const kept = keptDomains(claim, taken, fullNames, (domain) => lost.push({ claim, index, domain }));
    const named = explicitPorts && claim.port !== 80 ? kept.filter((domain) => domain.includes(':')) : kept;
    if (named.length === 0) continue;
    settled.push({ claim, index, domains: named === claim.domains ? claim.text : named.join(DOMAIN_SEPARATOR) });
  }
  settled.sort((a, b) => compareStrings(a.claim.name, b.claim.name));
  return { claims, settled, wildcard: settled.some((each) => each.domains === '*'), lost };
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

/** Who has a domain in the end. */
export function ownerOf(settlement: Settlement, domain: string): Settled | undefined {
  return owners(settlement).get(domain);
}

const owners = memo(({ settled }: Settlement): ReadonlyMap<string, Settled> => {
  const found = new Map<string, Settled>();
  for (const each of settled) for (const domain of each.domains.split(DOMAIN_SEPARATOR)) found.set(domain, each);
  return found;
});
