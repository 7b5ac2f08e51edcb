// A VirtualService on a server of a Gateway: the hosts that both have, and its routes there.
// In: both, and what of a scope routes depend on. Out: encoded routes. Called by gateway-hosts.ts; rendered by ../routes, once
// for all gateways that agree on the inputs.

import type { Destination } from '../../config/generated/types.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { GatewayServer, VirtualService } from '../../ir/traffic.ts';
import { tableGet } from '../../lib/table.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { proxyHeaders } from '../http/headers.ts';
import { destinationHash } from '../routes/hash-policy.ts';
import type { Target } from '../routes/settings.ts';
import { destinationsOf, type RouteList, virtualServiceRoutes } from '../routes/virtual-service.ts';
import { sharedHosts } from './hosts.ts';

/** What of a scope the routes of one route name are made from, beside its servers and VirtualServices. */
export type RouteScope = Pick<Scope, 'proxyClass' | 'mesh' | 'services'>;

export interface BoundRoutes {
  readonly hosts: readonly string[];
  readonly list: RouteList;
}

/** Undefined where they have no host in common. */
export function boundRoutes(scope: RouteScope, node: VirtualService, server: GatewayServer): BoundRoutes | undefined {
  const hosts = sharedHosts(server, node);
  return hosts.length === 0 ? undefined : { hosts, list: routesFor(scope, server, node) };
}

/** Whether routes of the VirtualService lead to one of the hosts: services are nothing else to it. */
export function leadsTo(node: VirtualService, hosts: ReadonlySet<string>): boolean {
  return destinationsOf(node).some(({ host = '' }) => hosts.has(host));
}

function routesFor(scope: RouteScope, server: GatewayServer, node: VirtualService): RouteList {
  const { proxyClass, mesh } = scope;
  const { namespace, labels, dialect } = proxyClass;
  const audience = { gateway: server.gatewayName, port: server.port, namespace, labels };
  const { forwardedHost } = proxyHeaders(proxyClass);
  const sessions = mesh.features?.persistentSessions === true;
  const defaults = { retries: mesh.defaultHttpRetryPolicy, forwardedHost, dialect, sessions };
  return virtualServiceRoutes(node, audience, server.server.tls !== undefined, defaults, (to) =>
    targetOf(scope, server.port, to),
  );
}

/** The port that a destination means: the one it names, else the service's only one, else that of the server. */
function targetOf({ services, mesh }: RouteScope, serverPort: number, destination: Destination): Target {
  const host = destination.host ?? '';
  if (host === '') return { cluster: 'UnknownService', hash: undefined, session: undefined };
  const scoped = tableGet(services, host);
  const ports = scoped?.service.ports ?? [];
  const port = destination.port?.number ?? (ports.length === 1 ? ports[0]?.number : undefined) ?? serverPort;
  const cluster = outboundClusterName(port, destination.subset ?? '', scoped?.service.externalName ?? host);
  const session = mesh.features?.persistentSessions === true ? scoped?.service.persistentSession : undefined;
  return { cluster, hash: destinationHash(scoped?.rule, destination), session };
}
