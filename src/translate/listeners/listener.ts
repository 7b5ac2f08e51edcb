// What every listener of a sidecar has in common: names, inspectors, fallback chain, limits.

import type { ProxySettings } from '../../ir/proxy.ts';
import { compareNumbers } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';
import { isWildcardAddress } from '../addresses.ts';
import { constantExtension, socketAddress, UNIX_PREFIX } from '../envoy.ts';

export type Listener = Messages['envoy.config.listener.v3.Listener'];
export type FilterChain = Messages['envoy.config.listener.v3.FilterChain'];
export type FilterChainMatch = Messages['envoy.config.listener.v3.FilterChainMatch'];
export type Filter = Messages['envoy.config.listener.v3.Filter'];
type ListenerFilter = Messages['envoy.config.listener.v3.ListenerFilter'];
type Predicate = Messages['envoy.config.listener.v3.ListenerFilterChainMatchPredicate'];

export const LISTENER = 'envoy.config.listener.v3.Listener';

/** A listener with its parts known: what EnvoyFilters and the encoder are given. */
export const VIRTUAL_OUTBOUND = 'virtualOutbound';
export const VIRTUAL_INBOUND = 'virtualInbound';

export const TLS_TRANSPORT = 'tls';
export const RAW_TRANSPORT = 'raw_buffer';

/** `BIND_PORT`, also for sockets, of which the port is 0. */
export function listenerName(bind: string, port: number): string {
  return `${bind}_${port}`;
}

/** Labels of the HTTP inspector for plain text. HTTP/1.0 is not told apart: its servers may close to end a message. */
export const PLAINTEXT_PROTOCOLS: readonly string[] = ['http/1.1', 'h2c'];

/** Clients that connect and send nothing must not starve others: one accept per wake-up. */
export const ACCEPTS_PER_EVENT = 1;

/** Time for a TLS handshake with a client of this host. */
export const HANDSHAKE_TIMEOUT = '15s';

export function addressFields(
  binds: readonly string[],
  port: number,
  protocol?: 'UDP',
): Pick<Listener, 'address' | 'additionalAddresses'> {
  const [main = '', ...further] = binds;
  return {
    address: socketAddress(main, port, protocol),
    additionalAddresses:
      further.length === 0
        ? undefined
        : further.map((address) => ({ address: socketAddress(address, port, protocol) })),
  };
}

export const ORIGINAL_DST: ListenerFilter = constantExtension(
  'envoy.filters.listener.original_dst',
  'envoy.extensions.filters.listener.original_dst.v3.OriginalDst',
  {},
);

/** The mark by which capture rules know what the proxy sent with a client's address. */
const ORIGINAL_SRC_MARK = 1337;

export const ORIGINAL_SRC: ListenerFilter = constantExtension(
  'envoy.filters.listener.original_src',
  'envoy.extensions.filters.listener.original_src.v3.OriginalSrc',
  { mark: ORIGINAL_SRC_MARK },
);

/** Small on purpose: a ClientHello that is larger makes the inspector read on by itself. */
const INSPECTOR_BUFFER = 512;

export const TLS_INSPECTOR: ListenerFilter = constantExtension(
  'envoy.filters.listener.tls_inspector',
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  { initialReadBufferSize: INSPECTOR_BUFFER },
);

export const HTTP_INSPECTOR: ListenerFilter = constantExtension(
  'envoy.filters.listener.http_inspector',
  'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
  {},
);

/** Inspectors that the chains need; HTTP after TLS, which it leaves alone once it is found. */
export function inspectorsFor(chains: readonly FilterChainMatch[]): readonly ListenerFilter[] {
  const filters: ListenerFilter[] = [];
  if (chains.some((match) => (match.serverNames ?? []).length > 0 || match.transportProtocol === TLS_TRANSPORT)) {
    filters.push(TLS_INSPECTOR);
  }
  if (chains.some(needsHttpInspector)) filters.push(HTTP_INSPECTOR);
  return filters;
}

export function needsHttpInspector({ applicationProtocols }: FilterChainMatch): boolean {
  return (applicationProtocols ?? []).some((protocol) => protocol === 'http/1.1' || protocol === 'h2c');
}

/** The predicate by which an inspector is off on the given ports, or on every other one. */
export function disabledOn(ports: readonly number[], mode: 'listed' | 'others'): Predicate | undefined {
  const sorted = [...ports].sort(compareNumbers);
  const rules = sorted.map((port): Predicate => ({ destinationPortRange: { start: port, end: port + 1 } }));
  const [first] = rules;
  const listed = rules.length > 1 ? { orMatch: { rules } } : first;
  if (mode === 'listed' || listed === undefined) return listed;
  return { notMatch: listed };
}

type BindSettings = Pick<ProxySettings, 'unprivileged' | 'statusPort' | 'prometheusPort'>;

/** False for ports that a real bind can't have: privileged ones, and those of the proxy itself. */
export function canBind(settings: BindSettings, bind: string, port: number, own: readonly number[]): boolean {
  if (bind.startsWith(UNIX_PREFIX)) return true;
  if (settings.unprivileged && isPrivileged(bind, port)) return false;
  if (!isWildcardAddress(bind)) return true;
  return ![settings.statusPort, settings.prometheusPort, ...own].includes(port);
}

/** Ports that only root may bind. */
export function isPrivileged(bind: string, port: number): boolean {
  return port < 1024 && !bind.startsWith(UNIX_PREFIX);
}
