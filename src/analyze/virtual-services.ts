// VirtualServices against each other, their gateways and their destinations.

import type { Destination, GatewaySpec, VirtualServiceSpec } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import { MESH_GATEWAY, type VirtualService } from '../ir/traffic.ts';
import { hostsOverlap } from '../lib/hosts.ts';
import { tableGet, tableValues } from '../lib/table.ts';
import { type Analysis, type Labels, on, selects } from './analysis.ts';

/** Of several for one host of the mesh only the oldest is in force. */
export function* sharedHosts({ snapshot }: Analysis): Iterable<Finding> {
  const owners = new Map<string, VirtualService>();
  for (const node of linked(snapshot)) {
    if (!node.gateways.includes(MESH_GATEWAY)) continue;
    for (const [index, host] of node.hosts.entries()) {
      const owner = owners.get(host);
      if (owner === undefined) owners.set(host, node);
      else if (owner !== node && seenTogether(owner, node)) {
        const older = `${owner.namespace}/${owner.name}`;
        yield on(
          node.object,
          'IST0109',
          `spec.hosts[${index}]`,
          `${older} has the host ${host} in the mesh as well, and is in force`,
        );
      }
    }
  }
}

function seenTogether({ exportTo: a }: VirtualService, { exportTo: b }: VirtualService): boolean {
  if (a === '*') return b === '*' || b.size > 0;
  if (b === '*') return a.size > 0;
  return [...a].some((namespace) => b.has(namespace));
}

/** Oldest first. */
function linked(snapshot: Analysis['snapshot']): readonly VirtualService[] {
  return [...tableValues(snapshot.index.virtualServices.linked.output)].sort(
    (a, b) => a.created - b.created || (`${a.name}.${a.namespace}` < `${b.name}.${b.namespace}` ? -1 : 1),
  );
}

/** Without a port the destination must leave no choice. */
export function* destinationPorts({ snapshot }: Analysis): Iterable<Finding> {
  for (const node of linked(snapshot)) {
    for (const [path, destination] of destinations(node)) {
      const host = destination.host ?? '';
      const [service] = tableGet(snapshot.registry.services, host) ?? [];
      if (service === undefined || service.ports.length < 2 || (destination.port?.number ?? 0) !== 0) continue;
      const ports = service.ports.map((port) => port.number).join(', ');
      yield on(node.object, 'IST0112', `${path}.port`, `${host} has several ports`, `one of ${ports}`);
    }
  }
}

function* destinations(node: VirtualService): Iterable<readonly [string, Destination]> {
  for (const [at, route] of node.http.entries()) {
    for (const [to, each] of (route.route ?? []).entries())
      if (each.destination !== undefined) yield [`spec.http[${at}].route[${to}].destination`, each.destination];
    if (route.mirror !== undefined) yield [`spec.http[${at}].mirror`, route.mirror];
  }
  for (const key of ['tcp', 'tls'] as const) {
    for (const [at, route] of node[key].entries())
      for (const [to, each] of (route.route ?? []).entries())
        if (each.destination !== undefined) yield [`spec.${key}[${at}].route[${to}].destination`, each.destination];
  }
}

/**
 * A gateway sends to what its own VirtualService names: that of the destination counts for clients in the mesh alone, with
 * the subsets that it chooses.
 */
export function* lostSubsets({ snapshot }: Analysis): Iterable<Finding> {
  const choosers = new Map<string, VirtualService>();
  for (const node of linked(snapshot)) {
    for (const [, { host = '', subset = '' }] of destinations(node))
      if (subset !== '' && node.hosts.includes(host) && !choosers.has(host)) choosers.set(host, node);
  }
  for (const node of linked(snapshot)) {
    if (!node.gateways.some((name) => name !== MESH_GATEWAY)) continue;
    for (const [path, { host = '', subset = '' }] of destinations(node)) {
      const chooser = choosers.get(host);
      if (subset !== '' || chooser === undefined || chooser === node || !path.startsWith('spec.http')) continue;
      const other = `${chooser.namespace}/${chooser.name}`;
      const message = `requests from a gateway are not routed by ${other}, which chooses subsets of ${host}`;
      yield on(node.object, 'IST0140', `${path}.subset`, message);
    }
  }
}

/** A host that none of the gateway's servers lets in is never reached. */
export function* gatewayHosts({ snapshot }: Analysis): Iterable<Finding> {
  for (const node of linked(snapshot)) {
    for (const name of node.gateways) {
      if (name === MESH_GATEWAY) continue;
      const gateway = tableGet(snapshot.index.gateways.table, name) as ConfigObject<GatewaySpec> | undefined;
      if (gateway === undefined) continue;
      for (const [index, host] of node.hosts.entries()) {
        if (!admits(gateway, node, host))
          yield on(node.object, 'IST0132', `spec.hosts[${index}]`, `no server of Gateway ${name} has the host ${host}`);
      }
    }
  }
}

function admits(gateway: ConfigObject<GatewaySpec>, node: VirtualService, host: string): boolean {
  return (gateway.spec.servers ?? []).some(({ hosts = [] }) =>
    hosts.some((each) => {
      const slash = each.indexOf('/');
      const [namespace, pattern] = slash < 0 ? ['*', each] : [each.slice(0, slash), each.slice(slash + 1)];
      const wanted = namespace === '.' ? gateway.namespace : namespace;
      return (wanted === '*' || wanted === node.namespace) && hostsOverlap(pattern, host);
    }),
  );
}

const INTERNAL_SUFFIX = '-istio-autogenerated-k8s-gateway';

/** Gateways that the control plane makes for itself are nobody else's. */
export function* internalGateways(analysis: Analysis): Iterable<Finding> {
  for (const object of analysis.list<VirtualServiceSpec>('VirtualService')) {
    for (const [index, name] of (object.spec.gateways ?? []).entries()) {
      if (name.includes(INTERNAL_SUFFIX))
        yield on(
          object,
          'IST0165',
          `spec.gateways[${index}]`,
          `Gateway ${name} is internal`,
          'a parentRef of a route to the Kubernetes Gateway',
        );
    }
  }
}

const CLAIM_HEADER = /^@request\.auth\.claims/;

/** Claims come from verified tokens: without a RequestAuthentication at the gateway there are none. */
export function* claimRouting(analysis: Analysis): Iterable<Finding> {
  const { snapshot } = analysis;
  const policies = analysis.list<{ readonly selector?: { readonly matchLabels?: Labels | undefined } }>(
    'RequestAuthentication',
  );
  for (const node of linked(snapshot)) {
    const paths = claimPaths(node);
    if (paths.length === 0) continue;
    for (const name of node.gateways) {
      const gateway = tableGet(snapshot.index.gateways.table, name);
      if (name === MESH_GATEWAY || gateway === undefined) continue;
      const pods = analysis.workloads.filter(({ labels }) => selects(gateway.spec.selector, labels));
      const applies = policies.some(({ namespace, spec }) => {
        const selector = spec.selector?.matchLabels ?? {};
        if (Object.keys(selector).length === 0)
          return (
            namespace === snapshot.settings.rootNamespace ||
            pods.some((pod) => pod.namespace === namespace) ||
            pods.length === 0
          );
        return selects(selector, gateway.spec.selector ?? {}) || pods.some((pod) => selects(selector, pod.labels));
      });
      if (applies) continue;
      for (const path of paths)
        yield on(
          node.object,
          'IST0149',
          path,
          `no RequestAuthentication applies to Gateway ${name}: the claim is never there`,
        );
    }
  }
}

function claimPaths({ http }: VirtualService): readonly string[] {
  return http.flatMap((route, at) =>
    (route.match ?? []).flatMap((match, index) =>
      (['headers', 'withoutHeaders'] as const).flatMap((field) =>
        Object.keys(match[field] ?? {})
          .filter((name) => CLAIM_HEADER.test(name))
          .map((name) => `spec.http[${at}].match[${index}].${field}[${JSON.stringify(name)}]`),
      ),
    ),
  );
}
