// Which hosts a server of a Gateway and a VirtualService have in common.

import type { GatewayServer, VirtualService } from '../../ir/traffic.ts';
import { hostIntersection } from '../../lib/hosts.ts';

/** The narrower one of each pair of overlapping hosts, in lower case, each once. */
export function sharedHosts(server: GatewayServer, node: VirtualService): readonly string[] {
  const shared = new Set<string>();
  for (const { host } of hostsFor(server, node)) {
    for (const other of node.hosts) {
      const both = hostIntersection(host.toLowerCase(), other.toLowerCase());
      if (both !== undefined) shared.add(both);
    }
  }
  return [...shared];
}

/** The server's hosts that are open to the VirtualService's namespace. */
export function hostsFor(server: GatewayServer, node: VirtualService): GatewayServer['hosts'] {
  return server.hosts.filter(({ namespace }) => namespace === '*' || namespace === node.namespace);
}
