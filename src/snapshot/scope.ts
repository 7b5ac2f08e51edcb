// What one class of proxies sees: its services with their rules, VirtualServices, policies, and for routers the merged
// Gateways. In: a snapshot, a class, the scope of that class before. Out: the next scope, of which every member is the
// same object as before where it is equal; the scope before itself when all are. Called by the plane per class and change.

import type { Finding } from '../config/object.ts';
import type { PolicySet } from '../ir/policy.ts';
import type { ProxyClass } from '../ir/proxy.ts';
import type { Scope } from '../ir/snapshot.ts';
import type { ScopedService } from '../ir/traffic.ts';
import {
  type EgressListener,
  MESH_GATEWAY,
  type MergedGateway,
  type OutboundPolicy,
  type VirtualService,
} from '../ir/traffic.ts';
import { resolveShortName } from '../lib/hosts.ts';
import { compareStrings } from '../lib/order.ts';
import { keepList } from '../lib/table.ts';
import { compareAge, inNamespace } from './by-namespace.ts';
import type { RuleClient } from './destination-rules.ts';
import { IMPORT_ALL } from './egress.ts';
import { type GatewayObject, gatewaysOf, type MergedServers, mergeGateways } from './gateways.ts';
import { type ListenerPart, listenerPart, unitedServices } from './imports.ts';
import { keepEqual, keepMembers } from './keep.ts';
import { outboundPoliciesFor, policiesFor } from './policies.ts';
import { compareScoped, endpointsFor, type ScopedEndpoints } from './scoped-services.ts';
import { isEmptySelector, selects } from './selection.ts';
import type { LinkedSnapshot, SidecarObject } from './snapshot.ts';
import { type Ordered, orderedFrom } from './tables.ts';
import { visibleTo } from './virtual-services.ts';

/** A scope with what the next one of its class starts from. */
export interface LinkedScope extends Scope {
  readonly parts: ScopeParts;
  /** What objects lose in this scope: servers of Gateways that can't be merged. */
  readonly findings: readonly Finding[];
}

/** Kept up to date in place while the scope stays the same. */
interface ScopeParts {
  sidecar: SidecarObject | undefined;
  visible: readonly VirtualService[];
  listeners: readonly ListenerPart[];
  endpoints: ScopedEndpoints;
  ordered: Ordered<ScopedService>;
  router: RouterPart | undefined;
}

interface RouterPart {
  readonly gateways: readonly GatewayObject[];
  readonly servers: MergedServers;
  readonly visible: readonly VirtualService[];
  readonly bound: readonly VirtualService[];
  readonly merged: MergedGateway;
}

const NOTHING: readonly never[] = [];

/** True where every class has the same scope in both: all that `scopeOf` reads is the same. */
export function sameScopes(a: LinkedSnapshot, b: LinkedSnapshot): boolean {
  return (
    a.index === b.index &&
    a.settings === b.settings &&
    a.mesh === b.mesh &&
    a.networks === b.networks &&
    a.endpoints === b.endpoints &&
    a.peerAuthn === b.peerAuthn
  );
}

/** The scope of a class in a snapshot. `previous` has to be a scope of the same class. */
export function scopeOf(
  snapshot: LinkedSnapshot,
  proxyClass: ProxyClass,
  previous: LinkedScope | undefined,
): LinkedScope {
  const { index } = snapshot;
  const { base } = index;
  const before = previous?.proxyClass === proxyClass ? previous : undefined;
  const isRouter = proxyClass.type === 'router';
  const client: RuleClient = { namespace: proxyClass.namespace, labels: proxyClass.labels };
  const sidecar = isRouter ? undefined : sidecarFor(snapshot, proxyClass);
  const seen = isRouter ? NOTHING : visibleTo(index.virtualServices.visibleInMesh, proxyClass.namespace);
  const visible = keepList(before?.parts.visible, seen);
  const listeners = listenersOf(snapshot, client, sidecar, visible, before?.parts);
  const services = unitedServices(base, client, listeners, before?.services);
  const ordered = orderedServices(services, listeners, before?.parts);
  const router = isRouter ? routerPart(snapshot, proxyClass, before?.parts.router) : undefined;
  const endpoints = endpointsFor(base, services, snapshot.endpoints, before?.parts.endpoints);
  const parts: ScopeParts = { sidecar, visible, listeners, endpoints, ordered, router };
  const next = keepMembers(before, {
    proxyClass,
    mesh: snapshot.mesh,
    networks: snapshot.networks,
    peerAuthn: snapshot.peerAuthn,
    services,
    endpoints: endpoints.output,
    ordered: keepList(before?.ordered, ordered.list),
    egress: egressOf(listeners, before?.egress),
    virtualServices: keepList(before?.virtualServices, router?.bound ?? importedBy(listeners)),
    outboundPolicy: keepEqual(before?.outboundPolicy, outboundPolicyOf(snapshot, sidecar)),
    gateway: router?.merged,
    policies: policiesOf(snapshot, proxyClass, before?.policies),
    findings: router?.servers.findings ?? NOTHING,
    parts: before?.parts ?? parts,
  });
  // What is seen is the same; only what it is derived from has moved on.
  if (next === before) Object.assign(before.parts, parts);
  return next === before ? before : { ...next, parts };
}

/**
 * The Sidecar of a proxy: of its namespace the oldest that selects it, else the oldest without selector, else the one
 * without selector in the root namespace.
 */
export function sidecarFor(
  snapshot: LinkedSnapshot,
  proxy: Pick<ProxyClass, 'namespace' | 'labels'>,
): SidecarObject | undefined {
  const { sidecars } = snapshot.index;
  const own = inNamespace(sidecars, proxy.namespace);
  const wide = (object: SidecarObject): boolean => isEmptySelector(object.spec.workloadSelector?.labels);
  return (
    own.find((each) => !wide(each) && selects(each.spec.workloadSelector?.labels, proxy.labels)) ??
    own.find(wide) ??
    inNamespace(sidecars, snapshot.settings.rootNamespace).find(wide)
  );
}

function listenersOf(
  snapshot: LinkedSnapshot,
  client: RuleClient,
  sidecar: SidecarObject | undefined,
  visible: readonly VirtualService[],
  before: ScopeParts | undefined,
): readonly ListenerPart[] {
  const written = sidecar?.spec.egress ?? NOTHING;
  const specs = written.length === 0 ? [IMPORT_ALL] : written;
  // The catch-all one is looked at last, wherever it is written.
  const ordered =
    specs.length < 2 ? specs : [...specs.filter((each) => each.port), ...specs.filter((each) => !each.port)];
  const parts = ordered.map((spec, at) =>
    listenerPart(snapshot.index.base, client, spec, visible, before?.listeners[at]),
  );
  return keepList(before?.listeners, parts);
}

function egressOf(
  parts: readonly ListenerPart[],
  before: readonly EgressListener[] | undefined,
): readonly EgressListener[] {
  return keepList(
    before,
    parts.map((part) => part.listener),
  );
}

/** Those of all listeners, each once. */
function importedBy(parts: readonly ListenerPart[]): readonly VirtualService[] {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only.listener.virtualServices;
  return [...new Set(parts.flatMap(({ listener }) => listener.virtualServices))].sort(compareAge);
}

function orderedServices(
  services: Scope['services'],
  listeners: readonly ListenerPart[],
  before: ScopeParts | undefined,
): Ordered<ScopedService> {
  const [only] = listeners;
  if (listeners.length === 1 && only?.services === services) return only.ordered;
  return orderedFrom(before?.ordered, services, compareScoped, before?.ordered.list);
}

/** A Sidecar's policy replaces the mesh's; without a mode it admits the registry only. */
function outboundPolicyOf(snapshot: LinkedSnapshot, sidecar: SidecarObject | undefined): OutboundPolicy {
  const policy = sidecar?.spec.outboundTrafficPolicy;
  if (sidecar === undefined || policy === undefined) return { mode: snapshot.mesh.outboundTrafficPolicy.mode };
  const mode = policy.mode ?? 'REGISTRY_ONLY';
  const { egressProxy } = policy;
  if (egressProxy?.host === undefined) return { mode };
  const host = resolveShortName(egressProxy.host, sidecar.namespace, snapshot.settings.domain);
  return { mode, egressProxy: { host, port: egressProxy.port?.number ?? 0, subset: egressProxy.subset ?? '' } };
}

function policiesOf(snapshot: LinkedSnapshot, proxyClass: ProxyClass, before: PolicySet | undefined): PolicySet {
  const select = proxyClass.type === 'router' ? policiesFor : outboundPoliciesFor;
  return select(snapshot.index.policies, proxyClass, before);
}

function routerPart(snapshot: LinkedSnapshot, proxyClass: ProxyClass, before: RouterPart | undefined): RouterPart {
  const { index, settings } = snapshot;
  const all = gatewaysOf(index.allGateways, proxyClass, settings.scopeGatewayToNamespace);
  const gateways = keepList(before?.gateways, all);
  const sameGateways = before !== undefined && before.gateways === gateways;
  const servers = sameGateways ? before.servers : mergeGateways(gateways, proxyClass, settings.quicListeners);
  const visible = keepList(before?.visible, visibleTo(index.virtualServices.visible, proxyClass.namespace));
  if (sameGateways && before.visible === visible) return before;
  const byGateway = boundTo(gateways, visible, before?.merged.virtualServices);
  const bound = visible.filter((node) => node.gateways.some((name) => byGateway.has(name)));
  const same = before !== undefined && before.servers === servers && before.merged.virtualServices === byGateway;
  const merged: MergedGateway = same
    ? before.merged
    : {
        ports: servers.ports,
        routes: servers.routes,
        hasAutoPassthrough: servers.hasAutoPassthrough,
        virtualServices: byGateway,
      };
  return { gateways, servers, visible, bound: keepList(before?.bound, bound), merged };
}

/** VirtualServices by Gateway; the same map when every list is. */
function boundTo(
  gateways: readonly GatewayObject[],
  visible: readonly VirtualService[],
  before: MergedGateway['virtualServices'] | undefined,
): MergedGateway['virtualServices'] {
  const lists = new Map<string, VirtualService[]>();
  const names = gateways.map((gateway) => `${gateway.namespace}/${gateway.name}`);
  for (const name of names.sort(compareStrings)) lists.set(name, []);
  for (const node of visible) {
    for (const name of new Set(node.gateways)) if (name !== MESH_GATEWAY) lists.get(name)?.push(node);
  }
  const kept = new Map<string, readonly VirtualService[]>();
  let same = before !== undefined && before.size === lists.size;
  for (const [name, list] of lists) {
    const keptList = keepList(before?.get(name), list);
    if (keptList !== before?.get(name)) same = false;
    kept.set(name, keptList);
  }
  return same && before !== undefined ? before : kept;
}
