// Host names as the mesh APIs write them: names, or wildcards whose one `*` is the first character.
// In: hosts of services, VirtualServices, gateways, DestinationRules. Out: which covers which, and look-ups by the most
// specific entry. Called by every stage that resolves a host.

import { compareStrings } from './order.ts';

export function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

/** True when `pattern` (a name or a wildcard) covers the name `host`; a wildcard host counts when all of it is covered. */
export function hostMatches(pattern: string, host: string): boolean {
  return hostSubsetOf(host, pattern);
}

/** True when every name that `a` stands for is one that `b` stands for. */
export function hostSubsetOf(a: string, b: string): boolean {
  if (!isWildcard(b)) return a === b;
  if (!isWildcard(a)) return a.endsWith(b.slice(1));
  return a.length >= b.length && a.endsWith(b.slice(1));
}

/** The names that both stand for, as one host; undefined when there are none. Of two overlapping hosts one contains the other. */
export function hostIntersection(a: string, b: string): string | undefined {
  if (hostSubsetOf(a, b)) return a;
  if (hostSubsetOf(b, a)) return b;
  return undefined;
}

export function hostsOverlap(a: string, b: string): boolean {
  return hostIntersection(a, b) !== undefined;
}

/** Most specific first: names before wildcards, then longer before shorter, then by code unit. */
export function compareSpecificity(a: string, b: string): number {
  const wildA = isWildcard(a);
  if (wildA !== isWildcard(b)) return wildA ? 1 : -1;
  return b.length - a.length || compareStrings(a, b);
}

/** `reviews` of namespace `shop` means `reviews.shop.svc.DOMAIN`; a host with a dot, an address, or `*`, stays as written. */
export function resolveShortName(name: string, namespace: string, domain: string): string {
  if (name === '' || name.includes('.') || name.includes(':') || isWildcard(name)) return name;
  return `${name}.${namespace}.svc.${domain}`;
}

/** An immutable look-up by host: names by hash, wildcards by suffix for each length in use. */
export interface HostIndex<T> {
  readonly size: number;
  /** The entry of exactly this host, else the one of the longest wildcard that covers it; of equals the first inserted. */
  lookup(host: string): T | undefined;
  /** Every entry that covers the host, most specific first, equals in order of insertion. */
  all(host: string): readonly T[];
  /** Every entry whose host is covered by `pattern`, in order of insertion. */
  within(pattern: string): readonly T[];
}

interface Entry<T> {
  readonly host: string;
  readonly value: T;
}

/** Indexes entries in the order given; a host may come several times. */
export function hostIndex<T>(entries: Iterable<readonly [string, T]>): HostIndex<T> {
  const inserted: Entry<T>[] = [];
  const exact = new Map<string, T[]>();
  const lengths: number[] = [];
  for (const [host, value] of entries) {
    inserted.push({ host, value });
    const list = exact.get(host);
    if (list !== undefined) list.push(value);
    else {
      exact.set(host, [value]);
      if (isWildcard(host) && !lengths.includes(host.length)) lengths.push(host.length);
    }
  }
  lengths.sort((a, b) => b - a);
  return {
    size: inserted.length,
    lookup: (host) => lookup(exact, lengths, host).next().value?.[0],
    all: (host) => [...lookup(exact, lengths, host)].flat(),
    within: (pattern) => within(inserted, exact, pattern),
  };
}

function* lookup<T>(
  exact: ReadonlyMap<string, readonly T[]>,
  lengths: readonly number[],
  host: string,
): Generator<readonly T[], undefined> {
  const own = exact.get(host);
  if (own !== undefined) yield own;
  for (const length of lengths) {
    // The star stands for any text, so a name of length n is covered by a wildcard of at most n + 1.
    if (length > host.length + 1) continue;
    const wildcard = `*${host.slice(host.length - length + 1)}`;
    if (wildcard === host || (isWildcard(host) && length > host.length)) continue;
    const list = exact.get(wildcard);
    if (list !== undefined) yield list;
  }
  return undefined;
}

function within<T>(
  inserted: readonly Entry<T>[],
  exact: ReadonlyMap<string, readonly T[]>,
  pattern: string,
): readonly T[] {
  if (!isWildcard(pattern)) return exact.get(pattern) ?? [];
  return inserted.filter((entry) => hostSubsetOf(entry.host, pattern)).map((entry) => entry.value);
}
