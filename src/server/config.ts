// The configuration half of the server: sources, store, mesh settings, plane.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MeshConfig } from '../config/mesh.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { createValidator } from '../config/validate/index.ts';
import type { Table } from '../lib/table.ts';
import { Plane } from '../plane/plane.ts';
import { fileSource } from '../sources/files.ts';
import { meshFiles } from '../sources/mesh-file.ts';
import type { Source } from '../sources/source.ts';
import { re2Checker } from '../store/re2.ts';
import { createStore, type Store } from '../store/store.ts';
import { patchValueProblem } from '../translate/envoyfilter/patch.ts';
import type { ServerOptions, World } from '../server.ts';
import { engineMetrics } from './engine-metrics.ts';

export interface ConfigSide {
  readonly plane: Plane;
  readonly store: Store;
  mesh(): MeshConfig;
  /** Findings about objects, files and what proxies refused. */
  findings(): readonly Finding[];
  /** Parts that keep the server from being ready. */
  unready(): readonly string[];
  ready(): Promise<void>;
  stop(): Promise<void>;
}

export async function startConfig(options: ServerOptions, world: World): Promise<ConfigSide> {
  const { log, clock, timers } = world;
  const { meter } = world.metrics;
  let settled = false;
  const files = meshFiles({
    meshFile: options.meshConfig,
    networksFile: options.networksConfig,
    log: log.child('mesh'),
    timers,
    onChange: () => plane.signal(),
  });
  const store = createStore({
    validators: createValidator({ regex: re2Checker(), decodePatch: patchValueProblem }),
    log: log.child('store'),
    meter,
  });
  const plane = new Plane({
    log: log.child('plane'),
    meter,
    clock,
    timers,
    yieldLoop: () => nextTurn(),
    quiet: options.debounceQuiet,
    max: options.debounceMax,
    inputs: () => ({
      tables: { table: (kind: Kind): Table<ConfigObject> => store.state().byKind[kind] },
      mesh: files.current().mesh,
      meshNetworks: files.current().networks,
      domain: options.domain,
      clusterId: options.clusterId,
      systemNamespace: options.systemNamespace,
      mode: options.kubeconfig === undefined ? 'files' : 'kubernetes',
    }),
  });
  await files.start();
  const engine = engineMetrics(world.metrics);
  const sources = await sourcesOf(options, world);
  // Every sink before any start: the store is ready when all that it knows of have said so.
  const sinks = sources.map((source) => ({ source, sink: store.sink(source.name) }));
  for (const { source, sink } of sinks) await source.start(sink);
  const ready = store.ready().then(async () => {
    await plane.settle();
    store.onChange(() => plane.signal());
    settled = true;
  });
  const findings = (): readonly Finding[] => [
    ...files.current().findings,
    ...store.state().findings,
    ...plane.findings(),
  ];
  return {
    plane,
    store,
    mesh: () => files.current().mesh,
    findings,
    unready: () => (settled ? [] : ['configuration is still being read']),
    ready: () => ready,
    stop: async () => {
      engine.stop();
      plane.stop();
      for (const source of sources) await source.stop();
      await files.stop();
    },
  };
}

async function sourcesOf(options: ServerOptions, { log, timers, metrics }: World): Promise<readonly Source[]> {
  const { clusterId, kubeconfig } = options;
  const sources: Source[] = [];
  if (options.configDir !== undefined)
    sources.push(fileSource({ dir: options.configDir, log: log.child('files'), timers }));
  if (kubeconfig !== undefined) {
    // The Kubernetes client is 800 files: half of what starting costs, for those who need it.
    const { kubernetesSource } = await import('../sources/kubernetes.ts');
    sources.push(kubernetesSource({ kubeconfig, clusterId, log: log.child('kube'), meter: metrics.meter, timers }));
  }
  return sources;
}
