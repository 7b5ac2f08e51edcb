// Which hosts a server of a Gateway and a VirtualService have in common.

import type { GatewayServer, VirtualService } from '../../ir/traffic.ts';
import { hostIntersection } from '../../lib/hosts.ts';

/** The narrower one of each pair of overlapping hosts, in lower case, each once. */
export function sharedHosts(server: GatewayServer, node: VirtualService): readonly string[] {
  const shared: string[] = [];
  const theirs = node.hosts.map((host) => host.toLowerCase());
  for (const { namespace, host } of server.hosts) {
    // Open to one namespace or to all.
    if (namespace !== '*' && namespace !== node.namespace) continue;
    const own = host.toLowerCase();
    for (const other of theirs) {
      const both = hostIntersection(own, other);
      if (both !== undefined && !shared.includes(both)) shared.push(both);
    }
  }
  return shared;
}
