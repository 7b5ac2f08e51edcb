// The Gateways of one router, merged: which servers it has on which ports, after conflicts are settled.
// Servers are taken oldest Gateway first; one that can not share its port with those before it is left out and reported.

import type { GatewaySpec, Server } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import type { GatewayTarget, ProxyClass } from '../ir/proxy.ts';
import { isHttp } from '../ir/service.ts';
import type { GatewayPort, GatewayServer } from '../ir/traffic.ts';
import { compareNumbers } from '../lib/order.ts';
import { protocolByName } from '../registry/protocol.ts';
import { selects } from './selection.ts';

export type GatewayObject = ConfigObject<GatewaySpec>;

/** Names the Services that a Gateway is bound to, instead of a selector of pods. */
export const GATEWAY_SERVICE_ANNOTATION = 'internal.istio.io/gateway-service';
const PARENT_NAMESPACE_ANNOTATION = 'internal.istio.io/parent-namespace';

export interface MergedServers {
  readonly ports: readonly GatewayPort[];
  readonly routes: ReadonlyMap<string, readonly GatewayServer[]>;
  readonly hasAutoPassthrough: boolean;
  readonly findings: readonly Finding[];
}

/** The Gateways that apply to the class, in the order given. */
export function gatewaysOf(
  gateways: readonly GatewayObject[],
  proxyClass: ProxyClass,
  ownNamespaceOnly: boolean,
): readonly GatewayObject[] {
  return gateways.filter((gateway) => {
    if (ownNamespaceOnly && gateway.namespace !== proxyClass.namespace) return false;
    if (gateway.annotations[GATEWAY_SERVICE_ANNOTATION] !== undefined)
      return boundTargets(gateway, proxyClass).length > 0;
    return selects(gateway.spec.selector, proxyClass.labels);
  });
}

function boundTargets(gateway: GatewayObject, proxyClass: ProxyClass): readonly GatewayTarget[] {
  const names = gateway.annotations[GATEWAY_SERVICE_ANNOTATION]?.split(',').map((name) => name.trim()) ?? [];
  const namespace = gateway.annotations[PARENT_NAMESPACE_ANNOTATION] ?? gateway.namespace;
  const targets = proxyClass.gatewayTargets ?? [];
  return targets.filter((each) => each.udp !== true && each.namespace === namespace && names.includes(each.hostname));
}

/** Merges Gateways that all apply to the class; `quic`: HTTPS is served over UDP too where a Service leads there. */
export function mergeGateways(
  gateways: readonly GatewayObject[],
  proxyClass: ProxyClass,
  quic: boolean,
): MergedServers {
  const udp = quic ? (proxyClass.gatewayTargets ?? []).filter((each) => each.udp === true) : [];
  const datagrams = new Set(udp.map((each) => each.port));
  const merge: Merge = { ports: new Map(), routes: new Map(), tlsHosts: new Map(), findings: [] };
  for (const gateway of gateways) {
    for (const [index, server] of (gateway.spec.servers ?? []).entries()) {
      for (const targetPort of targetPortsOf(gateway, server, proxyClass)) {
        const node = serverNode(gateway, server, index, targetPort, datagrams);
        const reason = admit(merge, node);
        if (reason !== undefined) merge.findings.push(lost(node, reason));
      }
    }
  }
  const ports = [...merge.ports.values()];
  const servers = ports.flatMap((port) => port.servers);
  return {
    ports,
    routes: merge.routes,
    hasAutoPassthrough: servers.some((each) => each.server.tls?.mode === 'AUTO_PASSTHROUGH'),
    findings: merge.findings,
  };
}

/**
 * Users name ports of the Service, the pod listens on target ports. A Gateway with a selector takes the port as it is
 * where no Service has it; one that is bound to Services has no such port then.
 */
function targetPortsOf(gateway: GatewayObject, server: Server, proxyClass: ProxyClass): readonly number[] {
  const number = server.port?.number;
  if (number === undefined) return [];
  if (gateway.annotations[GATEWAY_SERVICE_ANNOTATION] === undefined) {
    const target = proxyClass.gatewayTargets?.find(
      (each) => each.port === number && each.translate && each.udp !== true,
    );
    return [target?.targetPort ?? number];
  }
  const targets = boundTargets(gateway, proxyClass).filter((each) => each.port === number);
  return [...new Set(targets.map((each) => each.targetPort))].sort(compareNumbers);
}

function serverNode(
  gateway: GatewayObject,
  server: Server,
  index: number,
  targetPort: number,
  datagrams: ReadonlySet<number>,
): GatewayServer {
  const text = server.port?.protocol ?? '';
  const protocol = protocolByName(text) ?? text.toUpperCase();
  const port = server.port?.number ?? 0;
  const quic = protocol === 'HTTPS' && server.tls !== undefined && !isPassthrough(server) && datagrams.has(port);
  return {
    server,
    gateway,
    gatewayName: `${gateway.namespace}/${gateway.name}`,
    index,
    hosts: (server.hosts ?? []).map((host) => scopedHost(host, gateway.namespace)),
    port,
    targetPort,
    bind: server.bind ?? '',
    protocol,
    routeName: routeName(gateway, server, protocol, targetPort),
    ...(quic ? { quic: true as const } : {}),
  };
}

function scopedHost(host: string, namespace: string): { readonly namespace: string; readonly host: string } {
  const slash = host.indexOf('/');
  if (slash < 0) return { namespace: '*', host };
  const scope = host.slice(0, slash);
  return { namespace: scope === '.' ? namespace : scope, host: host.slice(slash + 1) };
}

function isPassthrough(server: Server): boolean {
  return server.tls?.mode === 'PASSTHROUGH' || server.tls?.mode === 'AUTO_PASSTHROUGH';
}

/** Plaintext HTTP is known by the pod's port, so that all servers of it meet; HTTPS by the names in the Gateway. */
function routeName(gateway: GatewayObject, server: Server, protocol: string, targetPort: number): string {
  const bind = server.bind === undefined || server.bind === '' ? '' : `.${server.bind}`;
  if (isPlainHttp(protocol)) return `http.${targetPort}${bind}`;
  if (protocol !== 'HTTPS' || isPassthrough(server)) return '';
  return `https.${server.port?.number ?? 0}.${server.port?.name ?? ''}.${gateway.name}.${gateway.namespace}${bind}`;
}

function isPlainHttp(protocol: string): boolean {
  const known = protocolByName(protocol);
  return known !== undefined && isHttp(known);
}

interface MutablePort extends GatewayPort {
  readonly servers: GatewayServer[];
}

interface Merge {
  readonly ports: Map<string, MutablePort>;
  readonly routes: Map<string, GatewayServer[]>;
  /** Hosts of servers with TLS settings by port and bind. */
  readonly tlsHosts: Map<string, Set<string>>;
  readonly findings: Finding[];
}

/** Adds the server, or says why it can't be. */
function admit(merge: Merge, node: GatewayServer): string | undefined {
  const { server } = node;
  const kind = classOf(node);
  if (kind === undefined) return `protocol ${node.protocol} needs tls settings`;
  const key = `${node.targetPort} ${node.bind}`;
  const existing = merge.ports.get(key);
  if (existing !== undefined && existing.class !== kind)
    return `port ${node.port} already serves ${existing.class} for ${existing.servers[0]?.gatewayName}`;
  if (existing !== undefined && kind === 'TCP')
    return `port ${node.port} already forwards TCP for ${existing.servers[0]?.gatewayName}`;
  const duplicate = takeTlsHosts(merge, key, node, kind);
  if (duplicate !== undefined) return `host ${duplicate} on port ${node.port} is already served by an older server`;
  const route = node.routeName === '' ? undefined : merge.routes.get(node.routeName);
  if (route !== undefined && kind === 'TLS') return `port name ${server.port?.name} is used twice in the Gateway`;
  if (existing === undefined)
    merge.ports.set(key, { bind: node.bind, targetPort: node.targetPort, class: kind, servers: [node] });
  else existing.servers.push(node);
  if (node.routeName === '') return undefined;
  if (route === undefined) merge.routes.set(node.routeName, [node]);
  else route.push(node);
  return undefined;
}

function classOf(node: GatewayServer): GatewayPort['class'] | undefined {
  if (isPlainHttp(node.protocol)) return 'HTTP';
  if (node.server.tls !== undefined) return 'TLS';
  return node.protocol === 'HTTPS' || node.protocol === 'TLS' ? undefined : 'TCP';
}

/**
 * Hosts of TLS servers become SNI matches, which a listener can have only once; redirects of one host are made once too.
 * Returns a host that is taken.
 */
function takeTlsHosts(merge: Merge, key: string, node: GatewayServer, kind: GatewayPort['class']): string | undefined {
  if (node.server.tls === undefined) return undefined;
  const taken = merge.tlsHosts.get(key) ?? new Set();
  const names = node.hosts.map((each) => (kind === 'TLS' ? each.host : `${each.namespace}/${each.host}`));
  const duplicate = names.find((name) => taken.has(name));
  if (duplicate !== undefined) return duplicate;
  for (const name of names) taken.add(name);
  merge.tlsHosts.set(key, taken);
  return undefined;
}

function lost(node: GatewayServer, reason: string): Finding {
  const { kind, namespace, name, origin } = node.gateway;
  return {
    severity: 'warning',
    code: 'IST0145',
    ref: { kind, namespace, name },
    origin,
    path: `spec.servers[${node.index}]`,
    message: `the server is left out: ${reason}`,
  };
}
