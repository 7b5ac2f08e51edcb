// The mesh of the demo: control plane, one agent and Envoy for each workload, and how to know that all are ready.

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { get } from './calls.ts';
import type { Children } from './children.ts';
import { type DemoWorkload, NAMESPACE, podAddress, workloadName, WORKLOADS } from './workloads.ts';

const run = promisify(execFile);

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'dist', 'main.js');

/** The control plane's addresses: high ports, so that a cluster's usual ones stay free. */
export const CONTROL_PLANE = { host: '127.0.0.1', xds: 15_310, tls: 15_312, http: 15_380, monitoring: 15_314 } as const;

export const GATEWAY_URL = 'http://127.0.0.1:8000/productpage';

export interface MeshOptions {
  readonly children: Children;
  /** Scratch folder. */
  readonly work: string;
  readonly configDir: string;
  readonly envoy: string;
}

/** Starts everything and resolves when every proxy is ready. */
export async function startMesh(options: MeshOptions): Promise<void> {
  const state = join(options.work, 'state');
  await startControlPlane(options, state);
  await waitFor('the control plane', () => isReady(CONTROL_PLANE.host, CONTROL_PLANE.http, '/ready'));
  await Promise.all(WORKLOADS.map((workload) => startWorkload(workload, options, state)));
  await Promise.all(
    WORKLOADS.map((workload) =>
      waitFor(workloadName(workload), () => isReady(podAddress(workload), STATUS_PORT, '/healthz/ready')),
    ),
  );
}

async function startControlPlane({ children, work, configDir }: MeshOptions, state: string): Promise<void> {
  const at = (port: number): string => `${CONTROL_PLANE.host}:${port}`;
  children.start({
    name: 'control plane',
    command: process.execPath,
    args: [
      ...[MAIN, 'serve', '--configDir', configDir, '--stateDir', state],
      ...['--grpcAddr', at(CONTROL_PLANE.xds), '--secureGRPCAddr', at(CONTROL_PLANE.tls)],
      ...['--httpAddr', at(CONTROL_PLANE.http), '--monitoringAddr', at(CONTROL_PLANE.monitoring), '--httpsAddr', ''],
    ],
    env: inherited(),
    cwd: work,
    logFile: join(work, 'control-plane.log'),
  });
}

const STATUS_PORT = 15_020;

async function startWorkload(
  workload: DemoWorkload,
  { children, work, envoy }: MeshOptions,
  state: string,
): Promise<void> {
  const name = workloadName(workload);
  const cwd = join(work, name);
  await mkdir(cwd, { recursive: true });
  const { stdout: token } = await run(process.execPath, [
    MAIN,
    'token',
    `${NAMESPACE}/${workload.account}`,
    '--stateDir',
    state,
  ]);
  await writeFile(join(cwd, 'token'), token.trim(), { mode: 0o600 });
  const ip = podAddress(workload);
  children.start({
    name,
    command: process.execPath,
    args: [
      ...['--max-old-space-size=48', MAIN, 'agent', workload.role, '--domain', `${NAMESPACE}.svc.cluster.local`],
      ...[
        '--discoveryAddress',
        `${CONTROL_PLANE.host}:${CONTROL_PLANE.tls}`,
        '--rootFile',
        join(state, 'root-cert.pem'),
      ],
      ...['--tokenFile', join(cwd, 'token'), '--runDirectory', cwd, '--sdsSocket', join(cwd, 'sds')],
      ...['--bindAddress', ip, '--localAddress', ip, '--envoyPath', envoy, '--concurrency', '1'],
    ],
    env: {
      ...inherited(),
      POD_NAME: name,
      POD_NAMESPACE: NAMESPACE,
      INSTANCE_IP: ip,
      SERVICE_ACCOUNT: workload.account,
      ISTIO_META_INTERCEPTION_MODE: 'NONE',
      ISTIO_META_WORKLOAD_NAME: name,
      ISTIO_METAJSON_LABELS: JSON.stringify(labelsOf(workload)),
      TERMINATION_DRAIN_DURATION_SECONDS: '0',
    },
    cwd,
    logFile: join(work, `${name}.log`),
  });
}

function labelsOf({ app, version, role }: DemoWorkload): Readonly<Record<string, string>> {
  return { app, version, ...(role === 'router' ? { istio: 'ingressgateway' } : {}) };
}

/** Only what a child needs of the caller's environment: proxies are configured by what is set here. */
function inherited(): Record<string, string> {
  const names = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'XDG_CACHE_HOME', 'MELTEMI_CACHE'];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

async function isReady(host: string, port: number, path: string): Promise<boolean> {
  return (await get(host, port, `${host}:${port}`, path)).status === 200;
}

const READY_TIMEOUT_MS = 60_000;

async function waitFor(what: string, ready: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < end) {
    if (await ready().catch(() => false)) return;
    await delay(100);
  }
  throw new Error(`${what} was not ready after ${READY_TIMEOUT_MS / 1000} s`);
}

/** What the control plane says of its proxies: name and slowest acknowledged push, in ms. */
export async function pushLatencies(): Promise<ReadonlyMap<string, number>> {
  const { body } = await get(CONTROL_PLANE.host, CONTROL_PLANE.http, 'localhost', '/debug/syncz');
  const entries = JSON.parse(body) as readonly {
    readonly proxy: string;
    readonly types: Readonly<Record<string, { readonly pushMillis?: number }>>;
  }[];
  return new Map(
    entries.map((entry) => [
      entry.proxy,
      Math.max(0, ...Object.values(entry.types).map((type) => type.pushMillis ?? 0)),
    ]),
  );
}
