// Does an Envoy load what proxies are given: everything written into one static bootstrap, which Envoy checks and ends.
// In: documents, nodes. Out: what Envoy says about it, nothing where it is content. No port is bound, no name looked up.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJson, typeNameOf } from '../../src/codec/index.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import type { ObjectEvent } from '../../src/config/object.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { viewResources } from '../../src/resources/view.ts';
import { type OfflineMesh, offlineMesh } from '../../src/server/offline.ts';

type Json = Readonly<Record<string, unknown>>;

export interface LoadableOptions {
  readonly documents: readonly unknown[];
  /** In the JSON form of envoy.config.core.v3.Node. */
  readonly nodes: readonly Json[];
  readonly meshConfig?: string | undefined;
  readonly networksConfig?: string | undefined;
}

/** The mesh of documents, with proxies of these nodes; what can't be parsed is left out, as it would be when served. */
export async function loadableMesh(options: LoadableOptions): Promise<OfflineMesh> {
  const events = options.documents.flatMap((document) =>
    parseDocument(document, { unknownFields: 'warning', origin: 'test' }).flatMap((parsed): readonly ObjectEvent[] =>
      parsed.kind === 'object' ? [{ kind: 'upsert', object: parsed.object }] : [],
    ),
  );
  const mesh = await offlineMesh({
    events,
    meshConfig: options.meshConfig ?? '',
    networksConfig: options.networksConfig ?? '',
    domain: 'cluster.local',
    clusterId: 'Kubernetes',
    systemNamespace: 'istio-system',
  });
  await mesh.connect(options.nodes);
  return mesh;
}

/** The bootstrap of each proxy by its node's id. */
export function bootstrapsOf(mesh: OfflineMesh): ReadonlyMap<string, Json> {
  const bootstraps = new Map<string, Json>();
  for (const session of mesh.plane.sessions) {
    const of = (typeUrl: string): ReadonlyMap<string, Json> => {
      const view = session.view(typeUrl);
      if (view === undefined) return new Map();
      const decoded = [...viewResources(view)].map(
        ({ name, bytes }) => [name, decodeJson(typeNameOf(typeUrl), bytes) as Json] as const,
      );
      return new Map(decoded);
    };
    const [routes, extensions] = [of(TYPE_URL.route), of(TYPE_URL.extension)];
    const listeners = [...of(TYPE_URL.listener).values()].map((listener) => inPlace(listener, routes, extensions));
    bootstraps.set(session.node.id, bootstrapOf([...of(TYPE_URL.cluster).values()], listeners));
  }
  return bootstraps;
}

/** Routes and extension configurations where a listener would ask for them; modules of Wasm are the agent's to fetch. */
function inPlace(value: unknown, routes: ReadonlyMap<string, Json>, extensions: ReadonlyMap<string, Json>): unknown {
  if (Array.isArray(value))
    return value.flatMap((item: unknown) => {
      const { configDiscovery, name, ...rest } = (item ?? {}) as Json;
      if (configDiscovery === undefined) return [inPlace(item, routes, extensions)];
      const typedConfig = extensions.get(String(name))?.['typedConfig'];
      return typedConfig === undefined || isWasm(typedConfig) ? [] : [{ ...rest, name, typedConfig }];
    });
  if (typeof value !== 'object' || value === null) return value;
  const { rds, ...rest } = value as Json;
  const entries = Object.entries(rest).map(([key, item]) => [key, inPlace(item, routes, extensions)] as const);
  if (rds === undefined) return Object.fromEntries(entries);
  const name = String((rds as Json)['routeConfigName']);
  return { ...Object.fromEntries(entries), routeConfig: routes.get(name) ?? { name } };
}

function isWasm(config: unknown): boolean {
  return String((config as Json)['@type']).includes('wasm');
}

/** Clusters of the bootstrap that agents write, which resources refer to. */
const OWN_CLUSTERS = ['xds-grpc', 'sds-grpc', 'sds-external', 'prometheus_stats', 'agent'];

function bootstrapOf(clusters: readonly Json[], listeners: readonly unknown[]): Json {
  const known = new Set(clusters.map(({ name }) => name));
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  };
  const own = OWN_CLUSTERS.filter((name) => !known.has(name)).map((name) => ({
    name,
    type: 'STATIC',
    connectTimeout: '1s',
    typedExtensionProtocolOptions: http2,
  }));
  const grpcServices = [{ envoyGrpc: { clusterName: 'xds-grpc' } }];
  return {
    node: { id: 'loadable', cluster: 'loadable' },
    staticResources: { clusters: [...own, ...clusters], listeners },
    dynamicResources: { adsConfig: { apiType: 'DELTA_GRPC', transportApiVersion: 'V3', grpcServices } },
    // Envoy warns of a proxy that has no limit.
    overloadManager: {
      resourceMonitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typedConfig: {
            '@type':
              'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            maxActiveDownstreamConnections: '100000',
          },
        },
      ],
    },
  };
}

/** What Envoy complains about, in lines of warning and worse. */
export async function complaintsOf(envoy: string, bootstrap: Json, folder: string): Promise<readonly string[]> {
  const file = join(folder, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const args = ['--mode', 'validate', '-c', file, '-l', 'warning', '--disable-hot-restart', '--concurrency', '1'];
  // A file: Envoy opens /dev/stdout by its name where logs are to go there, and a socket can't be opened.
  const output = join(folder, 'output');
  const fd = openSync(output, 'w');
  const env = { ...process.env, OTEL_RESOURCE_ATTRIBUTES: 'test=yes' };
  const code = await new Promise((resolve) => {
    spawn(envoy, args, { stdio: ['ignore', fd, fd], env })
      .on('close', resolve)
      .on('error', resolve);
  });
  closeSync(fd);
  const text = readFileSync(output, 'utf8');
  const told = text.split('\n').filter((line) => /\]\[(warning|error|critical)\]/.test(line));
  const lines = told.map((line) => line.replace(/^\[[^\]]*\]\[\d+\]/, '').replace(file, 'the bootstrap'));
  return code === 0 || lines.length > 0 ? lines : [`Envoy ended with ${String(code)}: ${text}`];
}
