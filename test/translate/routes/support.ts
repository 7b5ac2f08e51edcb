import type { ConfigObject } from '../../../src/config/object.ts';
import { DEFAULT_MESH_CONFIG, type MeshConfig } from '../../../src/config/mesh.ts';
import type { Draft } from '../../../src/ir/draft.ts';
import type { ProxyClass } from '../../../src/ir/proxy.ts';
import { decode } from '../../../src/codec/index.ts';
import { DEFAULT_REGISTRY_OPTIONS } from '../../../src/registry/input.ts';
import { buildRegistry } from '../../../src/registry/registry.ts';
import { scopeOf, type LinkedScope } from '../../../src/snapshot/scope.ts';
import { DEFAULT_SNAPSHOT_OPTIONS } from '../../../src/snapshot/settings.ts';
import { buildSnapshot, type LinkedSnapshot } from '../../../src/snapshot/snapshot.ts';
import type { Listener, Messages } from '../../../src/messages/index.ts';
import { service, tables } from '../../support/builders.ts';

type Settings = ProxyClass['settings'];

export interface ClassOptions extends Partial<Omit<ProxyClass, 'settings'>> {
  readonly settings?: Partial<Settings>;
}

/** A sidecar of namespace `default` unless told otherwise. */
export function proxyClass(options: ClassOptions = {}): ProxyClass {
  const namespace = options.namespace ?? 'default';
  return {
    key: JSON.stringify(options),
    type: 'sidecar',
    namespace,
    dnsDomain: `${namespace}.svc.cluster.local`,
    family: 'v4',
    dialect: 'classic',
    clusterId: 'Kubernetes',
    network: '',
    networkView: [],
    locality: '',
    interception: 'REDIRECT',
    labels: {},
    nodeName: '',
    ownHeadlessAddresses: [],
    version: '',
    metadata: {},
    ...options,
    settings: { ...SETTINGS, ...options.settings },
  };
}

const SETTINGS: Settings = {
  dnsCapture: false,
  httpProxyPort: 0,
  http10: false,
  unprivileged: false,
  inboundExactBalance: false,
  outboundExactBalance: false,
  statusPort: 0,
  prometheusPort: 0,
  generator: '',
  externalSds: false,
  proxyConfig: {},
  meshId: '',
  canonicalService: '',
  canonicalRevision: '',
} as Settings;

/** A mesh at one moment; `next` is the one after, of which unchanged parts are the same objects. */
export interface World {
  readonly snapshot: LinkedSnapshot;
  scope(proxyClass: ProxyClass, previous?: LinkedScope): LinkedScope;
  next(...objects: readonly ConfigObject[]): World;
}

export function world(objects: readonly ConfigObject[], mesh: Partial<MeshConfig> = {}): World {
  const whole: MeshConfig = { ...DEFAULT_MESH_CONFIG, ...mesh };
  return at(new Map(objects.map((each) => [`${each.kind}/${each.namespace}/${each.name}`, each])), whole, undefined);
}

function at(objects: ReadonlyMap<string, ConfigObject>, mesh: MeshConfig, previous: LinkedSnapshot | undefined): World {
  const all = tables(...objects.values());
  const registry = buildRegistry(previous?.registry, all, DEFAULT_REGISTRY_OPTIONS);
  const snapshot = buildSnapshot(previous, {
    tables: all,
    registry,
    mesh,
    meshNetworks: { networks: {} },
    options: DEFAULT_SNAPSHOT_OPTIONS,
  });
  return {
    snapshot,
    scope: (own, before) => scopeOf(snapshot, own, before),
    next: (...changed) => {
      const all = new Map(objects);
      for (const each of changed) all.set(`${each.kind}/${each.namespace}/${each.name}`, each);
      return at(all, mesh, snapshot);
    },
  };
}

/** Services `NAME.NAMESPACE`, each with the ports given, and a VIP of its own. */
export function services(ports: readonly string[], ...names: readonly string[]): readonly ConfigObject[] {
  return names.map((full, index) => {
    const [name = '', namespace = 'default'] = full.split('.');
    return service(name, { namespace, ports, clusterIPs: [`10.96.0.${index + 1}`] });
  });
}

export type RouteConfiguration = Messages['envoy.config.route.v3.RouteConfiguration'];
export type VirtualHost = Messages['envoy.config.route.v3.VirtualHost'];
export type Route = Messages['envoy.config.route.v3.Route'];

export function routeConfig(draft: Draft | undefined): RouteConfiguration {
  if (draft === undefined) throw new Error('no such RouteConfiguration');
  return decode('envoy.config.route.v3.RouteConfiguration', draft.bytes);
}

export function hostsOf(draft: Draft | undefined): readonly VirtualHost[] {
  return (routeConfig(draft).virtualHosts ?? []) as readonly VirtualHost[];
}

export function routesOf(draft: Draft | undefined, host: string): readonly Route[] {
  const found = hostsOf(draft).find((each) => each.name === host);
  if (found === undefined) throw new Error(`no virtual host ${host}`);
  return (found.routes ?? []) as readonly Route[];
}

export function listenerOf(draft: Draft | undefined): Listener {
  if (draft === undefined) throw new Error('no such listener');
  return decode('envoy.config.listener.v3.Listener', draft.bytes);
}

export function draftNamed(drafts: readonly Draft[], name: string): Draft | undefined {
  return drafts.find((draft) => draft.name === name);
}
