// The rules themselves, as text for iptables-restore. In: settings. Out: per family and table, chains and rules in order;
// the order is the meaning. Called by `meltemi iptables`.

import { type CaptureSettings, DNS_CAPTURE_PORT, TPROXY_MARK, TPROXY_OUTBOUND_MARK, TUNNEL_PORT } from './settings.ts';

export type Family = 'v4' | 'v6';
export type TableName = 'raw' | 'mangle' | 'nat';

export interface RuleTable {
  readonly name: TableName;
  /** Chains of our own. */
  readonly chains: readonly string[];
  /** `-A CHAIN …` or `-I CHAIN N …`. */
  readonly rules: readonly string[];
}

interface Addresses {
  readonly loopback: string;
  /** Source of what the sidecar hands to its workload. */
  readonly inboundSource: string;
}

export const INBOUND_SOURCE_V6 = '::6/128';

const ADDRESSES: Readonly<Record<Family, Addresses>> = {
  v4: { loopback: '127.0.0.1/32', inboundSource: '127.0.0.6/32' },
  v6: { loopback: '::1/128', inboundSource: INBOUND_SOURCE_V6 },
};

/** Every table of one family; tables without rules are left out. */
export function captureRules(settings: CaptureSettings, family: Family): readonly RuleTable[] {
  const tables = [rawTable(settings, family), mangleTable(settings, family), natTable(settings, family)];
  return tables.filter((table) => table.rules.length > 0);
}

function natTable(settings: CaptureSettings, family: Family): RuleTable {
  const redirectInbound = settings.mode === 'REDIRECT' && settings.includeInboundPorts.length > 0;
  const inbound = redirectInbound ? inboundRules(settings, 'ISTIO_IN_REDIRECT') : [];
  const rules = [
    ...settings.excludeInterfaces.flatMap((name) => [
      `-A PREROUTING -i ${name} -j RETURN`,
      `-A OUTPUT -o ${name} -j RETURN`,
    ]),
    // What a virtual machine sends to ranges that are not captured must not count as inbound either.
    ...settings.rerouteInterfaces.map((name) => `-I PREROUTING 1 -i ${name} -j RETURN`),
    `-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports ${settings.outboundPort}`,
    `-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports ${settings.inboundPort}`,
    ...(redirectInbound
      ? [
          `-A ISTIO_INBOUND -p tcp --dport ${TUNNEL_PORT} -j RETURN`,
          '-A PREROUTING -p tcp -j ISTIO_INBOUND',
          ...inbound,
        ]
      : []),
    '-A OUTPUT -j ISTIO_OUTPUT',
    ...outboundRules(settings, ADDRESSES[family], family),
    ...settings.rerouteInterfaces.flatMap((name) =>
      outboundDestinations(settings, family).map((to) => `-I PREROUTING 1 -i ${name} ${to}-j ISTIO_REDIRECT`),
    ),
  ];
  const chains = ['ISTIO_REDIRECT', 'ISTIO_IN_REDIRECT', 'ISTIO_OUTPUT'];
  if (redirectInbound) chains.push('ISTIO_INBOUND');
  if (settings.captureDns) chains.push('ISTIO_OUTPUT_DNS');
  return { name: 'nat', chains, rules };
}

/** Excluded ports matter where all are captured; a list of ports says itself what is captured. */
function inboundRules(settings: CaptureSettings, target: string): readonly string[] {
  const { includeInboundPorts: include, excludeInboundPorts: exclude } = settings;
  if (include.includes('*')) {
    return [
      ...exclude.map((port) => `-A ISTIO_INBOUND -p tcp --dport ${port} -j RETURN`),
      `-A ISTIO_INBOUND -p tcp -j ${target}`,
    ];
  }
  return include.map((port) => `-A ISTIO_INBOUND -p tcp --dport ${port} -j ${target}`);
}

/** What to match on for traffic to be captured: nothing where all of it is. */
function outboundDestinations({ includeOutboundRanges: ranges }: CaptureSettings, family: Family): readonly string[] {
  return ranges.includes('*') ? [''] : ofFamily(ranges, family).map((range) => `-d ${range} `);
}

function outboundRules(settings: CaptureSettings, at: Addresses, family: Family): readonly string[] {
  const out = (rule: string): string => `-A ISTIO_OUTPUT ${rule}`;
  const { captureDns: dns } = settings;
  const excludedPorts = settings.excludeOutboundPorts.flatMap((port) => [
    out(`-p tcp --dport ${port} -j RETURN`),
    out(`-p udp --dport ${port} -j RETURN`),
  ]);
  return [
    ...excludedPorts,
    // What the sidecar hands to its own workload has been through it.
    out(`-o lo -s ${at.inboundSource} -j RETURN`),
    ...ownTraffic('uid', settings.proxyUid, at, settings),
    ...ownTraffic('gid', settings.proxyGid, at, settings),
    ...ownerGroups(settings),
    ...(dns ? [out('-j ISTIO_OUTPUT_DNS'), ...dnsRedirects(settings, family)] : []),
    // The workload calling itself by a loopback address stays within the pod.
    out(`-d ${at.loopback} -j RETURN`),
    ...ofFamily(settings.excludeOutboundRanges, family).map((range) => out(`-d ${range} -j RETURN`)),
    ...settings.includeOutboundPorts.map((port) => out(`-p tcp --dport ${port} -j ISTIO_REDIRECT`)),
    ...outboundDestinations(settings, family).map((to) => out(`${to}-j ISTIO_REDIRECT`)),
  ];
}

/** The sidecar's own packets: back to its inbound side when it calls its own pod by address, else straight out. */
function ownTraffic(
  kind: 'uid' | 'gid',
  id: string,
  at: Addresses,
  { captureDns: dns, includeOutboundRanges }: CaptureSettings,
): readonly string[] {
  const owner = `-m owner --${kind}-owner ${id}`;
  const notTunnel = dns && kind === 'uid' ? `-m multiport ! --dports 53,${TUNNEL_PORT}` : `! --dport ${TUNNEL_PORT}`;
  const loopback = dns ? `-p tcp ! --dport 53 -m owner ! --${kind}-owner ${id}` : `-m owner ! --${kind}-owner ${id}`;
  return [
    `-A ISTIO_OUTPUT -o lo ! -d ${at.loopback} -p tcp ${notTunnel} ${owner} -j ISTIO_IN_REDIRECT`,
    // An explicit wish for loopback addresses to be captured wins.
    ...(includeOutboundRanges.some(isLoopback) ? [] : [`-A ISTIO_OUTPUT -o lo ${loopback} -j RETURN`]),
    `-A ISTIO_OUTPUT ${owner} -j RETURN`,
  ];
}

function isLoopback(range: string): boolean {
  return range.startsWith('127.') || range === '::1' || range.startsWith('::1/');
}

/** Only groups of applications that were asked for are captured, or all but some. */
function ownerGroups({ includeOwnerGroups: include, excludeOwnerGroups: exclude }: CaptureSettings): readonly string[] {
  if (include.includes('*')) return exclude.map((group) => `-A ISTIO_OUTPUT -m owner --gid-owner ${group} -j RETURN`);
  return [`-A ISTIO_OUTPUT ${include.map((group) => `-m owner ! --gid-owner ${group} `).join('')}-j RETURN`];
}

function dnsRedirects({ dnsServers }: CaptureSettings, family: Family): readonly string[] {
  const servers = ofFamily(dnsServers, family);
  const destinations =
    dnsServers.length === 0 ? [''] : servers.map((server) => ` -d ${server}/${family === 'v4' ? 32 : 128}`);
  return destinations.flatMap((destination) =>
    ['tcp', 'udp'].map(
      (protocol) =>
        `-A ISTIO_OUTPUT_DNS -p ${protocol} --dport 53${destination} -j REDIRECT --to-ports ${DNS_CAPTURE_PORT}`,
    ),
  );
}

/** Conntrack zones keep the two halves of a captured DNS exchange from being taken for one. */
function rawTable({ captureDns, dnsServers, proxyUid, proxyGid }: CaptureSettings, family: Family): RuleTable {
  if (!captureDns) return { name: 'raw', chains: [], rules: [] };
  const owners = [`--uid-owner ${proxyUid}`, `--gid-owner ${proxyGid}`];
  const servers =
    dnsServers.length === 0
      ? ['']
      : ofFamily(dnsServers, family).map((server) => ` -d ${server}/${family === 'v4' ? 32 : 128}`);
  const rules = [
    '-A OUTPUT -j ISTIO_OUTPUT_DNS',
    ...owners.flatMap((owner) => [
      `-A ISTIO_OUTPUT_DNS -p udp --dport 53 -m owner ${owner} -j CT --zone 1`,
      `-A ISTIO_OUTPUT_DNS -p udp --sport ${DNS_CAPTURE_PORT} -m owner ${owner} -j CT --zone 2`,
    ]),
    ...servers.map((server) => `-A ISTIO_OUTPUT_DNS -p udp --dport 53${server} -j CT --zone 2`),
    '-A PREROUTING -j ISTIO_INBOUND',
    ...servers.map((server) => `-A ISTIO_INBOUND -p udp --sport 53${server.replace('-d', '-s')} -j CT --zone 1`),
  ];
  return { name: 'raw', chains: ['ISTIO_OUTPUT_DNS', 'ISTIO_INBOUND'], rules };
}

/**
 * TPROXY keeps the client's address. For that the sidecar runs as root with the proxy's group: what it hands to its
 * workload then has neither the address nor the user that the `nat` rules know it by, and passes as the workload's own.
 */
function mangleTable(settings: CaptureSettings, family: Family): RuleTable {
  const { loopback, inboundSource } = ADDRESSES[family];
  const chains: string[] = [];
  const rules: string[] = [];
  if (settings.dropInvalid) {
    chains.push('ISTIO_DROP');
    rules.push('-A ISTIO_DROP -j DROP', '-A PREROUTING -m conntrack --ctstate INVALID -j ISTIO_DROP');
  }
  if (settings.mode === 'TPROXY' && settings.includeInboundPorts.length > 0) {
    const mark = TPROXY_MARK;
    chains.push('ISTIO_DIVERT', 'ISTIO_TPROXY', 'ISTIO_INBOUND');
    rules.push(
      `-A ISTIO_DIVERT -j MARK --set-mark ${mark}`,
      '-A ISTIO_DIVERT -j ACCEPT',
      `-A ISTIO_TPROXY ! -d ${loopback} -p tcp -j TPROXY --tproxy-mark ${mark}/0xffffffff --on-port ${settings.inboundPort}`,
      `-A ISTIO_INBOUND -p tcp -m mark --mark ${mark} -j RETURN`,
      `-A ISTIO_INBOUND -p tcp -s ${inboundSource} -i lo -j RETURN`,
      `-A ISTIO_INBOUND -p tcp -i lo -m mark ! --mark ${TPROXY_OUTBOUND_MARK} -j RETURN`,
      '-A PREROUTING -p tcp -j ISTIO_INBOUND',
      ...tproxyPorts(settings),
      `-A PREROUTING -p tcp -m mark --mark ${mark} -j CONNMARK --save-mark`,
      `-A OUTPUT -p tcp -o lo -m mark --mark ${mark} -j RETURN`,
      ...[`--uid-owner ${settings.proxyUid}`, `--gid-owner ${settings.proxyGid}`].map(
        (owner) =>
          `-A OUTPUT ! -d ${loopback} -p tcp -o lo -m owner ${owner} -j MARK --set-mark ${TPROXY_OUTBOUND_MARK}`,
      ),
      `-A OUTPUT -p tcp -m connmark --mark ${mark} -j CONNMARK --restore-mark`,
    );
  }
  return { name: 'mangle', chains, rules };
}

/** Packets of connections that Envoy has already are diverted to it, new ones are proxied. */
function tproxyPorts({
  includeInboundPorts: include,
  excludeInboundPorts: exclude,
}: CaptureSettings): readonly string[] {
  const divert = (port: string): readonly string[] => [
    `-A ISTIO_INBOUND -p tcp${port} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT`,
    `-A ISTIO_INBOUND -p tcp${port} -j ISTIO_TPROXY`,
  ];
  if (!include.includes('*')) return include.flatMap((port) => divert(` --dport ${port}`));
  return [...exclude.map((port) => `-A ISTIO_INBOUND -p tcp --dport ${port} -j RETURN`), ...divert('')];
}

function ofFamily(addresses: readonly string[], family: Family): readonly string[] {
  return addresses.filter((address) => address.includes(':') === (family === 'v6'));
}
