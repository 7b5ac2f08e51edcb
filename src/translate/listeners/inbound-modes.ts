// Which connections a workload's port takes, by its protocol and its mTLS mode: one table.

import type { MtlsMode } from '../../ir/policy.ts';
import { isHttp, type Protocol } from '../../ir/service.ts';
import { type FilterChainMatch, PLAINTEXT_PROTOCOLS, RAW_TRANSPORT, TLS_TRANSPORT } from './listener.ts';

/** One filter chain of a port. */
export interface InboundChain {
  readonly match: FilterChainMatch;
  /** TLS ends here; else bytes go on as they are. */
  readonly terminates: boolean;
  readonly http: boolean;
}

type PortClass = 'http' | 'tcp' | 'auto';

/** What clients of the mesh offer for HTTP, as far as they know that it is. */
const MESH_HTTP: readonly string[] = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
/** What they offer for anything else. */
const MESH_TCP: readonly string[] = ['istio-peer-exchange', 'istio'];
const MESH_ANY: readonly string[] = ['istio', 'istio-peer-exchange', ...MESH_HTTP];

const TLS: FilterChainMatch = { transportProtocol: TLS_TRANSPORT };
const RAW: FilterChainMatch = { transportProtocol: RAW_TRANSPORT };

function offering(applicationProtocols: readonly string[]): FilterChainMatch {
  return { applicationProtocols, ...TLS };
}

function portClass(protocol: Protocol): PortClass {
  if (isHttp(protocol)) return 'http';
  return protocol === 'AUTO' ? 'auto' : 'tcp';
}

/** Chains in order; Envoy picks by match, not by order. */
export function inboundChains(protocol: Protocol, mode: MtlsMode): readonly InboundChain[] {
  const plain: FilterChainMatch = { applicationProtocols: PLAINTEXT_PROTOCOLS, ...RAW };
  return TABLE[portClass(protocol)][mode](plain);
}

const http = (match: FilterChainMatch, terminates: boolean): InboundChain => ({ match, terminates, http: true });
const tcp = (match: FilterChainMatch, terminates: boolean): InboundChain => ({ match, terminates, http: false });

const TABLE: Readonly<
  Record<PortClass, Readonly<Record<MtlsMode, (plain: FilterChainMatch) => readonly InboundChain[]>>>
> = {
  http: {
    // Without a chain for plain text, it is reset.
    STRICT: () => [http(TLS, true)],
    PERMISSIVE: () => [http(offering(MESH_ANY), true), http(RAW, false)],
    DISABLE: () => [http(RAW, false)],
  },
  tcp: {
    STRICT: () => [tcp(TLS, true)],
    // TLS that is not the mesh's own belongs to the application.
    PERMISSIVE: () => [tcp(offering(MESH_ANY), true), tcp(TLS, false), tcp(RAW, false)],
    DISABLE: () => [tcp(RAW, false)],
  },
  auto: {
    STRICT: () => [http(offering(MESH_HTTP), true), tcp(TLS, true)],
    PERMISSIVE: (plain) => [
      http(offering(MESH_HTTP), true),
      http(plain, false),
      tcp(offering(MESH_TCP), true),
      tcp(RAW, false),
      tcp(TLS, false),
    ],
    DISABLE: (plain) => [http(plain, false), tcp(RAW, false)],
  },
};
