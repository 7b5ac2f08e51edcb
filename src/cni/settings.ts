// What traffic of a network namespace goes through its sidecar.

export interface CaptureSettings {
  readonly mode: 'REDIRECT' | 'TPROXY';
  /** Envoy's outbound and inbound capture ports. */
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** Traffic of this user and group is the sidecar's own. */
  readonly proxyUid: string;
  readonly proxyGid: string;
  /** `*` or a list of ports; nothing = no inbound capture. */
  readonly includeInboundPorts: readonly string[];
  readonly excludeInboundPorts: readonly string[];
  /** `*` or CIDRs. */
  readonly includeOutboundRanges: readonly string[];
  readonly excludeOutboundRanges: readonly string[];
  readonly includeOutboundPorts: readonly string[];
  readonly excludeOutboundPorts: readonly string[];
  /** `*` or the groups whose traffic alone is captured; some groups may be left out of `*`. */
  readonly includeOwnerGroups: readonly string[];
  readonly excludeOwnerGroups: readonly string[];
  readonly excludeInterfaces: readonly string[];
  /** Interfaces of virtual machines behind this namespace: their traffic counts as outbound. */
  readonly rerouteInterfaces: readonly string[];
  readonly captureDns: boolean;
  /** Resolvers whose traffic is captured; empty with `captureDns` = all of port 53. */
  readonly dnsServers: readonly string[];
  readonly dropInvalid: boolean;
  readonly ipv6: boolean;
}

export const CAPTURE_DEFAULTS: CaptureSettings = {
  mode: 'REDIRECT',
  outboundPort: 15001,
  inboundPort: 15006,
  proxyUid: '1337',
  proxyGid: '1337',
  includeInboundPorts: ['*'],
  excludeInboundPorts: ['15020', '15021', '15090'],
  includeOutboundRanges: ['*'],
  excludeOutboundRanges: [],
  includeOutboundPorts: [],
  excludeOutboundPorts: [],
  includeOwnerGroups: ['*'],
  excludeOwnerGroups: [],
  excludeInterfaces: [],
  rerouteInterfaces: [],
  captureDns: false,
  dnsServers: [],
  dropInvalid: false,
  ipv6: false,
};

export const DNS_CAPTURE_PORT = 15053;
/** Port of the mesh's own tunnels, never captured. */
export const TUNNEL_PORT = 15008;
export const TPROXY_MARK = '1337';
export const TPROXY_OUTBOUND_MARK = '1338';
export const TPROXY_ROUTE_TABLE = '133';
