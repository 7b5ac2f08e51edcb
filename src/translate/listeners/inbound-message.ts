// `virtualInbound`, and listeners that bind a port of their own, as Envoy reads them. In: ports, modes, a chain context. Out:
// messages. Called by inbound.ts, and by plain-inbound.ts for templates: nothing else of a workload can be read here.

import { lasting } from '../../codec/index.ts';
import type { PolicySet } from '../../ir/policy.ts';
import type { Protocol } from '../../ir/service.ts';
import { protoDuration } from '../../lib/duration.ts';
import { compareNumbers } from '../../lib/order.ts';
import { captureAddresses } from '../addresses.ts';
import { BLACK_HOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER } from '../clusters/names.ts';
import type { ChainContext } from '../context.ts';
import { httpConnectionManager } from '../http/index.ts';
import { bareTcpProxy, networkExtensions, networkFilters } from '../network/index.ts';
import { meshDownstreamTls } from '../security/tls.ts';
import { type InboundChain, inboundChains } from './inbound-modes.ts';
import { type InboundPort, inboundName } from './inbound-plan.ts';
import { inboundRoutes } from './inbound-routes.ts';
import {
  ACCEPTS_PER_EVENT,
  addressFields,
  disabledOn,
  type FilterChain,
  HTTP_INSPECTOR,
  type Listener,
  needsHttpInspector,
  ORIGINAL_DST,
  ORIGINAL_SRC,
  TLS_INSPECTOR,
  TLS_TRANSPORT,
  VIRTUAL_INBOUND,
} from './listener.ts';
import { afterTls } from './protocol.ts';

/** `virtualInbound` as Envoy reads it. Of services nothing is in it but what `ports` say. */
export function capturedInbound(ports: readonly InboundPort[], modes: PortModes, context: ChainContext): Listener {
  const { mesh, proxyClass } = context;
  const captured = ports.filter((port) => !port.bindToPort);
  const chains = [
    guardChain(mesh.proxyInboundListenPort),
    ...passthroughChains(modes, ports, context),
    ...captured.flatMap((port) => portChains(port, modes, context)),
  ];
  return {
    ...inboundListener(
      VIRTUAL_INBOUND,
      captureAddresses(proxyClass.family, mesh),
      mesh.proxyInboundListenPort,
      context,
    ),
    transparent: proxyClass.interception === 'TPROXY' ? true : undefined,
    filterChains: chains,
    listenerFilters: [
      ORIGINAL_DST,
      ...(proxyClass.interception === 'TPROXY' ? [ORIGINAL_SRC] : []),
      ...portInspectors(chains),
    ],
  };
}

/** A listener that binds a port of its own. */
export function boundInbound(port: InboundPort, modes: PortModes, context: ChainContext): Listener {
  const chains = portChains(port, modes, context);
  const inspectors = portInspectors(chains);
  return {
    ...inboundListener(inboundName(port), [port.bind], port.targetPort, context),
    filterChains: chains,
    listenerFilters: inspectors.length === 0 ? undefined : inspectors,
  };
}

function inboundListener(name: string, binds: readonly string[], port: number, context: ChainContext): Listener {
  const { mesh, proxyClass, logs } = context;
  return {
    name,
    ...addressFields(binds, port),
    listenerFiltersTimeout: protoDuration(mesh.protocolDetectionTimeout),
    continueOnListenerFiltersTimeout: true,
    trafficDirection: 'INBOUND',
    maxConnectionsToAcceptPerSocketEvent: ACCEPTS_PER_EVENT,
    connectionBalanceConfig: proxyClass.settings.inboundExactBalance ? { exactBalance: {} } : undefined,
    accessLog: logs.listener,
  };
}

/** What PeerAuthentication says: of the workload, and of single ports. */
export type PortModes = Pick<PolicySet['peerAuthn'], 'mode' | 'portLevel'>;

/** A connection to the proxy's own port would be sent to itself for ever. */
function guardChain(port: number): FilterChain {
  return {
    name: `${VIRTUAL_INBOUND}-blackhole`,
    filterChainMatch: { destinationPort: port },
    filters: [bareTcpProxy(BLACK_HOLE_CLUSTER)],
  };
}

/** Ports that no service has: the workload's mode, or the one that PeerAuthentication gives to the port. */
function passthroughChains(
  { mode, portLevel }: PortModes,
  ports: readonly InboundPort[],
  context: ChainContext,
): readonly FilterChain[] {
  const known = new Set(ports.map(({ targetPort }) => targetPort));
  const alone = [...portLevel].filter(([port]) => !known.has(port)).sort((a, b) => compareNumbers(a[0], b[0]));
  const port: InboundPort = {
    bind: '',
    targetPort: 0,
    servicePort: 0,
    protocol: 'AUTO',
    cluster: INBOUND_PASSTHROUGH_CLUSTER,
    host: '',
    bindToPort: false,
  };
  return [[0, mode] as const, ...alone].flatMap(([targetPort, portMode]) => {
    const filters = filtersOf({ ...port, targetPort }, context, INBOUND_PASSTHROUGH_CLUSTER);
    return inboundChains('AUTO', portMode).map((chain) => {
      const name = chain.http ? `${VIRTUAL_INBOUND}-catchall-http` : VIRTUAL_INBOUND;
      return renderedChain(name, { ...port, targetPort }, chain, context, filters);
    });
  });
}

function portChains(port: InboundPort, modes: PortModes, context: ChainContext): readonly FilterChain[] {
  const mode = modes.portLevel.get(port.targetPort) ?? modes.mode;
  const name = inboundName(port);
  const filters = filtersOf(port, context, `inbound_${name}`);
  return inboundChains(port.protocol, mode).map((chain) => renderedChain(name, port, chain, context, filters));
}

type Filters = NonNullable<FilterChain['filters']>;
type FiltersOfPort = (http: boolean, protocol: Protocol) => Filters;

function renderedChain(
  name: string,
  port: InboundPort,
  chain: InboundChain,
  { mesh, proxyClass }: ChainContext,
  filters: FiltersOfPort,
): FilterChain {
  const destinationPort = port.targetPort === 0 ? undefined : port.targetPort;
  return {
    name,
    filterChainMatch: { destinationPort, ...chain.match },
    filters: filters(chain.http, chain.terminates ? afterTls(port.protocol) : port.protocol),
    transportSocket: chain.terminates ? meshDownstreamTls(mesh, proxyClass) : undefined,
  };
}

/** With and without TLS, what comes is treated the same: each list is made once, and encoded once. */
function filtersOf(port: InboundPort, context: ChainContext, statPrefix: string): FiltersOfPort {
  const made = new Map<string, Filters>();
  return (http, protocol) => {
    const key = `${http} ${protocol}`;
    let filters = made.get(key);
    if (filters === undefined) {
      filters = http ? httpChainFilters(port, protocol, context, statPrefix) : tcpChainFilters(port, protocol, context);
      made.set(key, filters);
    }
    return filters;
  };
}

function httpChainFilters(port: InboundPort, protocol: Protocol, context: ChainContext, statPrefix: string): Filters {
  const { targetPort } = port;
  const manager = httpConnectionManager({
    context,
    statPrefix,
    routes: { kind: 'inline', config: inboundRoutes({ context, ...port }) },
    protocol,
    port: targetPort,
  });
  return [...networkExtensions(context, targetPort), lasting(manager)];
}

function tcpChainFilters({ cluster, targetPort }: InboundPort, protocol: Protocol, context: ChainContext): Filters {
  return networkFilters({ context, target: { clusters: [{ name: cluster, weight: 1 }] }, protocol, port: targetPort });
}

/** Inspectors look only at ports that need them: bytes of the others may never come before the server speaks. */
function portInspectors(chains: readonly FilterChain[]): NonNullable<Listener['listenerFilters']> {
  const tls = new Map<number, boolean>();
  const http = new Map<number, boolean>();
  for (const chain of chains) {
    const match = (chain.filterChainMatch ?? {}) as InboundChain['match'];
    const port = match.destinationPort ?? 0;
    tls.set(port, tls.get(port) === true || match.transportProtocol === TLS_TRANSPORT);
    http.set(port, http.get(port) === true || needsHttpInspector(match));
  }
  return [...tlsInspector(tls), ...httpInspector(http)];
}

/** Port 0 stands for those that have no chain of their own: what they need holds for every port that isn't listed. */
function tlsInspector(needed: ReadonlyMap<number, boolean>): NonNullable<Listener['listenerFilters']> {
  const ports = [...needed].filter(([port]) => port !== 0);
  if (![...needed.values()].includes(true)) return [];
  const everywhere = needed.get(0) === true;
  const listed = ports.filter(([, wanted]) => wanted !== everywhere).map(([port]) => port);
  return [{ filterDisabled: disabledOn(listed, everywhere ? 'listed' : 'others'), ...TLS_INSPECTOR }];
}

function httpInspector(needed: ReadonlyMap<number, boolean>): NonNullable<Listener['listenerFilters']> {
  if (![...needed.values()].includes(true)) return [];
  const without = [...needed].filter(([, wanted]) => !wanted).map(([port]) => port);
  return [{ filterDisabled: disabledOn(without, 'listed'), ...HTTP_INSPECTOR }];
}
