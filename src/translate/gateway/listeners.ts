// Listeners of gateways (LDS): one for each address and port of the merged Gateways.
// In: the scope of a router, the drafts made before. Out: drafts by name. Called by ../index.ts.
// Chains are encoded once for their own inputs; a listener is its chains' bytes one after the other.

import { encode } from '../../codec/index.ts';
import { isDualStack } from '../../config/features.ts';
import type { Draft, Origin } from '../../ir/draft.ts';
import { TYPE_URL } from '../../ir/draft.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { GatewayPort, GatewayServer } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import { stamp } from '../../lib/stamp.ts';
import { keepList, sameList } from '../../lib/table.ts';
import type { Messages } from '../../messages/index.ts';
import { wildcards } from '../addresses.ts';
import { type ChainContext, gatewayContext } from '../context.ts';
import { uniqueOrigins } from '../draft.ts';
import { extension } from '../envoy.ts';
import { connectionSettings } from '../http/connection-settings.ts';
import { proxyHeaders } from '../http/headers.ts';
import { ACCEPTS_PER_EVENT, addressFields, canBind, listenerName, TLS_INSPECTOR } from '../listeners/listener.ts';
import { contextOrigins } from '../listeners/origins.ts';
import { autoPassthroughChains } from './auto-passthrough.ts';
import { type GatewayChain, matchKeys } from './chain.ts';
import { httpsChain, plainHttpChain, quicChain } from './http-chains.ts';
import { forwardingChains, passthroughChains } from './l4-chains.ts';

type Listener = Messages['envoy.config.listener.v3.Listener'];
type ListenerFilter = Messages['envoy.config.listener.v3.ListenerFilter'];

/** The drafts by name; `previous` are those that the class had, kept where nothing in them changed. */
export function gatewayListeners(scope: Scope, previous: readonly Draft[] = []): readonly Draft[] {
  const { gateway, proxyClass } = scope;
  if (gateway === undefined) return [];
  const context = gatewayContext(scope);
  const inputs = [context, proxyClass, scope.mesh, gateway.ports];
  if (sameList(madeFrom.get(previous) ?? NOTHING, inputs)) return previous;
  const before = new Map(previous.map((draft) => [draft.name, draft]));
  const outlines = new Map<string, Outline>();
  for (const port of gateway.ports) {
    const any = wildcards(proxyClass.family);
    const binds = port.bind === '' ? (isDualStack(scope.mesh) ? any : any.slice(0, 1)) : [port.bind];
    const bind = binds[0] ?? '';
    if (!canBind(proxyClass.settings, bind, port.targetPort, [])) continue;
    const name = listenerName(bind, port.targetPort);
    const outlineOf = (key: string, quic: boolean): Outline => {
      const outline = outlines.get(key) ?? { name: key, binds, port: port.targetPort, quic, chains: [] };
      outlines.set(key, outline);
      return outline;
    };
    outlineOf(name, false).chains.push(...chainsOf(scope, port, context, name));
    for (const server of port.servers)
      if (server.quic === true) outlineOf(`udp_${name}`, true).chains.push(quicChain(server, context, name));
  }
  const drafts = [...outlines.values()]
    .sort((a, b) => compareStrings(a.name, b.name))
    .flatMap((outline) => listenerDraft(outline, context, before.get(outline.name)) ?? []);
  const all = keepList(previous, drafts);
  madeFrom.set(all, gateway.ports.every(hasRoutesElsewhere) ? inputs : NOTHING);
  return all;
}

/** What drafts were made from; nothing for those that depend on VirtualServices too. */
const madeFrom = stamp<readonly Draft[], readonly unknown[]>();

const NOTHING: readonly unknown[] = [];

/** Its connection managers ask for their routes: nothing that is bound to the Gateway shows in the listener. */
function hasRoutesElsewhere({ class: kind, servers }: GatewayPort): boolean {
  return kind === 'HTTP' || servers.every((server) => server.routeName !== '');
}

/** A listener before it is put together. */
interface Outline {
  readonly name: string;
  readonly binds: readonly string[];
  readonly port: number;
  readonly quic: boolean;
  readonly chains: GatewayChain[];
}

function chainsOf(scope: Scope, port: GatewayPort, context: ChainContext, name: string): readonly GatewayChain[] {
  const [first] = port.servers;
  if (port.class === 'HTTP') return first === undefined ? [] : [plainHttpChain(first, context, name)];
  return port.servers.flatMap((server) => serverChains(scope, server, context, name));
}

function serverChains(
  scope: Scope,
  server: GatewayServer,
  context: ChainContext,
  name: string,
): readonly GatewayChain[] {
  if (server.routeName !== '') return [httpsChain(server, context, name)];
  if (server.server.tls === undefined) return forwardingChains(scope, server, context);
  switch (server.server.tls.mode ?? 'PASSTHROUGH') {
    case 'PASSTHROUGH':
      return passthroughChains(scope, server, context);
    case 'AUTO_PASSTHROUGH':
      return autoPassthroughChains(scope, server, context);
    case 'SIMPLE':
    case 'MUTUAL':
    case 'OPTIONAL_MUTUAL':
    case 'ISTIO_MUTUAL':
      return forwardingChains(scope, server, context);
  }
}

interface Parts {
  readonly context: ChainContext;
  readonly chains: readonly GatewayChain[];
  readonly binds: readonly string[];
}

const partsOf = stamp<Draft, Parts>();

/** Undefined without chains: Envoy refuses an empty listener. */
function listenerDraft(outline: Outline, context: ChainContext, before: Draft | undefined): Draft | undefined {
  const { name, binds, port, quic, chains } = outline;
  const old = before === undefined ? undefined : partsOf.get(before);
  if (old?.context === context && sameList(old.chains, chains) && sameText(old.binds, binds)) return before;
  const { kept, lost } = distinct(chains);
  if (kept.length === 0) return undefined;
  const filters = quic ? [] : listenerFilters(kept, context);
  const bytes = encode('envoy.config.listener.v3.Listener', {
    name,
    ...addressFields(binds, port, quic ? 'UDP' : undefined),
    ...(quic ? QUIC : {}),
    filterChains: kept.map((chain) => chain.message),
    listenerFilters: filters.length === 0 ? undefined : filters,
    trafficDirection: 'OUTBOUND',
    perConnectionBufferLimitBytes: connectionSettings(context.proxyClass).listenerBuffer,
    maxConnectionsToAcceptPerSocketEvent: quic ? undefined : ACCEPTS_PER_EVENT,
    accessLog: context.logs.listener,
  });
  const draft: Draft = {
    typeUrl: TYPE_URL.listener,
    name,
    bytes,
    // Put in order when somebody asks: there may be thousands of chains.
    get origins(): readonly Origin[] {
      return originsOf(kept, lost, contextOrigins(context));
    },
  };
  partsOf.set(draft, { context, chains: [...chains], binds });
  return draft;
}

/** Every thread has a socket of its own: datagrams of one connection stay with one thread. */
const QUIC: Partial<Listener> = {
  udpListenerConfig: { downstreamSocketConfig: {}, quicOptions: {} },
  enableReusePort: true,
};

const originsOf = memo(
  (kept: readonly GatewayChain[], lost: readonly Origin[], policies: readonly Origin[]): readonly Origin[] =>
    uniqueOrigins([...kept.flatMap((chain) => chain.origins), ...lost, ...policies]),
);

function sameText(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}

function listenerFilters(chains: readonly GatewayChain[], context: ChainContext): readonly ListenerFilter[] {
  return [
    // First: it takes off the header in front of what the others look at.
    ...(proxyHeaders(context.proxyClass).proxyProtocol ? [PROXY_PROTOCOL] : []),
    ...(chains.some((chain) => chain.inspected) ? [TLS_INSPECTOR] : []),
  ];
}

const PROXY_PROTOCOL: ListenerFilter = extension(
  'envoy.filters.listener.proxy_protocol',
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  {},
);

/** Envoy refuses a listener with two chains for one match: the older keeps it. */
function distinct(chains: readonly GatewayChain[]): {
  readonly kept: readonly GatewayChain[];
  readonly lost: readonly Origin[];
} {
  const taken = new Set<string>();
  const lost: Origin[] = [];
  const kept = chains.filter((chain) => {
    const keys = matchKeys(chain);
    const free = keys.every((key) => !taken.has(key));
    if (free) for (const key of keys) taken.add(key);
    else lost.push(...chain.origins.slice(1).map((origin) => ({ ...origin, lost: 'its server names are taken' })));
    return free;
  });
  return { kept, lost };
}
