// Settling claims on domains within one RouteConfiguration: Envoy refuses one in which a domain stands twice.
// In: claims in order of precedence. Out: what each is left with, ordered as virtual hosts are. Depends on nothing else,
// so it is kept as long as the claims are the same objects.

import { compareStrings } from '../../lib/order.ts';
import { sameList } from '../../lib/table.ts';
import type { DomainClaim } from './domains.ts';

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
  /** The position in `settled` of the virtual host that has a domain. */
  readonly owners: ReadonlyMap<string, number>;
  /** Names of virtual hosts that lost domains or everything, and to whom. */
  readonly lost: readonly { readonly claim: DomainClaim; readonly index: number; readonly domain: string }[];
}

export const DOMAIN_SEPARATOR = '\n';

/** `explicitPorts`: the listener serves many ports, so that a name without port belongs to port 80. */
export function settle(
  claims: readonly DomainClaim[],
  explicitPorts: boolean,
  previous: Settlement | undefined,
): Settlement {
  if (previous !== undefined && sameList(previous.claims, claims)) return previous;
  const fullNames = new Set<string>();
  for (const { host, service } of claims) if (service) fullNames.add(host);
  const names = new Set<string>();
  const taken = new Set<string>();
  const settled: Settled[] = [];
  const lost: Settlement['lost'][number][] = [];
  for (const [index, claim] of claims.entries()) {
    if (names.has(claim.name)) {
      lost.push({ claim, index, domain: claim.host });
      continue;
    }
    names.add(claim.name);
    const kept = keptDomains(claim, taken, fullNames, (domain) => lost.push({ claim, index, domain }));
    const named = explicitPorts && claim.port !== 80 ? kept.filter((domain) => domain.includes(':')) : kept;
    if (named.length > 0) settled.push({ claim, index, domains: named.join(DOMAIN_SEPARATOR) });
  }
  settled.sort((a, b) => compareStrings(a.claim.name, b.claim.name));
  return { claims, settled, owners: ownersOf(settled), lost };
}

function keptDomains(
  { domains, short, host }: DomainClaim,
  taken: Set<string>,
  fullNames: ReadonlySet<string>,
  lose: (domain: string) => void,
): readonly string[] {
  return domains.filter((domain) => {
    const key = domain.toLowerCase();
    const yields = short.has(domain) && domain !== host && fullNames.has(domain);
    if (yields || taken.has(key)) {
      if (!yields) lose(domain);
      return false;
    }
    taken.add(key);
    return true;
  });
}

function ownersOf(settled: readonly Settled[]): ReadonlyMap<string, number> {
  const owners = new Map<string, number>();
  for (const [position, { domains }] of settled.entries()) {
    for (const domain of domains.split(DOMAIN_SEPARATOR)) owners.set(domain, position);
  }
  return owners;
}
