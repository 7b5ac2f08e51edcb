// The configuration half of the server: sources, store, mesh settings, plane.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MeshConfig } from '../config/mesh.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { createValidator } from '../config/validate/index.ts';
import type { MemoCounts } from '../lib/memo.ts';
import type { Table } from '../lib/table.ts';
import { Plane } from '../plane/plane.ts';
import { fileSource } from '../sources/files.ts';
import { jwksResolver } from '../sources/jwks.ts';
import { meshFiles } from '../sources/mesh-file.ts';
import type { Source } from '../sources/source.ts';
import { re2Checker } from '../store/re2.ts';
import { createStore, type Store } from '../store/store.ts';
import { patchValueProblem } from '../translate/envoyfilter/patch.ts';
import { RENDER_COUNTS } from '../translate/counts.ts';
import type { ServerOptions, World } from '../server.ts';
import { wantedKeys } from './jwks.ts';

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
      jwks: jwks.current(),
      jwksFetch: options.jwksFetch,
    }),
  });
  await files.start();
  countRenders(world);
  const sources = await sourcesOf(options, world);
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
      jwks.stop();
      plane.stop();
      for (const source of sources) await source.stop();
      await files.stop();
    },
  };
}

/** What starting waits for keys of others at most, ms. */
const KEYS_HEAD_START = 2000;

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
