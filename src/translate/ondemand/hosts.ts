// Which virtual host of a RouteConfiguration answers for an authority, as Envoy decides it when it has all of them.
// In: the virtual hosts of a RouteConfiguration, the index of those before. Out: look-ups. Called by index.ts.
// An index starts from the one before: only domains of virtual hosts that came or went are opened.

import { decodeShallow } from '../../codec/index.ts';
import { memo } from '../../lib/memo.ts';
import { compareNumbers, orderBy } from '../../lib/order.ts';
import { emptyTable, sameList, type Table, tableGet, tableWith } from '../../lib/table.ts';
import type { VirtualHost } from '../routes/route-config.ts';

export interface HostIndex {
  readonly hosts: readonly VirtualHost[];
  readonly exact: Table<VirtualHost>;
  /** `*.example.com`, then `example.*`, each the longest first; then `*`. */
  readonly patterns: readonly HostPattern[];
}

interface HostPattern {
  readonly kind: 'suffix' | 'prefix' | 'all';
  /** Without its `*`. */
  readonly text: string;
  readonly host: VirtualHost;
}

const EMPTY: HostIndex = { hosts: [], exact: emptyTable(), patterns: [] };

/** Domains in lower case, as Envoy compares them. */
const domainsOf = memo((host: VirtualHost): readonly string[] => {
  const { domains } = decodeShallow('envoy.config.route.v3.VirtualHost', host.message.bytes);
  return ((domains ?? []) as readonly string[]).map((domain) => domain.toLowerCase());
});

/** The same index when the virtual hosts are the same objects. */
export function indexHosts(hosts: readonly VirtualHost[], previous: HostIndex = EMPTY): HostIndex {
  if (sameList(hosts, previous.hosts)) return previous;
  const [before, now] = [new Set(previous.hosts), new Set(hosts)];
  const gone = previous.hosts.filter((host) => !now.has(host));
  const fresh = hosts.filter((host) => !before.has(host));
  const exact = tableWith(previous.exact, [
    ...entriesOf(gone, undefined),
    ...fresh.flatMap((host) => entriesOf([host], host)),
  ]);
  const patterns = [
    ...previous.patterns.filter(({ host }) => now.has(host)),
    ...fresh.flatMap((host) => domainsOf(host).flatMap((domain) => patternOf(domain, host) ?? [])),
  ];
  return { hosts, exact, patterns: patterns.sort(byPrecedence) };
}

function entriesOf(hosts: readonly VirtualHost[], value: VirtualHost | undefined): [string, VirtualHost | undefined][] {
  return hosts.flatMap((host) =>
    domainsOf(host).flatMap((domain): [string, VirtualHost | undefined][] =>
      isPattern(domain) ? [] : [[domain, value]],
    ),
  );
}

function isPattern(domain: string): boolean {
  return domain.startsWith('*') || domain.endsWith('*');
}

function patternOf(domain: string, host: VirtualHost): HostPattern | undefined {
  if (domain === '*') return { kind: 'all', text: '', host };
  if (domain.startsWith('*')) return { kind: 'suffix', text: domain.slice(1), host };
  return domain.endsWith('*') ? { kind: 'prefix', text: domain.slice(0, -1), host } : undefined;
}

const KINDS: readonly HostPattern['kind'][] = ['suffix', 'prefix', 'all'];

const byPrecedence = orderBy<HostPattern>(
  (a, b) => compareNumbers(KINDS.indexOf(a.kind), KINDS.indexOf(b.kind)),
  (a, b) => compareNumbers(b.text.length, a.text.length),
);

/** `authority` in lower case, without its port where ports don't count. */
export function hostFor(index: HostIndex, authority: string): VirtualHost | undefined {
  return tableGet(index.exact, authority) ?? index.patterns.find((pattern) => matches(pattern, authority))?.host;
}

/** `*` stands for at least one letter. */
function matches({ kind, text }: HostPattern, authority: string): boolean {
  if (kind === 'all') return true;
  if (authority.length <= text.length) return false;
  return kind === 'suffix' ? authority.endsWith(text) : authority.startsWith(text);
}

/** The authority without its port. */
export function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(':');
  return colon > authority.lastIndexOf(']') && /^\d+$/.test(authority.slice(colon + 1))
    ? authority.slice(0, colon)
    : authority;
}
