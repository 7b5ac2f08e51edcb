// A mesh in memory from documents, without a server around it: linked and translated by the same code that serves.
// In: documents, mesh settings, nodes of proxies. Out: findings, previews. Called by `diff` and `analyze`.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Features, withFeatures } from '../config/features.ts';
import type { JwksFetchMode } from '../config/jwks-source.ts';
import type { ConfigObject, Finding, Kind, ObjectEvent } from '../config/object.ts';
import { createValidator } from '../config/validate/index.ts';
import { encode } from '../codec/index.ts';
import type { Table } from '../lib/table.ts';
import { Plane } from '../plane/plane.ts';
import { meshFiles } from '../sources/mesh-file.ts';
import { re2Checker } from '../store/re2.ts';
import { createStore, type Store } from '../store/store.ts';
import { createLog } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { patchValueProblems } from '../translate/envoyfilter/patch.ts';
import { readNode } from '../xds/node.ts';
import { WireReader } from '../xds/wire.ts';
import { REAL_TIMERS } from './real.ts';
import type { PreviewParts } from './preview.ts';

export interface OfflineOptions {
  readonly events: readonly ObjectEvent[];
  /** File names; a file that isn't there means defaults. */
  readonly meshConfig: string;
  readonly networksConfig: string;
  readonly domain: string;
  readonly clusterId: string;
  readonly systemNamespace: string;
  readonly features?: Features | undefined;
  readonly jwksFetch?: JwksFetchMode | undefined;
}

export interface OfflineMesh {
  readonly plane: Plane;
  readonly store: Store;
  readonly preview: PreviewParts;
  /** About mesh settings, objects, links between them, and what the proxies are given. */
  findings(): readonly Finding[];
  /** Proxies by their nodes, in the JSON form of envoy.config.core.v3.Node. Rejects with why one is none. */
  connect(nodes: readonly object[]): Promise<void>;
  stop(): void;
}

const CLOCK = { now: () => Date.now() };

export async function offlineMesh(options: OfflineOptions): Promise<OfflineMesh> {
  const { log } = createLog({ levels: 'none' });
  const { meter } = createMetrics();
  const files = meshFiles({
    meshFile: options.meshConfig,
    networksFile: options.networksConfig,
    log,
    timers: REAL_TIMERS,
    onChange: () => undefined,
  });
  const settings = await files.start();
  await files.stop();
  const validate = createValidator({ regex: re2Checker(), decodePatch: patchValueProblems });
  const store = createStore({ validators: validate, log, meter });
  store.sink('documents').apply(options.events);
  const { byKind } = store.state();
  const plane = new Plane({
    log,
    meter,
    clock: CLOCK,
    timers: REAL_TIMERS,
    yieldLoop: () => nextTurn(),
    quiet: 0,
    max: 0,
    inputs: () => ({
      tables: { table: (kind: Kind): Table<ConfigObject> => byKind[kind] },
      mesh: withFeatures(settings.mesh, options.features),
      meshNetworks: settings.networks,
      domain: options.domain,
      clusterId: options.clusterId,
      systemNamespace: options.systemNamespace,
      jwksFetch: options.jwksFetch,
      mode: 'files',
    }),
  });
  await plane.settle();
  return {
    plane,
    store,
    preview: {
      plane,
      validate: createValidator({ regex: re2Checker(), decodePatch: patchValueProblems, admission: true }),
      slicing: { clock: CLOCK, yieldLoop: () => nextTurn(), slice: Number.POSITIVE_INFINITY },
      created: () => 0,
    },
    findings: () => [...settings.findings, ...store.state().findings, ...plane.findings()],
    connect: async (nodes) => {
      for (const node of nodes) connect(plane, node);
      await plane.settle();
    },
    stop: () => plane.stop(),
  };
}

/** Over the wire's form, so that a node means what it means when a proxy sends it. */
function connect(plane: Plane, node: object): void {
  const bytes = encode('envoy.config.core.v3.Node', node);
  const info = readNode(new WireReader(Buffer.from(bytes)));
  const peer = { address: '127.0.0.1', plaintext: true, identities: [] };
  const session = plane.connect(info, peer, () => undefined, 'delta');
  if (session.kind === 'refused') throw new Error(session.message);
}
