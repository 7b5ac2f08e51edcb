// The plane's hold on registry and snapshot: builds both from the newest inputs, and links sessions to them.

import { featureLabels, isDualStack } from '../config/features.ts';
import type { JwksFetchMode } from '../config/jwks-source.ts';
import type { MeshConfig, MeshNetworks } from '../config/mesh.ts';
import type { Proxy, ProxyClass, Workload } from '../ir/proxy.ts';
import type { ConfigTables } from '../registry/input.ts';
import { buildRegistry, type Registry } from '../registry/registry.ts';
import {
  buildSnapshot,
  carryLinks,
  concernedBy,
  DEFAULT_SNAPSHOT_OPTIONS,
  forkLinker,
  isCurrent,
  isKept,
  type Link,
  type LinkedScope,
  type LinkedSnapshot,
  type Linker,
  newLinker,
  parseProxy,
  partLink,
  relink,
} from '../snapshot/index.ts';
import type { NodeInfo } from '../xds/port.ts';
import { Departed } from './departed.ts';
import { Links } from './links.ts';
import { Scopes } from './scopes.ts';

/** Everything that a snapshot is built from, at one moment. */
export interface LinkInputs {
  readonly tables: ConfigTables;
  readonly mesh: MeshConfig;
  readonly meshNetworks: MeshNetworks;
  readonly domain: string;
  readonly clusterId: string;
  readonly systemNamespace: string;
  readonly mode: 'kubernetes' | 'files';
  /** Key sets of RequestAuthentications by the URI that leads to them, as far as they were fetched. */
  readonly jwks?: ReadonlyMap<string, string> | undefined;
  readonly jwksFetch?: JwksFetchMode | undefined;
}

export interface ProxyLink {
  readonly proxyClass: ProxyClass;
  readonly workload: Workload;
}

export interface Linkage<S extends object> {
  /** The next snapshot; the previous one when nothing differs. */
  build(inputs: LinkInputs, previous: LinkedSnapshot | undefined): LinkedSnapshot;
  /** Sessions whose links may be different in the snapshot that was built last: those of all others hold in it. */
  readonly concerned: ReadonlySet<S>;
  /** Another number after a session was linked to something else, or is over. */
  readonly changes: number;
  /** The proxy that a node says it is. `incremental`: it speaks the delta variant. */
  parse(node: NodeInfo, incremental?: boolean): ReturnType<typeof parseProxy>;
  /** Class and workload of a session; remembered by it until `forget`. */
  link(session: S, proxy: Proxy, snapshot: LinkedSnapshot): ProxyLink;
  /** The session is over. What it was linked to is remembered for a moment, should its node come back. */
  forget(session: S, node: NodeInfo, proxy: Proxy): void;
  /** Classes, workloads and proxies that are remembered: those in use, and those of a moment ago. */
  remembered(): number;
  readonly scopeOf: (snapshot: LinkedSnapshot, proxyClass: ProxyClass) => LinkedScope;
  /** Begins with all that this one knows; what is built and linked there changes nothing here. */
  fork(): Linkage<S>;
}

/** `looked`: called for each scope that is made, or compared with all that it is made of. */
export function linkage<S extends object>(looked: () => void = () => {}): Linkage<S> {
  return linkageFrom<S>(newLinker(), undefined, () => undefined, new Scopes(looked));
}

/** `linkOf`: what a session is linked to at first. */
function linkageFrom<S extends object>(
  linker: Linker,
  from: Registry | undefined,
  linkOf: (session: S) => Link | undefined,
  scopes: Scopes,
): Linkage<S> {
  const links = new Links<S>(linker);
  let concerned: ReadonlySet<S> = new Set();
  const departed = new Departed();
  const returned = new WeakMap<Proxy, Link>();
  let registry = from;
  return {
    build: (inputs, previous) => {
      registry = buildRegistry(registry, inputs.tables, registryOptions(inputs));
      const { tables, mesh, meshNetworks, domain, clusterId } = inputs;
      const snapshot = buildSnapshot(previous, {
        tables,
        registry,
        mesh,
        meshNetworks,
        options: { ...DEFAULT_SNAPSHOT_OPTIONS, domain, clusterId },
        jwks: inputs.jwks,
        jwksFetch: inputs.jwksFetch,
      });
      concerned = new Set();
      if (snapshot === previous) return snapshot;
      departed.advance();
      concerned = links.concerned(concernedBy(linker, snapshot, links.namespaces));
      for (const session of concerned) partLink(links.get(session));
      carryLinks(linker, snapshot);
      scopes.follow(previous, snapshot);
      return snapshot;
    },
    get concerned() {
      return concerned;
    },
    get changes() {
      return links.changes;
    },
    parse: (node, incremental = false) => {
      const departure = departed.returning(node, incremental);
      if (departure === undefined) {
        const parsed = parseProxy(node);
        return 'error' in parsed ? parsed : { incremental, ...parsed };
      }
      // What nobody used for long was forgotten, and others may have come to share something else since.
      if (isKept(linker, departure.link)) returned.set(departure.proxy, departure.link);
      return departure.proxy;
    },
    link: (session, proxy, snapshot) => {
      const known = links.get(session);
      if (known !== undefined && isCurrent(linker, known, snapshot)) return known;
      const before = known ?? linkOf(session) ?? returned.get(proxy);
      const link = relink(linker, snapshot, proxy, before);
      links.set(session, proxy, link);
      return link;
    },
    forget: (session, node, proxy) => {
      const link = links.delete(session);
      if (link === undefined) return;
      partLink(link);
      departed.left({ node, proxy, link });
    },
    remembered: () =>
      linker.classes.size + linker.workloads.size + linker.configs.size + linker.namespaces.size + departed.size,
    scopeOf: (snapshot, proxyClass) => scopes.of(snapshot, proxyClass),
    // Links and scopes are brought up to date in place: a fork starts from copies.
    fork: () =>
      linkageFrom<S>(
        forkLinker(linker),
        registry,
        (session) => copiedLink(links.get(session)),
        new Scopes(
          () => {},
          (proxyClass) => copiedScope(scopes.latest(proxyClass)),
        ),
      ),
  };
}

function copiedLink(link: Link | undefined): Link | undefined {
  if (link === undefined) return undefined;
  const copy = { ...link, memory: { ...link.memory } };
  partLink(copy);
  return copy;
}

function copiedScope(scope: LinkedScope | undefined): LinkedScope | undefined {
  return scope && { ...scope, parts: { ...scope.parts } };
}

function registryOptions({
  mesh,
  meshNetworks,
  domain,
  clusterId,
  systemNamespace,
  mode,
}: LinkInputs): Parameters<typeof buildRegistry>[2] {
  return {
    domain,
    clusterId,
    trustDomain: mesh.trustDomain,
    systemNamespace,
    mode,
    defaultServiceExportTo: mesh.defaultServiceExportTo,
    entryVisibility: mesh.serviceEntryVisibility,
    serviceSettings: mesh.serviceSettings ?? [],
    networks: meshNetworks.networks,
    autoAllocate: true,
    dualStack: isDualStack(mesh),
    sessionLabels: featureLabels(mesh),
  };
}
