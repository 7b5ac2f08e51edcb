// A control plane for tests: the real one, in this process or as a child that can be killed and started again, over a
// folder of YAML of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mintToken, openTokenKey } from '../../src/ca/token.ts';
import { tableGet } from '../../src/lib/table.ts';
import { type Server, type ServerOptions, startServer } from '../../src/server.ts';
import { call } from './apps.ts';
import { freePorts, until } from './wait.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Namespace of the system, as far as tests care. */
export const SYSTEM = 'istio-system';

/** A folder of configuration and state, and what is written there. Removed at the end. */
export class TestFolder {
  readonly path: string;
  readonly configDir: string;
  readonly stateDir: string;
  readonly meshConfig: string;
  #writes = 0;

  constructor(mesh: Readonly<Record<string, unknown>> = {}) {
    this.path = mkdtempSync(join(tmpdir(), 'meltemi-mesh-'));
    this.configDir = this.sub('config');
    this.stateDir = this.sub('state');
    this.meshConfig = join(this.path, 'mesh.json');
    this.writeMesh(mesh);
  }

  sub(name: string): string {
    const folder = join(this.path, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /**
   * Writes (or replaces) one file of objects, as text or as values, whole or not at all. Gives the name of a marker:
   * a ConfigMap that came with the file, by which one knows that this version of it was read.
   */
  write(name: string, objects: string | readonly object[]): string {
    const marker = `${name.replaceAll(/[^a-z0-9]/g, '-')}-${++this.#writes}`;
    const text =
      typeof objects === 'string' ? objects : objects.map((object) => JSON.stringify(object)).join('\n---\n');
    const configMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: marker, namespace: 'markers' },
      data: {},
    };
    const file = join(this.configDir, `${name}.yaml`);
    const draft = join(this.path, 'draft');
    writeFileSync(draft, `${JSON.stringify(configMap)}\n---\n${text}`);
    renameSync(draft, file);
    return marker;
  }

  /** Writes MeshConfig, whole or not at all. */
  writeMesh(mesh: Readonly<Record<string, unknown>>): void {
    const draft = join(this.path, 'mesh-draft');
    writeFileSync(draft, JSON.stringify(mesh));
    renameSync(draft, this.meshConfig);
  }

  /** Writes MeshNetworks. */
  writeNetworks(networks: Readonly<Record<string, unknown>>): void {
    writeFileSync(join(this.path, 'networks.yaml'), JSON.stringify(networks));
  }

  remove(name: string): void {
    rmSync(join(this.configDir, `${name}.yaml`), { force: true });
  }

  /** A token for a workload, in a file. Only once the control plane has started: the key is of its making. */
  async token(namespace: string, serviceAccount: string, file: string): Promise<void> {
    const key = await openTokenKey(this.stateDir);
    writeFileSync(file, await mintToken({ namespace, serviceAccount }, key, { now: Date.now }), { mode: 0o644 });
  }

  get rootFile(): string {
    return join(this.stateDir, 'root-cert.pem');
  }

  delete(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A control plane, wherever it runs. */
export interface ControlPlane {
  readonly folder: TestFolder;
  /** host:port of xDS over TLS. */
  readonly discoveryAddress: string;
  /** Sum of a metric over all its labels, or over those given. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** A debug page, parsed. */
  debug(page: string): Promise<unknown>;
  stop(): Promise<void>;
}

export interface LocalControlPlane extends ControlPlane {
  readonly server: Server;
  /** Resolves when the change of that marker has been taken by every connected proxy. Rejects if one refused it. */
  settled(marker?: string): Promise<void>;
}

function optionsFor(folder: TestFolder, host: string): ServerOptions {
  return {
    version: '0.0.0-test',
    configDir: folder.configDir,
    meshConfig: folder.meshConfig,
    networksConfig: join(folder.path, 'networks.yaml'),
    domain: 'cluster.local',
    clusterId: 'Kubernetes',
    systemNamespace: SYSTEM,
    revision: '',
    grpc: { host, port: 0 },
    secureGrpc: { host, port: 0 },
    http: { host, port: 0 },
    stateDir: folder.stateDir,
    caDir: join(folder.path, 'no-ca'),
    hosts: [],
    logLevels: 'error',
    logJson: false,
    debounceQuiet: 20,
    debounceMax: 500,
    maxStreamRate: 1000,
  };
}

/** Starts a control plane in this process. */
export async function startLocalControlPlane(
  folder: TestFolder,
  host = '127.0.0.1',
  options: Partial<ServerOptions> = {},
): Promise<LocalControlPlane> {
  const server = await startServer({ ...optionsFor(folder, host), ...options });
  await server.ready();
  const http = server.addresses.http ?? { host, port: 0 };
  return {
    folder,
    server,
    discoveryAddress: `${host}:${server.addresses.secureGrpc?.port}`,
    ...pages(http.host, http.port),
    settled: (marker) => settled(server, marker),
    stop: () => server.stop(),
  };
}

async function settled(server: Server, marker: string | undefined): Promise<void> {
  const { plane } = server.config;
  const read = async (): Promise<boolean> => {
    const maps = plane.snapshot?.configMaps;
    return marker === undefined || (maps !== undefined && tableGet(maps, `markers/${marker}`) !== undefined);
  };
  await until(read, `configuration ${marker}`);
  await plane.settle();
  // What depends on an answer is sent after it: quiet is when nothing was outstanding several turns in a row.
  let quiet = 0;
  let refusals: readonly string[] = [];
  await until(async () => {
    const records = [...plane.sessions].flatMap(({ id, record }) =>
      [...record.types].map(([typeUrl, status]) => ({ id, typeUrl, status })),
    );
    // A refusal of before may still stand while what mends it is on its way.
    refusals = records
      .filter(({ status }) => status.lastError !== '')
      .map(({ id, typeUrl, status }) => `${id} refused ${typeUrl}: ${status.lastError}`);
    const waiting = records.some(({ status }) => status.lastError === '' && status.ackedNonce !== status.sentNonce);
    quiet = waiting ? 0 : quiet + 1;
    return quiet >= 4;
  }, 'acknowledgement by all proxies');
  if (refusals.length > 0) throw new Error(refusals.join('\n'));
}

function pages(host: string, port: number): Pick<ControlPlane, 'metric' | 'debug'> {
  return {
    metric: async (name, labels = {}) => {
      const { body } = await call({ address: host, port, path: '/metrics' });
      return sumOf(body, name, labels);
    },
    debug: async (page) => JSON.parse((await call({ address: host, port, path: `/debug/${page}` })).body) as unknown,
  };
}

/** Sum of the samples of a metric on a Prometheus page that carry these labels. */
export function sumOf(page: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0;
  for (const line of page.split('\n')) {
    const match = /^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    const text = match[2] ?? '';
    if (Object.entries(labels).every(([key, value]) => text.includes(`${key}="${value}"`))) sum += Number(match[3]);
  }
  return sum;
}

export interface ChildControlPlane extends ControlPlane {
  /** host:port of xDS in plaintext. */
  readonly plaintextAddress: string;
  /** Of the process now. */
  readonly pid: number;
  /** SIGKILL: no goodbye to anyone. */
  kill(): Promise<void>;
  /** Starts it again on the same ports, with the same folder. */
  restart(): Promise<void>;
}

/** Starts a control plane as a process of its own. */
export async function startChildControlPlane(
  folder: TestFolder,
  host = '127.0.0.1',
  more: readonly string[] = [],
): Promise<ChildControlPlane> {
  const [xds = 0, tls = 0, http = 0] = await freePorts(3, host);
  const log: string[] = [];
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn(
      process.execPath,
      [
        ...['--import', 'tsx', join(ROOT, 'src', 'main.ts'), 'serve', '--configDir', folder.configDir],
        ...['--stateDir', folder.stateDir, '--meshConfig', folder.meshConfig, '--caDir', join(folder.path, 'no-ca')],
        ...['--grpcAddr', `${host}:${xds}`, '--secureGRPCAddr', `${host}:${tls}`, '--httpAddr', `${host}:${http}`],
        ...['--httpsAddr', '', '--monitoringAddr', '', ...more],
      ],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: process.env['HOME'] } },
    );
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => log.push(text.toString()));
    const up = async (): Promise<boolean> => (await call({ address: host, port: http, path: '/ready' })).status === 200;
    await until(up, 'the control plane', 30_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${log.join('')}`);
    });
  };
  const end = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
    const ended = child;
    child = undefined;
    if (ended === undefined || ended.exitCode !== null) return;
    const gone = new Promise((resolve) => ended.once('exit', resolve));
    ended.kill(signal);
    await gone;
  };
  await start();
  return {
    folder,
    discoveryAddress: `${host}:${tls}`,
    plaintextAddress: `${host}:${xds}`,
    get pid() {
      return child?.pid ?? 0;
    },
    ...pages(host, http),
    kill: () => end('SIGKILL'),
    restart: start,
    stop: () => end('SIGTERM'),
  };
}

/** The bundle that workloads trust, as published by the control plane. */
export function trustBundle(folder: TestFolder): string {
  return readFileSync(folder.rootFile, 'utf8');
}
