// The listener that capture rules send everything to, and the chain that takes what no listener knows.

import { encode, type Template, template } from '../../codec/index.ts';
import { type Draft, TYPE_URL } from '../../ir/draft.ts';
import type { DestinationRule, OutboundPolicy } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { captureAddresses } from '../addresses.ts';
import { anyDnsCache } from '../clusters/discovery.ts';
import { BLACK_HOLE_CLUSTER, outboundClusterName, PASSTHROUGH_CLUSTER } from '../clusters/names.ts';
import type { ChainContext, L4Context } from '../context.ts';
import { uniqueOrigins } from '../draft.ts';
import { frameOf } from '../frame.ts';
import { proxyHeaders } from '../http/headers.ts';
import { httpConnectionManager } from '../http/index.ts';
import { bareTcpProxy, type TcpTarget, tcpProxy, tcpSettings } from '../network/index.ts';
import { dynamicDnsRoutes } from './dynamic-dns.ts';
import {
  ACCEPTS_PER_EVENT,
  addressFields,
  type FilterChain,
  HTTP_INSPECTOR,
  LISTENER,
  type Listener,
  PLAINTEXT_PROTOCOLS,
  VIRTUAL_OUTBOUND,
} from './listener.ts';

/** Where connections go that no service is known for. */
export function catchAllTarget(policy: OutboundPolicy, rule: DestinationRule | undefined): TcpTarget {
  const { egressProxy } = policy;
  if (egressProxy !== undefined) {
    const { host, port, subset } = egressProxy;
    const name = outboundClusterName(port, subset, host);
    return { clusters: [{ name, weight: 1 }], settings: tcpSettings(rule, subset) };
  }
  const name = policy.mode === 'REGISTRY_ONLY' ? BLACK_HOLE_CLUSTER : PASSTHROUGH_CLUSTER;
  return { clusters: [{ name, weight: 1 }] };
}

/** `default_filter_chain` of per-port listeners: bytes that are nobody's still flow, or are stopped on purpose. */
export function passthroughChain(context: L4Context, target: TcpTarget): FilterChain {
  return { name: 'PassthroughFilterChain', filterChainMatch: {}, filters: [tcpProxy(context, target)] };
}

/** `virtualOutbound`. */
export function virtualOutbound(of: ChainContext, { mode, egressProxy }: OutboundPolicy, target: TcpTarget): Draft {
  const { context, names } = frameOf(of);
  const dynamic = mode === 'ALLOW_ANY_DYNAMIC_DNS' && egressProxy === undefined;
  const bytes =
    context === of ? encode(LISTENER, listenerOf(of, dynamic, target)) : made(context, dynamic, target).fill(...names);
  return { typeUrl: TYPE_URL.listener, name: VIRTUAL_OUTBOUND, bytes, origins: uniqueOrigins(of.origins) };
}

const made = memo(
  (context: ChainContext, dynamic: boolean, target: TcpTarget): Template =>
    template(LISTENER, listenerOf(context, dynamic, target)),
);

function listenerOf(context: ChainContext, dynamic: boolean, target: TcpTarget): Listener {
  const { mesh, proxyClass } = context;
  const guard: FilterChain = {
    // A connection to the proxy's own port would be sent to itself for ever.
    name: `${VIRTUAL_OUTBOUND}-blackhole`,
    filterChainMatch: { destinationPort: mesh.proxyListenPort },
    filters: [bareTcpProxy(BLACK_HOLE_CLUSTER)],
  };
  const http = (): FilterChain => ({
    name: `${VIRTUAL_OUTBOUND}-catchall-tcp-http`,
    filterChainMatch: { applicationProtocols: PLAINTEXT_PROTOCOLS },
    filters: [dynamicDnsManager(context)],
  });
  const rest: FilterChain = { name: `${VIRTUAL_OUTBOUND}-catchall-tcp`, filters: [tcpProxy(context, target)] };
  return {
    name: VIRTUAL_OUTBOUND,
    ...addressFields(captureAddresses(proxyClass.family, mesh), mesh.proxyListenPort),
    useOriginalDst: true,
    transparent: proxyClass.interception === 'TPROXY' ? true : undefined,
    filterChains: dynamic ? [guard, http(), rest] : [guard, rest],
    listenerFilters: dynamic ? [HTTP_INSPECTOR] : undefined,
    trafficDirection: 'OUTBOUND',
    maxConnectionsToAcceptPerSocketEvent: ACCEPTS_PER_EVENT,
    accessLog: context.logs.listener,
  };
}

function dynamicDnsManager(context: ChainContext): NonNullable<FilterChain['filters']>[number] {
  return httpConnectionManager({
    context,
    statPrefix: `outbound_${VIRTUAL_OUTBOUND}_allow_any_dynamic_dns`,
    routes: {
      kind: 'inline',
      config: dynamicDnsRoutes(proxyHeaders(context.proxyClass).attemptCount, context.proxyClass.dialect),
    },
    protocol: 'HTTP',
    port: context.mesh.proxyListenPort,
    dnsCaches: [anyDnsCache(context.proxyClass.family, context.mesh, context.proxyClass.settings.dnsProxy)],
  });
}
