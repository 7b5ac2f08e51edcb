// Gateways of networks: from the mesh networks and from Services that carry the label of a network.

import type { Finding } from '../config/object.ts';
import type { NetworkGateway, Networks } from '../ir/snapshot.ts';
import { deepEqual } from '../lib/equal.ts';
import { compareNumbers, compareStrings, orderBy, sortedEntries } from '../lib/order.ts';
import { keepList, type Table, tableGet, tableValues } from '../lib/table.ts';
import type { ChangeSet } from './change-set.ts';
import { keepFindings, newFindings } from './findings.ts';
import { type KubeService, kubeHostname, type Node, type RegistryOptions, type RegistryTables } from './input.ts';
import { ANNOTATION, LABEL, type Labels, labelsMatch } from './labels.ts';

export interface NetworksState {
  /** Services that are gateways, by `namespace/name`. */
  readonly services: ReadonlyMap<string, KubeService>;
  readonly networks: Networks;
  readonly findings: readonly Finding[];
}

export const NO_NETWORKS: NetworksState = {
  services: new Map(),
  networks: { gateways: new Map(), all: [], prefixes: [] },
  findings: [],
};

const DEFAULT_GATEWAY_PORT = 15443;

export function updateNetworks(
  state: NetworksState,
  kept: NetworksState,
  tables: RegistryTables,
  changes: ChangeSet,
  options: RegistryOptions,
  first: boolean,
): NetworksState {
  const named = registryNames(options);
  const services = gatewayServices(state.services, changes, options, named);
  const nodes = changes.nodes.length > 0 && [...services.values()].some(usesNodes);
  if (!first && services === state.services && !nodes) return state;
  const findings = newFindings();
  const list = meshGateways(options, services, tables.nodes);
  for (const service of services.values()) {
    const network = service.labels[LABEL.network];
    if (network === undefined || network === '') continue;
    const port = Number(service.labels[LABEL.gatewayPort] ?? DEFAULT_GATEWAY_PORT) || DEFAULT_GATEWAY_PORT;
    const found = serviceGateways(service, network, port, options.clusterId, tables.nodes);
    if (found.length === 0) {
      const message = `the gateway of network ${network} has no load balancer address, external IP or node address`;
      findings.add('MEL0113', service, 'status.loadBalancer', message);
    }
    list.push(...found);
  }
  const networks = assemble(list, keepList(kept.networks.prefixes, prefixesOf(options)));
  return {
    services,
    networks: sameNetworks(kept.networks, networks) ? kept.networks : networks,
    findings: keepFindings(kept.findings, findings.list) ?? [],
  };
}

/** Hosts that the mesh networks name as gateways. */
function registryNames(options: RegistryOptions): ReadonlySet<string> {
  const names = new Set<string>();
  for (const definition of Object.values(options.networks)) {
    for (const gateway of definition.gateways ?? []) {
      if (gateway.registryServiceName !== undefined) names.add(gateway.registryServiceName);
    }
  }
  return names;
}

function gatewayServices(
  before: ReadonlyMap<string, KubeService>,
  changes: ChangeSet,
  options: RegistryOptions,
  named: ReadonlySet<string>,
): ReadonlyMap<string, KubeService> {
  const isGateway = (service: KubeService): boolean =>
    (service.labels[LABEL.network] ?? '') !== '' ||
    (named.size > 0 && named.has(kubeHostname(service.name, service.namespace, options.domain)));
  let next: Map<string, KubeService> | undefined;
  for (const [key, , after] of changes.services) {
    const value = after !== undefined && isGateway(after) ? after : undefined;
    if (before.get(key) === value) continue;
    next ??= new Map(before);
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  return next ?? before;
}

/** Gateways of the mesh networks: literal addresses of any cluster, or those of a Service of this one. */
function meshGateways(
  options: RegistryOptions,
  services: ReadonlyMap<string, KubeService>,
  nodes: Table<Node>,
): NetworkGateway[] {
  const byHost = new Map(
    [...services.values()].map((each) => [kubeHostname(each.name, each.namespace, options.domain), each]),
  );
  const gateways: NetworkGateway[] = [];
  for (const [network, definition] of sortedEntries(options.networks)) {
    for (const { address, registryServiceName, port } of definition.gateways ?? []) {
      const number = port !== undefined && port > 0 ? port : DEFAULT_GATEWAY_PORT;
      if (address !== undefined && address !== '') gateways.push({ network, clusterId: '', address, port: number });
      const service = registryServiceName === undefined ? undefined : byHost.get(registryServiceName);
      if (service !== undefined) gateways.push(...serviceGateways(service, network, number, options.clusterId, nodes));
    }
  }
  return gateways;
}

/** Addresses at which a Service is reached from outside: its load balancer's, its external IPs, those of nodes. */
function serviceGateways(
  service: KubeService,
  network: string,
  port: number,
  clusterId: string,
  nodes: Table<Node>,
): NetworkGateway[] {
  const ingress = (service.status?.ingress ?? []).flatMap((each) => each.ip || each.hostname || []);
  const direct = ingress.length > 0 ? ingress : service.spec.externalIPs;
  if (direct.length > 0 || !usesNodes(service)) {
    return direct.map((address) => ({ network, clusterId, address, port }));
  }
  const nodePort = service.spec.ports.find((each) => each.port === port)?.nodePort;
  if (nodePort === undefined || nodePort === 0) return [];
  return nodeAddresses(service, nodes).map((address) => ({ network, clusterId, address, port: nodePort }));
}

function usesNodes(service: KubeService): boolean {
  return service.annotations[ANNOTATION.nodeSelector] !== undefined || service.spec.type === 'NodePort';
}

function nodeAddresses(service: KubeService, nodes: Table<Node>): readonly string[] {
  const selector = nodeSelector(service.annotations[ANNOTATION.nodeSelector]);
  return [...tableValues(nodes)]
    .filter((node) => labelsMatch(selector, node.labels))
    .sort((a, b) => compareStrings(a.name, b.name))
    .flatMap((node) => {
      const of = (type: string): string | undefined =>
        node.status?.addresses.find((each) => each.type === type)?.address;
      return of('ExternalIP') ?? of('InternalIP') ?? [];
    });
}

/** The annotation holds a JSON object of labels; anything else selects every node. */
function nodeSelector(text: string | undefined): Labels {
  try {
    const parsed: unknown = JSON.parse(text ?? '{}');
    if (typeof parsed !== 'object' || parsed === null) return {};
    return Object.fromEntries(
      Object.entries(parsed).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
    );
  } catch {
    return {};
  }
}

const compareGateways = orderBy<NetworkGateway>(
  (a, b) => compareStrings(a.address, b.address),
  (a, b) => compareNumbers(a.port, b.port),
  (a, b) => compareStrings(a.network, b.network),
  (a, b) => compareStrings(a.clusterId, b.clusterId),
);

function sameNetworks(a: Networks, b: Networks): boolean {
  return a.prefixes === b.prefixes && deepEqual(a.all, b.all);
}

function prefixesOf({ networks }: RegistryOptions): readonly string[] {
  const endpoints = Object.values(networks).flatMap((definition) => definition.endpoints ?? []);
  return [...new Set(endpoints.flatMap(({ fromCidr }) => fromCidr ?? []))].sort(compareStrings);
}

function assemble(list: readonly NetworkGateway[], prefixes: readonly string[]): Networks {
  const unique = new Map(list.map((each) => [`${each.network}@${each.clusterId} ${each.address} ${each.port}`, each]));
  const all = [...unique.values()].sort(compareGateways);
  const gateways = new Map<string, NetworkGateway[]>();
  const put = (key: string, gateway: NetworkGateway): void => {
    const present = gateways.get(key);
    if (present === undefined) gateways.set(key, [gateway]);
    else present.push(gateway);
  };
  for (const gateway of all) {
    put(gateway.network, gateway);
    if (gateway.clusterId !== '') put(`${gateway.network}@${gateway.clusterId}`, gateway);
  }
  return { gateways, all, prefixes };
}

/** Network that the label of the system namespace names. */
export function systemNetwork(tables: RegistryTables, options: RegistryOptions): string {
  return tableGet(tables.namespaces, `/${options.systemNamespace}`)?.labels[LABEL.network] ?? '';
}
