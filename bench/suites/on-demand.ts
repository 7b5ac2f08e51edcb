// What on-demand discovery saves: one real Envoy, once as usual and once on demand, beside a mesh of many services of
// which it calls a few. In: an Envoy binary, a mesh. Out: what Envoy holds and takes, what the server sent.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findEnvoy } from '../../src/cli/envoy-binary.ts';
import { freePorts } from '../../test/support/wait.ts';
import { hostOf, type MeshShape, meshManifests, namespaceOf, proxyNode } from '../mesh.ts';
import { ServerProcess } from '../server/process.ts';
import type { Notebook } from '../figures.ts';

const CALLED = 10;
const VERSIONS = ['1.40.0', '1.36.4'];

export async function onDemand(shape: MeshShape, notes: Notebook): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-bench-'));
  try {
    const [port = 0] = await freePorts(1);
    writeFileSync(join(folder, 'mesh.yaml'), documents([...meshManifests(shape), sidecarOf(shape, port), PLAINTEXT]));
    for (const version of VERSIONS) {
      const envoy = findEnvoy({ env: process.env, version, exact: true });
      if (envoy === undefined)
        throw new Error(`there is no Envoy ${version}: \`meltemi envoy install --version ${version}\``);
      for (const lean of [false, true]) {
        const server = await ServerProcess.start(folder);
        try {
          await oneProxy({ envoy, server, shape, port, lean, label: `Envoy ${version}` }, notes);
        } finally {
          await server.stop();
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function documents(manifests: readonly object[]): string {
  return manifests.map((manifest) => JSON.stringify(manifest)).join('\n---\n');
}

/** The proxy can't be captured here: it listens for its HTTP services on a port of the loopback. */
function sidecarOf(shape: MeshShape, port: number): object {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'bench', namespace: namespaceOf(shape, 0) },
    spec: {
      egress: [
        {
          port: { number: port, name: 'http', protocol: 'HTTP_PROXY' },
          bind: '127.0.0.1',
          captureMode: 'NONE',
          hosts: ['*/*'],
        },
      ],
    },
  };
}

/** There is nobody to ask for certificates. */
const PLAINTEXT = {
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'default', namespace: 'istio-system' },
  spec: { mtls: { mode: 'DISABLE' } },
};

interface Run {
  readonly envoy: string;
  readonly server: ServerProcess;
  readonly shape: MeshShape;
  readonly port: number;
  readonly lean: boolean;
  readonly label: string;
}

async function oneProxy({ envoy, server, shape, port, lean, label }: Run, notes: Notebook): Promise<void> {
  const [admin = 0] = await freePorts(1);
  const node = proxyNode(shape, 0);
  const metadata = { ...node.metadata, INTERCEPTION_MODE: 'NONE', ...(lean && { MELTEMI_ON_DEMAND: 'true' }) };
  const config = bootstrap({ id: node.id, cluster: node.cluster, metadata }, server.grpc, admin);
  const args = ['--config-yaml', JSON.stringify(config), '--use-dynamic-base-id', '--concurrency', '2', '-l', 'off'];
  const child = spawn(envoy, args, { stdio: 'ignore' });
  try {
    const started = performance.now();
    await until(async () => (await get(admin, '/ready')) === 'LIVE\n' && (await calls(port, hostOf(shape, 1))));
    const ready = performance.now() - started;
    for (let i = 0; i < CALLED; i++) await calls(port, hostOf(shape, i));
    await sleep(2_000);
    const stats = await get(admin, '/stats');
    const stat = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(stats)?.[1]);
    const how = `${label}, ${lean ? 'on demand' : 'everything'}`;
    const routes = await get(admin, '/config_dump?resource=dynamic_route_configs');
    notes.cost(`${how}: from its start to the first answer`, 'ms', [ready]);
    notes.cost(`${how}: clusters`, '', [stat('cluster_manager\\.active_clusters')]);
    notes.cost(`${how}: route configuration as JSON`, 'KB', [routes.length / 1024]);
    notes.cost(`${how}: memory allocated`, 'MB', [stat('server\\.memory_allocated') / 1024 / 1024]);
    notes.cost(`${how}: memory resident`, 'MB', [residentMb(child)]);
    const received = stat('cluster\\.xds-grpc\\.upstream_cx_rx_bytes_total') / 1024;
    notes.cost(`${how}: bytes from the server`, 'KB', [received]);
    notes.cost(`${how}: memory of the server`, 'MB', [server.rssMb]);
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

function residentMb(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

async function until(done: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 300_000; !(await done()); await sleep(20)) {
    if (performance.now() > end) throw new Error('Envoy is not ready');
  }
}

async function get(port: number, path: string): Promise<string> {
  return fetch(`http://127.0.0.1:${port}${path}`).then(
    (response) => response.text(),
    () => '',
  );
}

/** True when the proxy has an answer: there is nobody behind the services, but the way to them is known. */
function calls(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, headers: { host: `${host}:80` }, agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(true));
    });
    sent.on('error', () => resolve(false));
    sent.end();
  });
}

function bootstrap(node: object, grpc: string, admin: number): object {
  const [address, port] = grpc.split(':');
  const ads = { ads: {}, resource_api_version: 'V3' };
  return {
    node,
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: {
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STATIC',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [
              { lb_endpoints: [{ endpoint: { address: { socket_address: { address, port_value: Number(port) } } } }] },
            ],
          },
        },
      ],
    },
  };
}
