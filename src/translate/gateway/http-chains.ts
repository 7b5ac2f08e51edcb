// HTTP chains of gateway listeners: plain text, and HTTPS that ends here.

import { slot, type Template, template } from '../../codec/index.ts';
import { originOf } from '../../ir/draft.ts';
import { type Protocol } from '../../ir/service.ts';
import type { GatewayServer } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { Encoded } from '../../messages/index.ts';
import type { ChainContext } from '../context.ts';
import { extension } from '../envoy.ts';
import { FREE_SLOT, frameOf } from '../frame.ts';
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
  const { targetPort, routeName } = server;
  const { context: shared, names } = frameOf(context);
  const made = managers(shared, insideTls(server.protocol), targetPort, quic);
  const manager = made.fill(...names, statPrefix, routeName);
  return [...networkExtensions(context, targetPort), new Encoded(manager)];
}

/** Connection managers of thousands of servers, which differ in their names alone. */
const managers = memo((context: ChainContext, protocol: Protocol, port: number, quic: boolean): Template => {
  const routes = { kind: 'rds', name: slot(FREE_SLOT + 1) } as const;
  const manager = httpConnectionManager({ context, statPrefix: slot(FREE_SLOT), routes, protocol, port, quic });
  return template('envoy.config.listener.v3.Filter', manager);
});

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
