// The configuration half of the server: sources, store, mesh settings, plane.

import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MeshConfig } from '../config/mesh.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { createValidator, type Validator } from '../config/validate/index.ts';
import type { Table } from '../lib/table.ts';
import { Plane } from '../plane/plane.ts';
import type { LeaseWorkloadKeys } from '../plane/workload-secrets.ts';
import { memoryEntries } from '../registration/memory.ts';
import type { EntryWriter } from '../registration/port.ts';
import { Registrar } from '../registration/registrar.ts';
import { fileSource } from '../sources/files.ts';
import type { KubernetesSource } from '../sources/kubernetes.ts';
import { jwksResolver } from '../sources/jwks.ts';
import { meshFiles } from '../sources/mesh-file.ts';
import type { MeshSettings } from '../sources/mesh-reading.ts';
import type { Source } from '../sources/source.ts';
import { re2Checker } from '../store/re2.ts';
import { createStore, type Store } from '../store/store.ts';
import { patchValueProblem } from '../translate/envoyfilter/patch.ts';
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

export async function startConfig(
  options: ServerOptions,
  world: World,
  { kube, workloadKeys }: ConfigPorts,
): Promise<ConfigSide> {
  const { log, clock, timers } = world;
  const { meter } = world.metrics;
  let settled = false;
  let cluster: KubernetesSource | undefined = undefined;
  const onChange = ({ mesh }: MeshSettings): void => {
    cluster?.select(mesh.discoverySelectors ?? [], mesh.rootNamespace);
    plane.signal();
  };
  // A file that is present beats the ConfigMap.
  const files =
    kube === undefined || existsSync(options.meshConfig)
      ? meshFiles({
          meshFile: options.meshConfig,
          networksFile: options.networksConfig,
          log: log.child('mesh'),
          timers,
          onChange,
        })
      : kube.mesh(onChange);
  const regex = re2Checker();
  const validatorOf = (admission: boolean): Validator =>
    createValidator({ regex, decodePatch: patchValueProblem, admission });
  const store = createStore({
    validators: validatorOf(false),
    log: log.child('store'),
    meter,
  });
  const jwks = jwksResolver({
    log: log.child('jwks'),
    meter,
    timers,
    refresh: options.jwksRefresh,
    onChange: () => plane.signal(),
  });
  const plane = new Plane({
    log: log.child('plane'),
    meter,
    clock,
    timers,
    yieldLoop: () => nextTurn(),
    workloadKeys,
    quiet: options.debounceQuiet,
    max: options.debounceMax,
    inputs: () => {
      const { byKind } = store.state();
      return {
        tables: { table: (kind: Kind): Table<ConfigObject> => byKind[kind] },
        mesh: files.current().mesh,
        meshNetworks: files.current().networks,
        domain: options.domain,
        clusterId: options.clusterId,
        systemNamespace: options.systemNamespace,
        mode: kube === undefined ? 'files' : 'kubernetes',
        jwks: jwks.current(),
        jwksFetch: options.jwksFetch,
      };
    },
    secretAccess: kube?.secretAccess,
  });
  const { mesh } = await files.start();
  const engine = engineMetrics(world.metrics);
  cluster = kube?.source(mesh);
  // With Kubernetes, entries of workloads that register are objects of its API.
  const entries = kube === undefined ? memoryEntries() : undefined;
  const sources = [
    ...fileSources(options, world),
    ...(cluster === undefined ? [] : [cluster]),
    ...(entries === undefined ? [] : [entries]),
  ];
  // Every sink before any start: the store is ready when all that it knows of have said so.
  const sinks = sources.map((source) => ({ source, sink: store.sink(source.name) }));
  for (const { source, sink } of sinks) await source.start(sink);
  const ready = store.ready().then(async () => {
    // A restart must not take the keys from proxies that have them, so the first snapshot waits for quick answers.
    jwks.want(wantedKeys(store.state()));
    store.onChange((state, before) => {
      if (state.byKind.RequestAuthentication !== before.byKind.RequestAuthentication) jwks.want(wantedKeys(state));
      plane.signal();
    });
    await jwks.tried(KEYS_HEAD_START);
    await plane.settle();
    options.onLoaded?.();
    settled = true;
  });
  const writer = entries ?? kube?.entries;
  const registrar = writer === undefined ? undefined : registrarOf(options, world, store, writer);
  const findings = (): readonly Finding[] => [
    ...files.current().findings,
    ...store.state().findings,
    ...plane.findings(),
  ];
  return {
    plane,
    store,
    cluster,
    registrar,
    mesh: () => files.current().mesh,
    validatorOf,
    findings,
    unready: () => (settled ? [] : ['configuration is still being read']),
    ready: () => ready,
    stop: async () => {
      registrar?.close();
      jwks.stop();
      engine.stop();
      plane.stop();
      for (const source of sources) await source.stop();
      await files.stop();
    },
  };
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
