// Which hosts a server of a Gateway and a VirtualService have in common.

import type { GatewayServer, VirtualService } from '../../ir/traffic.ts';
import { hostIntersection, isWildcard } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';

/** The narrower one of each pair of overlapping hosts, in lower case, each once. */
export function sharedHosts(server: GatewayServer, { hosts, namespace }: VirtualService): readonly string[] {
  const { all, names, wildcards } = hostsOf(server);
  const shared = new Set<string>();
  for (const each of hosts) {
    const host = each.toLowerCase();
    const name = !isWildcard(host);
    if (name && names.get(host)?.some((open) => isOpen(open, namespace)) === true) shared.add(host);
    // Other names of the server have nothing in common with a name.
    for (const other of name ? wildcards : all) {
      const both = isOpen(other.namespace, namespace) ? hostIntersection(other.host, host) : undefined;
      if (both !== undefined) shared.add(both);
    }
  }
  return [...shared];
}

/** A host of a server is open to one namespace or to all. */
function isOpen(open: string, namespace: string): boolean {
  return open === '*' || open === namespace;
}

interface ServerHosts {
  readonly all: GatewayServer['hosts'];
  /** The namespaces that each name is open to. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  readonly wildcards: GatewayServer['hosts'];
}

/** A server's hosts in lower case: thousands of VirtualServices are held beside them. */
const hostsOf = memo((server: GatewayServer): ServerHosts => {
  const all = server.hosts.map(({ namespace, host }) => ({ namespace, host: host.toLowerCase() }));
  const names = new Map<string, string[]>();
  for (const { namespace, host } of all) {
    if (isWildcard(host)) continue;
    const open = names.get(host);
    if (open === undefined) names.set(host, [namespace]);
    else open.push(namespace);
  }
  return { all, names, wildcards: all.filter(({ host }) => isWildcard(host)) };
});
