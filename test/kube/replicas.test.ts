// Several replicas over one real API server: who leads dies again and again, and proxies end with the same. Each replica is
// a process of its own, from dist/. Skipped without KUBECONFIG.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { ChannelCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { followUp } from '../../bench/follow.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { AdsClient } from '../../src/xds/client.ts';
import { call } from '../support/apps.ts';
import { eventually, freePorts, until } from '../support/wait.ts';
import { Cluster, kubeconfig, nodeBytes, type Raw } from './cluster.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const PROXIES = Number(process.env['PROXIES'] ?? 500);
/** What is promised of a leader that is killed. By the Lease: how busy the proxies of this test are does not matter. */
const HANDOVER_MS = 15_000;
const TYPES = [TYPE_URL.cluster, TYPE_URL.endpoint, TYPE_URL.listener, TYPE_URL.route];

class Replica {
  readonly name: string;
  readonly address: string;
  readonly #ports: readonly number[];
  readonly #system: string;
  #child: ChildProcess | undefined;

  constructor(name: string, system: string, ports: readonly number[]) {
    this.name = name;
    this.#system = system;
    this.#ports = ports;
    this.address = `127.0.0.1:${ports[0]}`;
  }

  async start(): Promise<void> {
    const [xds, http] = this.#ports;
    const flags = [
      ...['serve', '--kubeconfig', kubeconfig ?? '', '--caDir', '/nowhere', '--meshConfig', '/nowhere/mesh'],
      ...['--grpcAddr', `127.0.0.1:${xds}`, '--httpAddr', `127.0.0.1:${http}`, '--secureGRPCAddr', ''],
      ...['--httpsAddr', '', '--monitoringAddr', '', '--shutdownDuration', '2s', '--maxRequestsPerSecond', '2000'],
    ];
    const env = { PATH: process.env['PATH'], POD_NAME: this.name, POD_NAMESPACE: this.#system };
    this.#child = spawn(process.execPath, [MAIN, ...flags], { stdio: ['ignore', 'ignore', 'inherit'], env });
    await until(async () => (await this.ready()) === 200, `replica ${this.name}`, 120_000);
  }

  async ready(): Promise<number> {
    return (await call({ address: '127.0.0.1', port: this.#ports[1] ?? 0, path: '/ready' })).status;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return gone;
  }
}

/** A proxy that goes to the next replica when its stream ends, with nothing in its hands. */
class Wanderer {
  readonly #index: number;
  readonly #replicas: readonly Replica[];
  readonly #namespace: string;
  #names = new Map<string, Set<string>>();
  #turn: number;
  #client: AdsClient;
  #closed = false;
  moves = 0;

  constructor(index: number, replicas: readonly Replica[], namespace: string) {
    this.#index = index;
    this.#turn = index;
    this.#replicas = replicas;
    this.#namespace = namespace;
    this.#client = this.#connect();
  }

  #connect(): AdsClient {
    const ip = `10.8.${this.#index >> 8}.${this.#index & 255}`;
    this.#names = new Map();
    const client = new AdsClient({
      address: this.#replicas[this.#turn % this.#replicas.length]?.address ?? '',
      credentials: ChannelCredentials.createInsecure(),
      mode: 'delta',
      node: nodeBytes({ namespace: this.#namespace, name: `app-${this.#index}`, ip }),
      onUpdate: (update) => {
        const next = followUp(update, (typeUrl) => this.#names.get(typeUrl) ?? new Set());
        if (next === undefined) return;
        const names = this.#names.get(next.typeUrl) ?? new Set<string>();
        this.#names.set(next.typeUrl, names);
        for (const name of next.added) names.add(name);
        for (const name of next.gone) names.delete(name);
        if (next.added.length > 0) client.subscribe(next.typeUrl, next.added);
        if (next.gone.length > 0) client.unsubscribe(next.typeUrl, next.gone);
      },
      onEnd: () => {
        if (this.#closed) return;
        client.close();
        this.moves++;
        this.#turn++;
        setTimeout(() => {
          if (!this.#closed) this.#client = this.#connect();
        }, 50);
      },
    });
    client.subscribe(TYPE_URL.cluster);
    client.subscribe(TYPE_URL.listener);
    return client;
  }

  /** Of all that it holds: names and contents. */
  digest(): string {
    const sum = createHash('sha256');
    for (const typeUrl of TYPES) {
      for (const [name, { version }] of [...this.#client.held(typeUrl)].sort(([a], [b]) => (a < b ? -1 : 1)))
        sum.update(`${typeUrl} ${name} ${version}\n`);
    }
    return sum.digest('hex');
  }

  text(typeUrl: string): string {
    return [...this.#client.held(typeUrl).values()].map(({ bytes }) => bytes.toString('latin1')).join();
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }
}

describe.skipIf(kubeconfig === undefined)('replicas over a real API server', () => {
  let cluster: Cluster;
  let system: string;
  let shop: string;

  const slice = (index: number, ip: string): Raw => ({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: { name: `s${index}-1`, namespace: shop, labels: { 'kubernetes.io/service-name': `s${index}` } },
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: [ip], conditions: { ready: true } }],
  });
  const service = (index: number): Raw => ({
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: `s${index}`, namespace: shop } },
    spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });
  const lease = () => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'meltemi-leader-default', namespace: system },
  });
  interface LeaseSpec {
    readonly holderIdentity?: string;
    /** When the holder took it, by its own clock, which is this machine's. */
    readonly acquireTime?: string;
  }
  const leaseSpec = async (): Promise<LeaseSpec> => ((await cluster.read(lease()))?.['spec'] as LeaseSpec) ?? {};
  const leader = async () => (await leaseSpec()).holderIdentity ?? '';

  beforeAll(async () => {
    cluster = new Cluster();
    system = await cluster.namespace('system');
    shop = await cluster.namespace('shop');
    for (let index = 0; index < 5; index++) {
      await cluster.put(service(index));
      await cluster.put(slice(index, `10.7.0.${index + 1}`));
    }
  });

  afterAll(() => cluster.clean());

  it('lead one after the other, however often the leader is killed, and give all proxies the same', async () => {
    const ports = await freePorts(6);
    const replicas = ['a', 'b', 'c'].map((name, i) => new Replica(name, system, ports.slice(2 * i, 2 * i + 2)));
    const wanderers: Wanderer[] = [];
    try {
      await Promise.all(replicas.map((replica) => replica.start()));
      for (let index = 0; index < PROXIES; index++) wanderers.push(new Wanderer(index, replicas, shop));
      const allSee = (what: string) =>
        until(
          async () => {
            const digests = new Set(wanderers.map((each) => each.digest()));
            return digests.size === 1 && wanderers[0]?.text(TYPE_URL.endpoint).includes(what) === true;
          },
          `${what} everywhere, and the same`,
          180_000,
        );
      await allSee('10.7.0.1');
      const took: number[] = [];
      for (let round = 1; round <= 3; round++) {
        const dead = await eventually(async () => ((await leader()) === '' ? undefined : leader()), 'a leader');
        const replica = replicas.find(({ name }) => name === dead);
        await replica?.end('SIGKILL');
        const killed = Date.now();
        const next = until(async () => ![dead, ''].includes(await leader()), 'another leader', 60_000);
        const handover = next.then(async () => took.push(Date.parse((await leaseSpec()).acquireTime ?? '') - killed));
        // What changes while nobody leads is served all the same.
        await cluster.put(slice(0, `10.7.9.${round}`));
        await allSee(`10.7.9.${round}`);
        await handover;
        // Its first act: what only a leader does is done again.
        const fresh = await cluster.namespace(`round${round}`);
        const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio-ca-root-cert', namespace: fresh } };
        await eventually(() => cluster.read(map), 'the root certificate', 60_000);
        await replica?.start();
      }
      console.log(`another leader after ${took.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(', ')}`);
      for (const ms of took) expect(ms).toBeLessThan(HANDOVER_MS);
      const moved = wanderers.reduce((sum, { moves }) => sum + moves, 0);
      expect(moved).toBeGreaterThan(0);
      // A graceful stop: unready at once, the lease given up, streams sent elsewhere, nothing lost.
      const last = replicas.find(({ name }) => name === 'a');
      const code = last?.end('SIGTERM');
      await until(async () => (await last?.ready().catch(() => 503)) === 503, 'it to be unready');
      await until(async () => (await leader()) !== 'a', 'its lease');
      expect(await code).toBe(0);
      await cluster.put(slice(0, '10.7.8.8'));
      await allSee('10.7.8.8');
    } finally {
      for (const each of wanderers) each.close();
      await Promise.all(replicas.map((replica) => replica.end('SIGKILL')));
    }
  }, 900_000);
});
