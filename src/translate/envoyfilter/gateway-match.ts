// What a gateway's routes are matched by: their name tells the port on which the gateway listens, users name the ports
// of its servers. In: the merged gateways, a route name. Out: flat text for matching. Called by index.ts.

import type { MergedGateway } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { compareNumbers } from '../../lib/order.ts';

/**
 * `PORT,PORT PORTNAME NAMESPACE/NAME`. Routes for plain HTTP are shared by all servers of a port and have neither name nor
 * Gateway; those for HTTPS are of one server: `https.PORT.PORTNAME.GATEWAY.NAMESPACE`.
 */
export function gatewayOfRoutes(gateway: MergedGateway, routeName: string): string {
  const [scheme, number = '', ...rest] = routeName.split('.');
  const servers = serverPorts(gateway).get(Number(number));
  const ports = servers?.join(',') ?? number;
  const [server] = scheme === 'https' ? (gateway.routes.get(routeName) ?? []) : [];
  if (server !== undefined) return `${ports} ${server.server.port?.name ?? ''} ${server.gatewayName}`;
  return `${ports} ${rest[0] ?? ''} `;
}

/** By the port on which the pod listens. */
const serverPorts = memo((gateway: MergedGateway): ReadonlyMap<number, readonly number[]> => {
  const ports = new Map<number, Set<number>>();
  for (const { targetPort, servers } of gateway.ports) {
    const known = ports.get(targetPort) ?? new Set();
    ports.set(targetPort, known);
    for (const { port } of servers) known.add(port);
  }
  return new Map([...ports].map(([targetPort, known]) => [targetPort, [...known].sort(compareNumbers)]));
});
