// VirtualServices linked: names made absolute, delegates merged in, indexed by who sees them.
// In: the table of objects. Out: nodes that keep their identity while the root and every delegate are the same objects.

import type {
  Destination,
  HTTPRoute,
  L4MatchAttributes,
  TCPRoute,
  TLSRoute,
  VirtualServiceSpec,
} from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';
import { MESH_GATEWAY, type VirtualService } from '../ir/traffic.ts';
import { resolveShortName } from '../lib/hosts.ts';
import { memo } from '../lib/memo.ts';
import {
  type Derived,
  type Derived2,
  deriveTable,
  deriveTable2,
  emptyTable,
  type Table,
  tableFrom,
  tableGet,
  tableValues,
} from '../lib/table.ts';
import { changesBetween, regroup } from '../registry/groups.ts';
import { visibilityOf } from '../registry/visibility.ts';
import { compareAge } from './by-namespace.ts';
import { mergeDelegateRoutes } from './delegates.ts';
import type { LinkSettings } from './settings.ts';

export type VirtualServiceObject = ConfigObject<VirtualServiceSpec>;

export interface VirtualServiceIndex {
  /** Each object by itself, with its names made absolute; those without hosts included. */
  readonly resolved: Derived<VirtualServiceObject, VirtualService>;
  readonly delegating: Derived<VirtualService, VirtualService>;
  readonly merged: Table<VirtualService>;
  /** Those that apply by themselves, by `namespace/name`. */
  readonly linked: Derived2<VirtualService, VirtualService, VirtualService>;
  /** All, and those bound to `mesh`, by who sees them: `*`, `first/NS`, `private/NS`, `exported/NS`. */
  readonly visible: Table<readonly VirtualService[]>;
  readonly visibleInMesh: Table<readonly VirtualService[]>;
}

export function indexVirtualServices(
  previous: VirtualServiceIndex | undefined,
  table: Table<VirtualServiceObject>,
  settings: LinkSettings,
): VirtualServiceIndex {
  const { domain, virtualServiceExportTo } = settings;
  const resolved = deriveTable(previous?.resolved, table, [settings], (object) =>
    resolveNames(object, domain, virtualServiceExportTo),
  );
  if (resolved === previous?.resolved) return previous;
  const delegating = deriveTable(previous?.delegating, resolved.output, [], (node) =>
    node.hosts.length > 0 && node.http.some((route) => route.delegate !== undefined) ? node : undefined,
  );
  const merged = mergeDelegates(previous?.merged, delegating.output, resolved.output);
  const linked = deriveTable2(previous?.linked, resolved.output, merged, [], (node, withDelegates) =>
    node.hosts.length === 0 ? undefined : (withDelegates ?? node),
  );
  const changes = changesBetween(previous?.linked.output, linked.output);
  const all = regroup(previous?.visible ?? emptyTable<readonly VirtualService[]>(), changes, viewersOf, compareAge);
  const mesh = regroup(
    previous?.visibleInMesh ?? emptyTable<readonly VirtualService[]>(),
    changes,
    meshViewersOf,
    compareAge,
  );
  return { resolved, delegating, merged, linked, visible: all.index, visibleInMesh: mesh.index };
}

/** Set on VirtualServices that were made from routes of the Gateway API. */
const SEMANTICS_ANNOTATION = 'internal.istio.io/route-semantics';

/** True for routes of the Gateway API, which are strict about hosts and win in their own namespace. */
export function isGatewayRoute(node: VirtualService): boolean {
  return node.object.annotations[SEMANTICS_ANNOTATION] === 'gateway';
}

function viewersOf(node: VirtualService): readonly string[] {
  if (node.exportTo === '*') return isGatewayRoute(node) ? ['*', `first/${node.namespace}`] : ['*'];
  return [...node.exportTo].map((each) => (each === node.namespace ? `private/${each}` : `exported/${each}`));
}

function meshViewersOf(node: VirtualService): readonly string[] {
  return node.gateways.includes(MESH_GATEWAY) ? viewersOf(node) : [];
}

const NONE: readonly VirtualService[] = [];

/**
 * What a namespace sees: its private ones, those exported to it, public ones; each oldest first. Of the public ones its
 * own routes of the Gateway API come first.
 */
export function visibleTo(index: Table<readonly VirtualService[]>, namespace: string): readonly VirtualService[] {
  const own = tableGet(index, `private/${namespace}`) ?? NONE;
  const exported = tableGet(index, `exported/${namespace}`) ?? NONE;
  const first = tableGet(index, `first/${namespace}`) ?? NONE;
  const open = tableGet(index, '*') ?? NONE;
  if (own.length === 0 && exported.length === 0 && first.length === 0) return open;
  const taken = new Set(first);
  return [...own, ...exported, ...first, ...(taken.size === 0 ? open : open.filter((node) => !taken.has(node)))];
}

function mergeDelegates(
  previous: Table<VirtualService> | undefined,
  delegating: Table<VirtualService>,
  resolved: Table<VirtualService>,
): Table<VirtualService> {
  const entries: [string, VirtualService][] = [];
  for (const root of tableValues(delegating)) {
    const delegates = delegateKeys(root).map((key) => {
      const delegate = tableGet(resolved, key);
      return isUsableDelegate(root, delegate) ? delegate : undefined;
    });
    entries.push([`${root.namespace}/${root.name}`, withDelegates(root, ...delegates)]);
  }
  return tableFrom(entries, previous);
}

/** `namespace/name` of each delegate, in the order of the routes. */
export function delegateKeys(root: VirtualService): readonly string[] {
  return root.http.flatMap((route) =>
    route.delegate === undefined ? [] : [`${route.delegate.namespace || root.namespace}/${route.delegate.name ?? ''}`],
  );
}

/** A delegate has no hosts of its own and is exported to the root's namespace. */
export function isUsableDelegate(root: VirtualService, delegate: VirtualService | undefined): boolean {
  if (delegate === undefined || delegate.hosts.length > 0) return false;
  return delegate.exportTo === '*' || delegate.exportTo.has(root.namespace);
}

const withDelegates = memo(
  (root: VirtualService, ...delegates: readonly (VirtualService | undefined)[]): VirtualService => {
    const taken: VirtualServiceObject[] = [];
    let next = 0;
    const http = root.http.flatMap((route): readonly HTTPRoute[] => {
      if (route.delegate === undefined) return [route];
      const delegate = delegates[next++];
      if (delegate === undefined) return [];
      if (!taken.includes(delegate.object)) taken.push(delegate.object);
      // Delegation has one level: a delegate's own delegations are no routes.
      const routes = delegate.http.filter((each) => each.delegate === undefined);
      return mergeDelegateRoutes(route, routes);
    });
    return { ...root, http, delegates: taken };
  },
);

function resolveNames(
  object: VirtualServiceObject,
  domain: string,
  defaultExportTo: readonly string[],
): VirtualService {
  const { namespace, spec } = object;
  const host = (name: string): string => resolveShortName(name, namespace, domain);
  const gateways = (names: readonly string[]): readonly string[] =>
    names.map((name) => resolveGatewayName(name, namespace));
  return {
    object,
    namespace,
    name: object.name,
    created: object.created,
    hosts: (spec.hosts ?? []).map(host),
    gateways: spec.gateways === undefined || spec.gateways.length === 0 ? [MESH_GATEWAY] : gateways(spec.gateways),
    exportTo: visibilityOf(spec.exportTo, namespace, defaultExportTo),
    http: (spec.http ?? []).map((route) => resolveHttp(route, host, gateways)),
    tls: (spec.tls ?? []).map((route) => resolveL4(route, host, gateways)),
    tcp: (spec.tcp ?? []).map((route) => resolveL4(route, host, gateways)),
    delegates: [],
  };
}

/** `NAME` is in the own namespace, `./NAME` too; `NAME.NAMESPACE.…` is the old form of `NAMESPACE/NAME`. */
export function resolveGatewayName(name: string, namespace: string): string {
  if (name === MESH_GATEWAY) return name;
  if (name.startsWith('./')) return `${namespace}/${name.slice(2)}`;
  if (name.includes('/')) return name;
  const [first = '', second] = name.split('.');
  return second === undefined ? `${namespace}/${first}` : `${second}/${first}`;
}

type Names = (names: readonly string[]) => readonly string[];
type Host = (name: string) => string;

function destination(to: Destination | undefined, host: Host): Destination | undefined {
  return to?.host === undefined ? to : { ...to, host: host(to.host) };
}

/** A member that was not written is not added: an object that grows behind a spread has a hidden class of its own. */
function resolveHttp(route: HTTPRoute, host: Host, gateways: Names): HTTPRoute {
  const own: { -readonly [K in keyof HTTPRoute]: HTTPRoute[K] } = { ...route };
  if (route.match !== undefined) own.match = resolveMatches(route.match, gateways);
  if (route.route !== undefined) own.route = route.route.map((to) => destined(to, host));
  if (route.mirror !== undefined) own.mirror = destination(route.mirror, host);
  if (route.mirrors !== undefined) own.mirrors = route.mirrors.map((mirror) => destined(mirror, host));
  return own;
}

function resolveL4<R extends TCPRoute | TLSRoute>(route: R, host: Host, gateways: Names): R {
  const matches: readonly L4MatchAttributes[] | undefined = route.match;
  const own: { -readonly [K in keyof (TCPRoute & TLSRoute)]: unknown } = { ...route };
  if (matches !== undefined) own.match = resolveMatches(matches, gateways);
  if (route.route !== undefined) own.route = route.route.map((to) => destined(to, host));
  return own as R;
}

function destined<T extends { readonly destination?: Destination | undefined }>(to: T, host: Host): T {
  return to.destination === undefined ? to : { ...to, destination: destination(to.destination, host) };
}

function resolveMatches<M extends { readonly gateways?: readonly string[] | undefined }>(
  matches: readonly M[],
  gateways: Names,
): readonly M[] {
  return matches.map((match) => (match.gateways ? { ...match, gateways: gateways(match.gateways) } : match));
}
