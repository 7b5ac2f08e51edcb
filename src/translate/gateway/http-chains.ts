// HTTP chains of gateway listeners: plain text, and HTTPS that ends here.

import { originOf } from '../../ir/draft.ts';
import { type Protocol } from '../../ir/service.ts';
import type { GatewayServer } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import type { ChainContext } from '../context.ts';
import { extension } from '../envoy.ts';
import { httpConnectionManager } from '../http/index.ts';
import { networkExtensions } from '../network/index.ts';
import { ALPN_HTTP3, downstreamTls, downstreamTlsContext } from '../security/tls.ts';
import { type GatewayChain, gatewayChain } from './chain.ts';

/** The chain of all plaintext servers of a port: the first names their routes, which all of them share. */
export const plainHttpChain = memo(
  (server: GatewayServer, context: ChainContext, listener: string): GatewayChain =>
    gatewayChain({ filters: httpFilters(server, context, `outbound_${listener}`), origins: [serverOrigin(server)] }),
);

/** The chain of one server that terminates HTTPS. */
export const httpsChain = memo((server: GatewayServer, context: ChainContext, listener: string): GatewayChain => {
  const statPrefix = server.server.name || `outbound_${listener}`;
  return gatewayChain({
    serverNames: server.hosts.map(({ host }) => host),
    filters: httpFilters(server, context, statPrefix),
    transportSocket: serverTls(server, context),
    origins: [serverOrigin(server)],
  });
});

/** The same server over QUIC, where TLS is part of the transport. */
export const quicChain = memo((server: GatewayServer, context: ChainContext, listener: string): GatewayChain => {
  const { mesh, proxyClass } = context;
  const { tls = {} } = server.server;
  return gatewayChain({
    serverNames: server.hosts.map(({ host }) => host),
    filters: httpFilters(server, context, server.server.name || `outbound_${listener}`, true),
    transportSocket: extension(
      'envoy.transport_sockets.quic',
      'envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport',
      { downstreamTlsContext: downstreamTlsContext({ tls, mesh, proxyClass, alpn: ALPN_HTTP3 }) },
    ),
    origins: [serverOrigin(server)],
  });
});

export function serverTls(
  { server }: GatewayServer,
  { mesh, proxyClass }: ChainContext,
): ReturnType<typeof downstreamTls> {
  return server.tls === undefined ? undefined : downstreamTls({ tls: server.tls, mesh, proxyClass });
}

export function serverOrigin({ gateway, index }: GatewayServer): ReturnType<typeof originOf> {
  return originOf(gateway, `spec.servers[${index}]`);
}

function httpFilters(server: GatewayServer, context: ChainContext, statPrefix: string, quic = false): GatewayFilters {
  const manager = httpConnectionManager({
    context,
    statPrefix,
    routes: { kind: 'rds', name: server.routeName },
    protocol: insideTls(server.protocol),
    port: server.targetPort,
    quic,
  });
  return [...networkExtensions(context, server.targetPort), manager];
}

type GatewayFilters = Parameters<typeof gatewayChain>[0]['filters'];

const HTTP_PROTOCOLS: ReadonlyMap<string, Protocol> = new Map<string, Protocol>([
  ['HTTP2', 'HTTP2'],
  ['GRPC', 'GRPC'],
  ['GRPC-WEB', 'GRPC-Web'],
]);

/** What is spoken once TLS is taken off. */
function insideTls(protocol: string): Protocol {
  return HTTP_PROTOCOLS.get(protocol.toUpperCase()) ?? 'HTTP';
}
