// The configuration half of the server: sources, store, mesh settings, plane.

import { existsSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MeshConfig } from '../config/mesh.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { createValidator } from '../config/validate/index.ts';
import type { MemoCounts } from '../lib/memo.ts';
import type { Table } from '../lib/table.ts';
import { Plane } from '../plane/plane.ts';
import { fileSource } from '../sources/files.ts';
import type { KubernetesSource } from '../sources/kubernetes.ts';
import { meshFiles } from '../sources/mesh-file.ts';
import type { MeshSettings } from '../sources/mesh-reading.ts';
import type { Source } from '../sources/source.ts';
import { re2Checker } from '../store/re2.ts';
import { createStore, type Store } from '../store/store.ts';
import { patchValueProblem } from '../translate/envoyfilter/patch.ts';
import { RENDER_COUNTS } from '../translate/counts.ts';
import type { ServerOptions, World } from '../server.ts';
import type { KubeSide } from './kube.ts';

export interface ConfigSide {
  readonly plane: Plane;
  readonly store: Store;
  /** The cluster that is served, if one is. */
  readonly cluster: KubernetesSource | undefined;
  mesh(): MeshConfig;
  /** Findings about objects, files and what proxies refused. */
  findings(): readonly Finding[];
  /** Parts that keep the server from being ready. */
  unready(): readonly string[];
  ready(): Promise<void>;
  stop(): Promise<void>;
}

export async function startConfig(
  options: ServerOptions,
  world: World,
  kube: KubeSide | undefined,
): Promise<ConfigSide> {
  const { log, clock, timers } = world;
  const { meter } = world.metrics;
  let settled = false;
  let cluster: KubernetesSource | undefined;
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
      mode: kube === undefined ? 'files' : 'kubernetes',
    }),
    secretAccess: kube?.secretAccess,
  });
  const { mesh } = await files.start();
  countRenders(world);
  cluster = kube?.source(mesh);
  const sources = [...fileSources(options, world), ...(cluster === undefined ? [] : [cluster])];
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
    cluster,
    mesh: () => files.current().mesh,
    findings,
    unready: () => (settled ? [] : ['configuration is still being read']),
    ready: () => ready,
    stop: async () => {
      plane.stop();
      for (const source of sources) await source.stop();
      await files.stop();
    },
  };
}

/** Renderers count for themselves; a page of metrics takes over what was added since the last. */
function countRenders({ metrics }: World): void {
  const { meter } = metrics;
  const runs = meter.counter('meltemi_render_runs_total', 'Results rendered.', ['kind']);
  const hits = meter.counter('meltemi_render_hits_total', 'Results that were there already.', ['kind']);
  const seen = new Map<string, MemoCounts>();
  metrics.onScrape(() => {
    for (const [kind, counts] of Object.entries(RENDER_COUNTS)) {
      const before = seen.get(kind) ?? { runs: 0, hits: 0 };
      runs.inc({ kind }, counts.runs - before.runs);
      hits.inc({ kind }, counts.hits - before.hits);
      seen.set(kind, { ...counts });
    }
  });
}

function fileSources({ configDir }: ServerOptions, { log, timers }: World): readonly Source[] {
  return configDir === undefined ? [] : [fileSource({ dir: configDir, log: log.child('files'), timers })];
}
