// A whole linked mesh from a list of objects, and the steps from one such mesh to the next: what tests of linking and of
// everything behind it start from.

import { type Features, isDualStack, withFeatures } from '../../src/config/features.ts';
import { DEFAULT_MESH_CONFIG, type MeshConfig, parseMeshConfig } from '../../src/config/mesh.ts';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import type { Proxy } from '../../src/ir/proxy.ts';
import type { ScopedService } from '../../src/ir/traffic.ts';
import { emptyTable, tableFrom, tableGet } from '../../src/lib/table.ts';
import { DEFAULT_REGISTRY_OPTIONS } from '../../src/registry/input.ts';
import { buildRegistry, type Registry } from '../../src/registry/registry.ts';
import {
  buildSnapshot,
  DEFAULT_SNAPSHOT_OPTIONS,
  type Link,
  type LinkedScope,
  type LinkedSnapshot,
  type Linker,
  newLinker,
  parseProxy,
  relink,
  type SnapshotOptions,
  scopeOf,
} from '../../src/snapshot/index.ts';
import { type TestTables, tables } from './builders.ts';

export interface World {
  readonly tables: TestTables;
  readonly mesh: MeshConfig;
  readonly registry: Registry;
  readonly snapshot: LinkedSnapshot;
  readonly linker: Linker;
  readonly options: SnapshotOptions;
}

export interface WorldOptions {
  /** Fields of the mesh configuration over the defaults. */
  readonly mesh?: Readonly<Record<string, unknown>>;
  readonly options?: Partial<SnapshotOptions>;
  readonly features?: Features;
}

/** A mesh of these objects. */
export function world(objects: readonly ConfigObject[], { mesh, options, features }: WorldOptions = {}): World {
  const settings = mesh === undefined ? DEFAULT_MESH_CONFIG : parseMeshConfig(mesh).mesh;
  return build(undefined, tables(...objects), withFeatures(settings, features), {
    ...DEFAULT_SNAPSHOT_OPTIONS,
    ...options,
  });
}

function build(before: World | undefined, next: TestTables, mesh: MeshConfig, options: SnapshotOptions): World {
  const registry = buildRegistry(before?.registry, next, {
    ...DEFAULT_REGISTRY_OPTIONS,
    mode: 'files',
    defaultServiceExportTo: mesh.defaultServiceExportTo,
    dualStack: isDualStack(mesh),
  });
  const input = { tables: next, registry, mesh, meshNetworks: { networks: {} }, options };
  const snapshot = buildSnapshot(before?.snapshot, input);
  return { tables: next, mesh, registry, snapshot, linker: before?.linker ?? newLinker(), options };
}

/** The mesh after these objects were created or replaced. */
export function withObjects(before: World, ...objects: readonly ConfigObject[]): World {
  return build(before, before.tables.with(...objects), before.mesh, before.options);
}

/** The mesh after these objects were deleted. */
export function withoutObjects(before: World, ...objects: readonly ConfigObject[]): World {
  return build(before, before.tables.without(...objects), before.mesh, before.options);
}

/** The mesh under other settings. */
export function withMesh(before: World, fields: Readonly<Record<string, unknown>>): World {
  return build(before, before.tables, parseMeshConfig(fields).mesh, before.options);
}

/** The same mesh, built from nothing. */
export function rebuilt(from: World, kinds: readonly Kind[]): World {
  const copies = kinds.map((kind) => {
    const table = from.tables.table(kind);
    return [kind, tableFrom(table.buckets.flatMap((bucket) => [...bucket]))] as const;
  });
  const byKind = new Map(copies);
  const fresh: TestTables = { ...from.tables, table: (kind) => byKind.get(kind) ?? emptyTable<ConfigObject>() };
  return build(undefined, fresh, from.mesh, from.options);
}

export interface ProxyOptions {
  readonly type?: 'sidecar' | 'router';
  readonly name?: string;
  readonly namespace?: string;
  readonly ip?: string;
  readonly ips?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly subZone?: string };
}

/** A connected proxy. */
export function proxy(options: ProxyOptions = {}): Proxy {
  const { type = 'sidecar', name = 'client', namespace = 'default', ip = '10.0.0.1' } = options;
  const parsed = parseProxy({
    id: `${type}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    locality: options.locality,
    metadata: {
      NAMESPACE: namespace,
      CLUSTER_ID: 'Kubernetes',
      LABELS: options.labels ?? {},
      ...(options.ips === undefined ? {} : { INSTANCE_IPS: options.ips.join(',') }),
      ...options.metadata,
    },
  });
  if ('error' in parsed) throw new Error(parsed.error);
  return parsed;
}

export function linkOf(at: World, of: Proxy, previous?: Link): Link {
  return relink(at.linker, at.snapshot, of, previous);
}

/** The scope of a proxy that just connected. */
export function scopeFor(at: World, options: ProxyOptions = {}): LinkedScope {
  return scopeOf(at.snapshot, linkOf(at, proxy(options)).proxyClass, undefined);
}

/** `host:port,port` of each service. */
export function named(services: readonly ScopedService[]): readonly string[] {
  return services.map(({ service }) => `${service.hostname}:${service.ports.map((port) => port.number).join(',')}`);
}

/** Namespaces and names of the objects behind the rule for a host. */
export function ruleOf(scope: LinkedScope, host: string): readonly string[] | undefined {
  return tableGet(scope.services, host)?.rule?.objects.map((object) => `${object.namespace}/${object.name}`);
}
