// Principals written with one trust domain of the mesh count for all of them.

/** The mesh's own trust domain first, then its aliases. */
export type TrustDomains = readonly string[];

/** In policies this name stands for the mesh's own trust domain, whatever that is. */
const LOCAL_DOMAIN = 'cluster.local';

/** `DOMAIN/ns/NAMESPACE/sa/ACCOUNT` */
const PARTS = 5;

export function expandPrincipals(principals: readonly string[], domains: TrustDomains): readonly string[] {
  return principals.flatMap((principal) => expandPrincipal(principal, domains));
}

function expandPrincipal(principal: string, domains: TrustDomains): readonly string[] {
  const slash = principal.indexOf('/');
  const domain = principal.slice(0, slash);
  // A wildcard in place of the domain covers every one already; patterns of another shape name what they mean.
  if (domain === '*' || principal.split('/').length !== PARTS) return [principal];
  const covers = (candidate: string): boolean =>
    domain.startsWith('*') ? candidate.endsWith(domain.slice(1)) : candidate === domain;
  if (domain !== LOCAL_DOMAIN && !domains.some(covers)) return [principal];
  const rest = principal.slice(slash);
  return [...new Set(domains.map((candidate) => (covers(candidate) ? principal : candidate + rest)))];
}
