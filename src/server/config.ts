// The configuration half of the server: sources, store, mesh settings, plane.

import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { withFeatures } from '../config/features.ts';
import type { MeshConfig } from '../config/mesh.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { createValidator, type Validator } from '../config/validate/index.ts';
import type { Table } from '../lib/table.ts';
import type { LinkInputs } from '../plane/linkage.ts';
import { awaitsSlices } from '../plane/partial-change.ts';
import { Plane } from '../plane/plane.ts';
import type { LeaseWorkloadKeys } from '../plane/workload-secrets.ts';
import { memoryEntries } from '../registration/memory.ts';
import type { EntryWriter } from '../registration/port.ts';
import { Registrar } from '../registration/registrar.ts';
import { fileSource } from '../sources/files.ts';
import type { KubernetesSource } from '../sources/kubernetes.ts';
import { type JwksResolver, jwksResolver } from '../sources/jwks.ts';
import { meshFiles } from '../sources/mesh-file.ts';
import type { MeshSettings, MeshSource } from '../sources/mesh-reading.ts';
import type { Source } from '../sources/source.ts';
import { re2Checker } from '../store/re2.ts';
import type { StoreState } from '../store/state.ts';
import { createStore, type Store } from '../store/store.ts';
import { patchValueProblems } from '../translate/envoyfilter/patch.ts';
import type { ServerOptions, World } from '../server.ts';
import type { KubeSide } from './kube.ts';
import { storeReader } from './registration.ts';
import { wantedKeys } from './jwks.ts';
import { engineMetrics } from './engine-metrics.ts';

export interface ConfigSide {
  readonly plane: Plane;
  readonly store: Store;
  /** The cluster that is served, if one is. */
  readonly cluster: KubernetesSource | undefined;
  /** Undefined where nothing can be written to. */
  readonly registrar: Registrar | undefined;
  mesh(): MeshConfig;
  /** What judges objects: as they are loaded, or (`admission`) before they are applied. */
  validatorOf(admission: boolean): Validator;
  /** Findings about objects, files and what proxies refused. */
  findings(): readonly Finding[];
  /** Parts that keep the server from being ready. */
  unready(): readonly string[];
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** What the configuration stands on beside its own options. */
export interface ConfigPorts {
  /** Undefined without a cluster. */
  readonly kube: KubeSide | undefined;
  /** Makes certificates for proxies without an agent. */
  readonly workloadKeys: LeaseWorkloadKeys;
}

export async function startConfig(options: ServerOptions, world: World, ports: ConfigPorts): Promise<ConfigSide> {
  const { kube } = ports;
  const { meter } = world.metrics;
  let settled = false;
  let loaded: (() => void) | undefined;
  let cluster: KubernetesSource | undefined = undefined;
  const settings = meshSettings(options, world, kube, ({ mesh }) => {
    cluster?.select(mesh.discoverySelectors ?? [], mesh.rootNamespace);
    plane.signal();
  });
  const regex = re2Checker();
  const validatorOf = (admission: boolean): Validator =>
    createValidator({ regex, decodePatch: patchValueProblems, admission });
  const store = createStore({ validators: validatorOf(false), log: world.log.child('store'), meter });
  const jwks = jwksResolver({
    log: world.log.child('jwks'),
    meter,
    timers: world.timers,
    refresh: options.jwksRefresh,
    onChange: () => plane.signal(),
  });
  const plane = planeOf(options, world, ports, () => {
    const { mesh, networks } = settings.current();
    return { byKind: store.state().byKind, mesh, networks, jwks: jwks.current() };
  });
  const { mesh } = await settings.start();
  const engine = engineMetrics(world.metrics);
  cluster = kube?.source(mesh);
  // With Kubernetes, entries of workloads that register are objects of its API.
  const entries = kube === undefined ? memoryEntries() : undefined;
  const sources = [...fileSources(options, world), cluster, entries].filter((source) => source !== undefined);
  // Every sink before any start: the store is ready when all that it knows of have said so.
  const sinks = sources.map((source) => ({ source, sink: store.sink(source.name) }));
  for (const { source, sink } of sinks) await source.start(sink);
  const ready = store.ready().then(async () => {
    await followKeys(jwks, store, plane);
    await plane.settle();
    settled = true;
    loaded = world.timers.setTimeout(() => options.onLoaded?.(), LOADED_MS);
  });
  const writer = entries ?? kube?.entries;
  const registrar = writer === undefined ? undefined : registrarOf(options, world, store, writer);
  return {
    plane,
    store,
    cluster,
    registrar,
    mesh: () => settings.current().mesh,
    validatorOf,
    findings: () => [...settings.current().findings, ...store.state().findings, ...plane.findings()],
    unready: () => (settled ? [] : ['configuration is still being read']),
    ready: () => ready,
    stop: async () => {
      loaded?.();
      registrar?.close();
      jwks.stop();
      engine.stop();
      plane.stop();
      for (const source of sources) await source.stop();
      await settings.stop();
    },
  };
}

/** Whoever asks whether it is ready is answered first, ms. */
const LOADED_MS = 100;

/** A file that is present beats the ConfigMap. */
function meshSettings(
  { meshConfig, networksConfig }: ServerOptions,
  { log, timers }: World,
  kube: KubeSide | undefined,
  onChange: (settings: MeshSettings) => void,
): MeshSource {
  if (kube !== undefined && !existsSync(meshConfig)) return kube.mesh(onChange);
  return meshFiles({ meshFile: meshConfig, networksFile: networksConfig, log: log.child('mesh'), timers, onChange });
}

/** What changes of a plane's inputs; the rest are options. */
interface Changing extends Pick<LinkInputs, 'mesh' | 'jwks'> {
  readonly byKind: StoreState['byKind'];
  readonly networks: LinkInputs['meshNetworks'];
}

/**
 * How long a change of a churn may wait. Traffic waits for endpoints of a cluster; files are written by people and tools, which
 * look again after seconds: there pushes to many proxies may take a twelfth of a core in place of a third.
 */
const PACES = {
  files: { max: 2000, restPerPush: 15 },
  kubernetes: { max: 500, restPerPush: 0 },
};

function planeOf(
  options: ServerOptions,
  { log, clock, timers, metrics }: World,
  { kube, workloadKeys }: ConfigPorts,
  current: () => Changing,
): Plane {
  const { domain, clusterId, systemNamespace, jwksFetch, features } = options;
  const mode = kube === undefined ? 'files' : 'kubernetes';
  const pace = PACES[mode];
  return new Plane({
    log: log.child('plane'),
    meter: metrics.meter,
    clock,
    timers,
    yieldLoop: () => nextTurn(),
    workloadKeys,
    quiet: options.debounceQuiet,
    max: options.debounceMax ?? pace.max,
    restPerPush: pace.restPerPush,
    inputs: () => {
      const { byKind, mesh, networks, jwks } = current();
      return {
        tables: { table: (kind: Kind): Table<ConfigObject> => byKind[kind] },
        ...{
          mesh: withFeatures(mesh, features),
          meshNetworks: networks,
          jwks,
          jwksFetch,
          domain,
          clusterId,
          systemNamespace,
        },
        mode,
      };
    },
    secretAccess: kube?.secretAccess,
  });
}

/** A restart must not take the keys from proxies that have them, so the first snapshot waits for quick answers. */
async function followKeys(jwks: JwksResolver, store: Store, plane: Plane): Promise<void> {
  jwks.want(wantedKeys(store.state()));
  store.onChange((state, before) => {
    if (state.byKind.RequestAuthentication !== before.byKind.RequestAuthentication) jwks.want(wantedKeys(state));
    plane.signal(awaitsSlices(state.byKind, before.byKind));
  });
  await jwks.tried(KEYS_HEAD_START);
}

/** Proxies reconnect within seconds; what is gone for longer is gone. */
const ENTRY_GRACE_MS = 10_000;

function registrarOf(options: ServerOptions, world: World, store: Store, writer: EntryWriter): Registrar {
  const { clock, timers, log } = world;
  const settings = {
    controller: options.replica ?? hostname(),
    graceMs: options.entryGraceMs ?? ENTRY_GRACE_MS,
    maxConnectionAgeMs: options.maxConnectionAge,
    validateIdentity: options.validateEntryIdentity !== false,
  };
  const reader = storeReader(() => store.state());
  return new Registrar(settings, { reader, writer, clock, timers, log, meter: world.metrics.meter });
}

/** What starting waits for keys of others at most, ms. */
const KEYS_HEAD_START = 2000;

function fileSources({ configDir }: ServerOptions, { log, timers }: World): readonly Source[] {
  return configDir === undefined ? [] : [fileSource({ dir: configDir, log: log.child('files'), timers })];
}
