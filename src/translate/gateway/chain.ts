// One encoded filter chain of a gateway listener, and what a listener needs to know of it.

import { encode } from '../../codec/index.ts';
import type { Origin } from '../../ir/draft.ts';
import { Encoded, type Messages } from '../../messages/index.ts';
import { HANDSHAKE_TIMEOUT } from '../listeners/listener.ts';

type FilterChain = Messages['envoy.config.listener.v3.FilterChain'];

export interface GatewayChain {
  /** Names in SNI that select it, sorted; empty: every connection. */
  readonly serverNames: readonly string[];
  readonly applicationProtocols: readonly string[];
  /** The listener has to look into the ClientHello for it. */
  readonly inspected: boolean;
  readonly message: Encoded;
  readonly origins: readonly Origin[];
}

export interface ChainInputs {
  readonly serverNames?: readonly string[] | undefined;
  readonly applicationProtocols?: readonly string[] | undefined;
  readonly filters: NonNullable<FilterChain['filters']>;
  readonly transportSocket?: FilterChain['transportSocket'];
  readonly origins: readonly Origin[];
}

export function gatewayChain(inputs: ChainInputs): GatewayChain {
  const { filters, transportSocket, applicationProtocols = [], serverNames: names = [], origins } = inputs;
  // `*` stands for connections without SNI too, which only a chain without names takes.
  const serverNames = names.includes('*') ? [] : [...new Set(names.map((name) => name.toLowerCase()))].sort();
  const matched = serverNames.length > 0 || applicationProtocols.length > 0;
  const bytes = encode('envoy.config.listener.v3.FilterChain', {
    filterChainMatch: matched
      ? {
          serverNames: serverNames.length > 0 ? serverNames : undefined,
          applicationProtocols: applicationProtocols.length > 0 ? applicationProtocols : undefined,
        }
      : undefined,
    filters,
    transportSocket,
    transportSocketConnectTimeout: HANDSHAKE_TIMEOUT,
  });
  const inspected = names.length > 0 || transportSocket !== undefined;
  return { serverNames, applicationProtocols, inspected, message: new Encoded(bytes), origins };
}

/** What Envoy tells chains apart by: a listener in which one stands twice is refused. */
export function matchKeys({ serverNames, applicationProtocols }: GatewayChain): readonly string[] {
  const protocols = applicationProtocols.length === 0 ? [''] : applicationProtocols;
  const names = serverNames.length === 0 ? [''] : serverNames;
  return names.flatMap((name) => protocols.map((protocol) => `${name} ${protocol}`));
}
