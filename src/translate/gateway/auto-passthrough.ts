// AUTO_PASSTHROUGH servers: mesh TLS from other networks, passed on by the name in its SNI without being opened.
// In: every service that the gateway sees. Out: one chain for each port and subset of those that the server's hosts cover.

import { originOf } from '../../ir/draft.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { DestinationRule, GatewayServer, ScopedService } from '../../ir/traffic.ts';
import { hostSubsetOf } from '../../lib/hosts.ts';
import { memo } from '../../lib/memo.ts';
import { sniClusterName } from '../clusters/names.ts';
import type { ChainContext } from '../context.ts';
import { serviceOrigins } from '../listeners/origins.ts';
import { tcpProxy, tcpSettings } from '../network/index.ts';
import { type GatewayChain, gatewayChain } from './chain.ts';
import { serverOrigin } from './http-chains.ts';

/** Words of mesh TLS: whoever offers none of them did not come from a sidecar, and gets no answer. */
const MESH_PROTOCOLS: readonly string[] = [
  'istio',
  'istio-peer-exchange',
  'istio-http/1.0',
  'istio-http/1.1',
  'istio-h2',
];

export function autoPassthroughChains(
  scope: Scope,
  server: GatewayServer,
  context: ChainContext,
): readonly GatewayChain[] {
  const hosts = server.hosts.map(({ host }) => host);
  return scope.ordered.flatMap((scoped) => {
    const { service } = scoped;
    // Envoy matches whole names and `*.suffix`; a wildcard behind the words of an SNI is neither.
    if (service.hostname.startsWith('*')) return [];
    if (service.meshExternal || !hosts.some((host) => hostSubsetOf(service.hostname, host))) return [];
    return service.ports.flatMap((port) => portChains(scoped, port, server, context));
  });
}

function portChains(
  { service, rule }: ScopedService,
  port: ServicePort,
  server: GatewayServer,
  context: ChainContext,
): readonly GatewayChain[] {
  if (port.protocol === 'UDP') return [];
  const subsets = ['', ...(rule?.subsets ?? []).map((subset) => subset.name ?? '').filter((name) => name !== '')];
  return subsets.map((subset) => sniChain(service, port.number, subset, rule, server, context));
}

/** No authorization: what is inside is not seen here, and the server checks it. */
const sniChain = memo(
  (
    service: Service,
    port: number,
    subset: string,
    rule: DestinationRule | undefined,
    server: GatewayServer,
    context: ChainContext,
  ): GatewayChain => {
    const name = sniClusterName(port, subset, service.hostname);
    const settings = tcpSettings(rule, subset);
    return gatewayChain({
      serverNames: [name],
      applicationProtocols: MESH_PROTOCOLS,
      filters: [
        tcpProxy(context, {
          clusters: [{ name, weight: 1 }],
          settings: settings && { ...settings, tunnel: undefined },
        }),
      ],
      origins: [
        serverOrigin(server),
        ...serviceOrigins(service),
        ...(rule?.objects ?? []).map((object) => originOf(object)),
      ],
    });
  },
);
