// Objects that a draft need not carry since they can be told from its name and the scope: who brought the endpoints, who
// decided on mTLS, which DestinationRules reach further than their own clusters, which services share a listener.
// In: what a proxy sees, a resource. Out: origins. Called by explain.ts when somebody asks.

import { type Origin, originOf, TYPE_URL } from '../ir/draft.ts';
import type { Workload } from '../ir/proxy.ts';
import type { Service } from '../ir/service.ts';
import type { Scope } from '../ir/snapshot.ts';
import type { DestinationRule, ScopedService, VirtualService } from '../ir/traffic.ts';
import { tableGet } from '../lib/table.ts';
import { endpointSources } from '../registry/sources.ts';
import type { Resource } from '../resources/resource.ts';
import { shardKey } from '../resources/view.ts';
import type { LinkedSnapshot } from '../snapshot/index.ts';
import { ruleOrigins } from '../translate/clusters/origins.ts';
import { type OutboundListeners, sharersOf } from '../translate/listeners/index.ts';
import { destinationsOf } from '../translate/routes/virtual-service.ts';

export interface Seen {
  readonly scope: Scope;
  readonly workload: Workload;
  readonly snapshot: LinkedSnapshot;
  /** Outbound, of its class; undefined for routers. */
  readonly listeners: OutboundListeners | undefined;
}

export function impliedOrigins(seen: Seen, resource: Resource): readonly Origin[] {
  const { typeUrl, name } = resource;
  if (typeUrl === TYPE_URL.route) return hashOrigins(seen, resource);
  if (typeUrl === TYPE_URL.listener) return seen.listeners === undefined ? [] : sharersOf(seen.listeners, name);
  if (typeUrl === TYPE_URL.cluster && name.startsWith('inbound|')) return poolOrigins(seen, name);
  const host = shardKey(name);
  const scoped = host === name ? undefined : tableGet(seen.scope.services, host);
  if (scoped === undefined) return [];
  const sources = (): readonly Origin[] =>
    endpointSources(seen.snapshot.registry, host).map((object) => originOf(object));
  if (typeUrl === TYPE_URL.endpoint) {
    const [, port, subset] = name.split('|');
    return [...sources(), ...ruleOrigins(scoped.rule, Number(port), subset === '' ? undefined : subset)];
  }
  if (typeUrl !== TYPE_URL.cluster) return [];
  return [...(isResolvedByProxy(scoped.service) ? sources() : []), ...mtlsOrigins(seen, scoped)];
}

/** Such clusters carry their endpoints. */
function isResolvedByProxy({ resolution }: Service): boolean {
  return resolution === 'DNSLB' || resolution === 'DNSRoundRobinLB';
}

function mtlsOrigins({ scope, snapshot }: Seen, { mtls, service }: ScopedService): readonly Origin[] {
  if (mtls === undefined) return [];
  const levels = [snapshot.settings.rootNamespace, service.namespace];
  return scope.peerAuthn.objects
    .filter(({ namespace }) => levels.includes(namespace))
    .filter(({ spec }) => Object.keys(spec.selector?.matchLabels ?? {}).length === 0)
    .map((object) => originOf(object, 'spec.mtls'));
}

/** The connection pool of a service is that of its servers too. */
function poolOrigins({ scope, workload }: Seen, name: string): readonly Origin[] {
  const port = Number(name.split('|')[1]);
  return workload.targets
    .filter((target) => target.targetPort === port)
    .flatMap((target) => policyOrigins(tableGet(scope.services, target.service.hostname)?.rule));
}

/** By which value of a request an endpoint is chosen stands in the route. */
function hashOrigins({ scope }: Seen, { origins }: Resource): readonly Origin[] {
  const names = new Set(origins.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
  const nodes = [...scope.virtualServices, ...(scope.gateway?.virtualServices.values() ?? [])].flat();
  const hosts = new Set(nodes.filter((node) => names.has(refOf(node))).flatMap(hostsOf));
  return [...hosts].flatMap((host) => policyOrigins(tableGet(scope.services, host)?.rule));
}

function refOf({ namespace, name }: VirtualService): string {
  return `VirtualService/${namespace}/${name}`;
}

function hostsOf(node: VirtualService): readonly string[] {
  return destinationsOf(node).map(({ host = '' }) => host);
}

function policyOrigins(rule: DestinationRule | undefined): readonly Origin[] {
  const objects = (rule?.objects ?? []).filter(({ spec }) => spec.trafficPolicy !== undefined);
  return objects.map((object) => originOf(object, 'spec.trafficPolicy'));
}
