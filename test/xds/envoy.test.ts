// A real Envoy as the client: what it needs to finish warming, in which order it asks, what it holds in the end.
// Skipped where no Envoy is installed (see src/cli/envoy-binary.ts).

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { findEnvoy } from '../../src/cli/envoy-binary.ts';
import { encodeJson } from '../../src/codec/index.ts';
import { tableFrom } from '../../src/lib/table.ts';
import type { Resource } from '../../src/resources/resource.ts';
import { resourceOf } from '../../src/resources/resource.ts';
import { shardKey } from '../../src/resources/view.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { startXds, XDS_CHANNEL_OPTIONS, type XdsServer } from '../../src/xds/server.ts';
import { CLUSTER, ENDPOINT, LISTENER, Metrics, MODES, ROUTE, silentLog, World } from './support.ts';

const binary = findEnvoy({ env: process.env });
const ADS = { ads: {}, resourceApiVersion: 'V3' };

function clusterJson(name: string, timeout: string): object {
  return {
    name,
    type: 'EDS',
    connectTimeout: timeout,
    edsClusterConfig: { edsConfig: ADS },
  };
}

function endpointJson(name: string, port: number): object {
  const address = { socketAddress: { address: '127.0.0.1', portValue: port } };
  return { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] };
}

function routeJson(name: string, cluster: string): object {
  return {
    name,
    virtualHosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
  };
}

function listenerJson(name: string, route: string): object {
  return {
    name,
    address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
    filterChains: [
      {
        filters: [
          {
            name: 'hcm',
            typedConfig: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              statPrefix: name,
              rds: { routeConfigName: route, configSource: ADS },
              httpFilters: [
                {
                  name: 'router',
                  typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

function serve(world: World, typeUrl: string, named: Readonly<Record<string, object>>): World {
  const message = typeUrl.slice(typeUrl.indexOf('/') + 1);
  const list = Object.entries(named).map(([name, json]): readonly [string, readonly Resource[]] => [
    shardKey(name),
    [resourceOf(typeUrl, name, encodeJson(message as Parameters<typeof encodeJson>[0], json))],
  ]);
  const before = world.views.get(typeUrl)?.parts[0];
  world.views.set(typeUrl, { typeUrl, parts: [tableFrom(list, before)] });
  return world;
}

interface Rig {
  readonly world: World;
  readonly metrics: Metrics;
  /** The server that runs now. */
  now(): XdsServer;
  /** Ends the server and starts another at the same address. */
  restart(between?: () => void): Promise<void>;
  stat(name: string): Promise<number>;
  clusterInfo(name: string): Promise<{ timeout: string | undefined; hosts: number }>;
}

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(
  world: World,
  metrics: Metrics,
  port = 0,
): Promise<{ xds: XdsServer; server: Server; port: number }> {
  const xds = startXds({
    port: world,
    log: silentLog,
    meter: metrics,
    clock: { now: () => Date.now() },
    timers: {
      setTimeout: (fn, ms) => {
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
    },
    peerOf: () => ({ address: 'envoy', plaintext: true, identities: [] }),
  });
  const server = new Server(XDS_CHANNEL_OPTIONS);
  const bound = await xds.bind(server, { host: '127.0.0.1', port }, ServerCredentials.createInsecure());
  cleanups.push(() => server.forceShutdown());
  return { xds, server, port: bound };
}

function bootstrap(mode: Mode, port: number): object {
  const apiType = mode === 'delta' ? 'DELTA_GRPC' : 'GRPC';
  return {
    node: { id: 'sidecar~127.0.0.1~a.b~b.svc.cluster.local', cluster: 'a' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
      cds_config: { ads: {}, resource_api_version: 'V3' },
      lds_config: { ads: {}, resource_api_version: 'V3' },
    },
    static_resources: {
      clusters: [
        {
          name: 'xds',
          type: 'STATIC',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
                ],
              },
            ],
          },
        },
      ],
    },
  };
}

async function rig(mode: Mode): Promise<Rig> {
  const world = new World();
  serve(world, CLUSTER, { a: clusterJson('a', '1s'), b: clusterJson('b', '1s') });
  serve(world, ENDPOINT, { a: endpointJson('a', 1), b: endpointJson('b', 1) });
  serve(world, LISTENER, { l: listenerJson('l', 'r') });
  serve(world, ROUTE, { r: routeJson('r', 'a') });
  const metrics = new Metrics();
  let running = await listen(world, metrics);
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-xds-'));
  const adminFile = join(folder, 'admin');
  const child: ChildProcess = spawn(
    binary ?? '',
    [
      '--config-yaml',
      JSON.stringify(bootstrap(mode, running.port)),
      '--admin-address-path',
      adminFile,
      '--use-dynamic-base-id',
      '--concurrency',
      '1',
      '-l',
      'error',
    ],
    { stdio: 'ignore' },
  );
  cleanups.push(async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });
  const admin = async (path: string): Promise<string> => {
    const address = await poll(() => {
      try {
        return readFileSync(adminFile, 'utf8') || undefined;
      } catch {
        return undefined;
      }
    });
    return (await fetch(`http://${address}${path}`)).text();
  };
  const stat = async (name: string): Promise<number> => {
    const text = await admin(`/stats?filter=^${name}$`);
    return Number(/: (\d+)/.exec(text)?.[1] ?? Number.NaN);
  };
  const clusterInfo: Rig['clusterInfo'] = async (name) => {
    const dump = JSON.parse(await admin('/config_dump?resource=dynamic_active_clusters')) as {
      configs?: { cluster?: { name?: string; connect_timeout?: string } }[];
    };
    const timeout = dump.configs?.find((item) => item.cluster?.name === name)?.cluster?.connect_timeout;
    const clusters = JSON.parse(await admin('/clusters?format=json')) as {
      cluster_statuses?: { name?: string; host_statuses?: unknown[] }[];
    };
    const hosts = clusters.cluster_statuses?.find((item) => item.name === name)?.host_statuses?.length ?? 0;
    return { timeout, hosts };
  };
  const now = (): XdsServer => running.xds;
  const restart: Rig['restart'] = async (between) => {
    running.server.forceShutdown();
    between?.();
    running = await listen(world, metrics, running.port);
  };
  return { world, metrics, now, restart, stat, clusterInfo };
}

/** Asks again and again, since Envoy's admin page can't be subscribed to. */
async function poll<T>(ask: () => T | undefined | Promise<T | undefined>, limit = 10_000): Promise<T> {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error('it did not come to pass');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function until(ask: () => boolean | Promise<boolean>, limit?: number): Promise<void> {
  await poll(async () => ((await ask()) ? true : undefined), limit);
}

describe.skipIf(binary === undefined).each(MODES)('a real Envoy, %s', (mode) => {
  it('syncs, follows a changed cluster without delay, reconnects without being sent anything anew', async () => {
    const { world, metrics, now, restart, stat, clusterInfo } = await rig(mode);
    await until(async () => (await stat('listener_manager.workers_started')) === 1);
    await until(async () => (await stat('listener_manager.total_listeners_active')) === 1);
    await until(async () => (await clusterInfo('a')).hosts === 1);

    // A changed cluster warms until endpoints come; Envoy's own patience is 15 s.
    serve(world, CLUSTER, { a: clusterJson('a', '2s'), b: clusterJson('b', '1s') }).wake();
    await until(async () => (await clusterInfo('a')).timeout === '2s', 5_000);
    expect((await clusterInfo('a')).hosts).toBe(1);
    expect(await stat('cluster_manager.warming_clusters')).toBe(0);

    // A new cluster, the route to it, the old one gone.
    serve(world, CLUSTER, { b: clusterJson('b', '1s'), c: clusterJson('c', '3s') });
    serve(world, ENDPOINT, { b: endpointJson('b', 1), c: endpointJson('c', 1) });
    serve(world, ROUTE, { r: routeJson('r', 'c') }).wake();
    await until(async () => (await clusterInfo('c')).hosts === 1, 5_000);
    await until(async () => (await clusterInfo('a')).timeout === undefined, 5_000);
    await until(
      () =>
        now()
          .streams()[0]
          ?.types.every((type) => type.unanswered === 0) === true,
    );
    expect(metrics.of('pilot_total_xds_rejects')).toBe(0);

    const types = ['cds', 'eds', 'lds', 'rds'];
    const sent = (): number[] => types.map((type) => metrics.of(`pilot_xds_pushes{${type}}`));
    /** Envoy loses the server, finds another one, and tells what it has; gives what it is sent then. */
    const resent = async (): Promise<number[]> => {
      const before = sent();
      await restart();
      await until(() => now().streams()[0]?.types.length === 4);
      await until(
        () =>
          now()
            .streams()[0]
            ?.types.every((type) => type.unanswered === 0) === true,
      );
      return sent().map((count, i) => count - (before[i] ?? 0));
    };
    // State of the world: the last that Envoy was told of clusters came after the endpoints, which it may have dropped.
    expect(await resent()).toEqual(mode === 'delta' ? [0, 0, 0, 0] : [0, 1, 0, 0]);
    expect(await resent()).toEqual([0, 0, 0, 0]);
    expect(await stat('cluster_manager.warming_clusters')).toBe(0);
    expect((await clusterInfo('c')).hosts).toBe(1);

    // Changes reach it as before.
    const updates = await stat('cluster.c.update_success');
    serve(world, ENDPOINT, { b: endpointJson('b', 1), c: endpointJson('c', 2) }).wake();
    await until(async () => (await stat('cluster.c.update_success')) === updates + 1);
    await until(
      () =>
        now()
          .streams()[0]
          ?.types.every((type) => type.unanswered === 0) === true,
    );
    expect(await resent()).toEqual([0, 0, 0, 0]);

    // A cluster that changes while Envoy is away.
    await restart(() => serve(world, CLUSTER, { b: clusterJson('b', '4s'), c: clusterJson('c', '3s') }));
    await until(async () => (await clusterInfo('b')).timeout === '4s', 10_000);
    expect((await clusterInfo('b')).hosts).toBe(1);
    expect(metrics.of('pilot_total_xds_rejects')).toBe(0);
  }, 60_000);
});
