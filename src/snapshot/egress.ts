// What the egress listeners of a Sidecar import: services and VirtualServices by `NAMESPACE/HOST`.

import type { IstioEgressListener } from '../config/generated/types.ts';
import type { Service } from '../ir/service.ts';
import type { VirtualService } from '../ir/traffic.ts';
import { hostSubsetOf, hostsOverlap, isWildcard } from '../lib/hosts.ts';
import { memo } from '../lib/memo.ts';
import { protocolByName } from '../registry/protocol.ts';
import { inLookupOrder, isServiceVisible, preferred } from './service-choice.ts';
import { isGatewayRoute } from './virtual-services.ts';

interface Hosts {
  readonly exact: ReadonlySet<string>;
  readonly wildcards: readonly string[];
  readonly excluded: readonly string[];
}

/** One egress listener, its host list parsed for a client namespace. */
export interface EgressImport {
  readonly listener: IstioEgressListener;
  readonly namespace: string;
  readonly hosts: ReadonlyMap<string, Hosts>;
  /** Services are imported only for this port; undefined: with all of their ports. */
  readonly onlyPort?: number | undefined;
  /** Imports whatever the namespace sees. */
  readonly everything: boolean;
}

/** What applies without a Sidecar, and where a Sidecar lists no egress. */
export const IMPORT_ALL: IstioEgressListener = { hosts: ['*/*'] };

/** Parses a listener for clients of a namespace. */
export function egressImport(listener: IstioEgressListener, namespace: string): EgressImport {
  const hosts = parseHosts(listener.hosts ?? [], namespace);
  const number = listener.port?.number ?? 0;
  const isProxy = protocolByName(listener.port?.protocol ?? '') === 'HTTP_PROXY';
  const onlyPort = number === 0 || isProxy ? undefined : number;
  const excludes = [...hosts.values()].some((each) => each.excluded.length > 0);
  const everything = onlyPort === undefined && !excludes && hosts.get('*')?.wildcards.includes('*') === true;
  return { listener, namespace, hosts, onlyPort, everything };
}

/** `*` any namespace, `.` the own one; a leading `~` takes hosts out again (`~/HOST`: whatever the namespace). */
function parseHosts(entries: readonly string[], namespace: string): ReadonlyMap<string, Hosts> {
  const parsed = new Map<string, { exact: Set<string>; wildcards: string[]; excluded: string[] }>();
  for (const entry of entries) {
    const [scope = '', host, more] = entry.split('/');
    if (host === undefined || more !== undefined) continue;
    const excluded = scope.startsWith('~');
    const named = excluded ? scope.slice(1) || '*' : scope;
    const key = named === '.' ? namespace : named;
    let hosts = parsed.get(key);
    if (hosts === undefined) {
      hosts = { exact: new Set(), wildcards: [], excluded: [] };
      parsed.set(key, hosts);
    }
    if (excluded) hosts.excluded.push(host);
    else if (isWildcard(host)) hosts.wildcards.push(host);
    else hosts.exact.add(host);
  }
  return parsed;
}

function covers(hosts: Hosts, host: string): boolean {
  return hosts.exact.has(host) || hosts.wildcards.some((wildcard) => hostSubsetOf(host, wildcard));
}

function excludes(hosts: Hosts | undefined, host: string): boolean {
  return hosts?.excluded.some((each) => hostSubsetOf(host, each)) === true;
}

/** The part of a host's services that a listener imports; ports and aliases that it does not want are cut off. */
export function importedService(imported: EgressImport, list: readonly Service[]): Service | undefined {
  const [only] = list;
  if (only !== undefined && list.length === 1) return importedPart(imported, only);
  const candidates: Service[] = [];
  for (const service of inLookupOrder(list, imported.namespace)) {
    const part = importedPart(imported, service);
    if (part !== undefined) candidates.push(part);
  }
  return preferred(candidates, imported.namespace, () => true);
}

function importedPart(imported: EgressImport, service: Service): Service | undefined {
  const own = imported.hosts.get(service.namespace);
  const any = imported.hosts.get('*');
  if (own === undefined && any === undefined) return undefined;
  if (!isServiceVisible(service, imported.namespace)) return undefined;
  if (excludes(own, service.hostname) || excludes(any, service.hostname)) return undefined;
  return takenBy(imported, own, service) ?? takenBy(imported, any, service);
}

function takenBy(imported: EgressImport, hosts: Hosts | undefined, service: Service): Service | undefined {
  if (hosts === undefined || !covers(hosts, service.hostname)) return undefined;
  const trimmed = imported.onlyPort === undefined ? service : withPorts(service, [imported.onlyPort]);
  if (trimmed === undefined || trimmed.aliases.length === 0) return trimmed;
  const aliases = trimmed.aliases.filter((alias) => covers(hosts, alias));
  return aliases.length === trimmed.aliases.length ? trimmed : withAliases(trimmed, aliases.join(' '));
}

const withAliases = memo(
  (service: Service, aliases: string): Service => ({
    ...service,
    aliases: aliases === '' ? [] : aliases.split(' '),
  }),
);

/** The service with these ports only, one object for equal ports; undefined when it has none of them. */
export function withPorts(service: Service, numbers: readonly number[]): Service | undefined {
  const kept = service.ports.filter((port) => numbers.includes(port.number));
  if (kept.length === service.ports.length) return service;
  return kept.length === 0 ? undefined : trimmedTo(service, kept.map((port) => port.number).join(' '));
}

const trimmedTo = memo((service: Service, numbers: string): Service => {
  const wanted = new Set(numbers.split(' ').map(Number));
  return { ...service, ports: service.ports.filter((port) => wanted.has(port.number)) };
});

/** VirtualServices of which one host overlaps what the listener imports from their namespace. */
export function importedVirtualServices(
  imported: EgressImport,
  visible: readonly VirtualService[],
): readonly VirtualService[] {
  if (imported.everything) return visible;
  return visible.filter((node) => {
    const own = imported.hosts.get(node.namespace);
    const any = imported.hosts.get('*');
    const takes = isGatewayRoute(node) ? covers : overlaps;
    const wants = (hosts: Hosts | undefined, host: string): boolean => hosts !== undefined && takes(hosts, host);
    return node.hosts.some(
      (host) => !excludes(own, host) && !excludes(any, host) && (wants(own, host) || wants(any, host)),
    );
  });
}

function overlaps(hosts: Hosts, host: string): boolean {
  if (hosts.exact.has(host)) return true;
  if (hosts.wildcards.some((wildcard) => hostsOverlap(wildcard, host))) return true;
  return isWildcard(host) && [...hosts.exact].some((exact) => hostSubsetOf(exact, host));
}

/** A host that a VirtualService sends traffic to, and on which ports; undefined: any. */
export interface RoutedHost {
  readonly host: string;
  readonly ports: readonly number[] | undefined;
}

/** Destinations of a VirtualService for clients of a namespace: routes for sources elsewhere do not count. */
export function routedHosts(node: VirtualService, namespace: string): readonly RoutedHost[] {
  return routed(node, namesSources(node) ? namespace : '');
}

const namesSources = memo((node: VirtualService): boolean =>
  node.http.some((route) => route.match?.some((match) => match.sourceNamespace)),
);

const routed = memo((node: VirtualService, namespace: string): readonly RoutedHost[] => {
  const ports = new Map<string, Set<number>>();
  const add = (to: { host?: string | undefined; port?: { number?: number | undefined } | undefined } | undefined) => {
    if (to?.host === undefined) return;
    const known = ports.get(to.host) ?? new Set();
    ports.set(to.host, known.add(to.port?.number ?? 0));
  };
  for (const route of node.http) {
    const sources = (route.match ?? []).flatMap((match) => match.sourceNamespace || []);
    if (sources.length > 0 && !sources.includes(namespace)) continue;
    for (const each of route.route ?? []) add(each.destination);
    add(route.mirror);
    for (const each of route.mirrors ?? []) add(each.destination);
  }
  for (const route of [...node.tcp, ...node.tls]) for (const each of route.route ?? []) add(each.destination);
  return [...ports].map(([host, numbers]) => ({ host, ports: numbers.has(0) ? undefined : [...numbers] }));
});
