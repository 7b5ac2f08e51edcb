// A control plane with two workers, real Envoys and fake proxies: they are served as by one process, and one of its workers
// may die.
import { readFileSync } from 'node:fs';
import { ChannelCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { AdsClient } from '../../src/xds/client.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { istio, routes, to, versions } from '../envoy/fixtures.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMeshAround } from '../support/mesh.ts';
import { type ChildControlPlane, startChildControlPlane, startLocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';

const envoy = newestEnvoy();
const WORKERS = 2;
const FLAGS = ['--workers', String(WORKERS), '--shutdownDuration', '500ms'];
const TYPES = [TYPE_URL.cluster, TYPE_URL.endpoint, TYPE_URL.listener, TYPE_URL.route];
const ROUTES = ['8080'];

const WORKLOADS = [
  { name: 'client', egress: [{ name: 'http', number: 8080 }] },
  { name: 'web-v1', service: 'web', labels: { version: 'v1' }, ports: [{ name: 'http', number: 8080 }] },
];

const split = (weight: number): object =>
  routes('web', [{ route: [to('web', 'v1', { weight }), to('web', undefined, { weight: 1000 - weight })] }]);

const far = (address: string): object =>
  istio('ServiceEntry', 'far', {
    hosts: ['far.example'],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
    endpoints: [{ address }],
  });

/** A proxy that has no Envoy. It comes back when its stream ends. */
class FakeProxy {
  readonly client: AdsClient;
  ends = 0;
  #closed = false;

  constructor(address: string, mode: Mode, index: number) {
    const id = `sidecar~10.9.0.${index + 1}~fake-${index}.elsewhere~elsewhere.svc.cluster.local`;
    this.client = new AdsClient({
      address,
      credentials: ChannelCredentials.createInsecure(),
      mode,
      node: Buffer.from(
        encode('envoy.config.core.v3.Node', { id, userAgentName: 'envoy', metadata: { NAMESPACE: 'elsewhere' } }),
      ),
      onUpdate: ({ typeUrl }) => {
        if (typeUrl === TYPE_URL.cluster) this.#follow();
      },
      onEnd: () => {
        this.ends++;
        setTimeout(() => {
          if (!this.#closed) this.client.reconnect();
        }, 50);
      },
    });
    this.client.subscribe(TYPE_URL.cluster);
    this.client.subscribe(TYPE_URL.listener);
    this.client.subscribe(TYPE_URL.route, ROUTES);
  }

  close(): void {
    this.#closed = true;
    this.client.close();
  }

  #follow(): void {
    const wanted = [...this.client.held(TYPE_URL.cluster).keys()].filter((name) => name.startsWith('outbound|'));
    const news = wanted.filter((name) => !this.client.names(TYPE_URL.endpoint).has(name));
    if (news.length > 0) this.client.subscribe(TYPE_URL.endpoint, news);
  }

  /** All that it holds, by type and name. */
  get held(): Record<string, string> {
    const all = TYPES.flatMap((typeUrl) =>
      [...this.client.held(typeUrl)].map(([name, { bytes }]) => [`${typeUrl} ${name}`, bytes.toString('base64')]),
    );
    return Object.fromEntries(all.sort()) as Record<string, string>;
  }

  has(text: string): boolean {
    return TYPES.some((typeUrl) => [...this.client.held(typeUrl).values()].some(({ bytes }) => bytes.includes(text)));
  }
}

/** The children of a process that are workers. */
function workersOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children.filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('worker-main'));
}

describe.skipIf(envoy === '')('a control plane with workers', () => {
  let mesh: Mesh<ChildControlPlane>;
  let fakes: FakeProxy[] = [];
  beforeAll(async () => {
    mesh = await startMeshAround(
      { envoy, workloads: WORKLOADS, objects: () => [versions('web', ['v1']), split(500), far('10.1.1.1')] },
      (folder) => startChildControlPlane(folder, '127.0.0.1', FLAGS),
    );
    const modes: readonly Mode[] = ['delta', 'sotw', 'delta', 'sotw', 'delta', 'sotw'];
    fakes = modes.map((mode, index) => new FakeProxy(mesh.plane.plaintextAddress, mode, index));
    await until(async () => fakes.every((fake) => fake.has('10.1.1.1') && fake.has('web.')), 'all fake proxies');
  }, 60_000);
  afterAll(async () => {
    for (const fake of fakes) fake.close();
    await mesh?.stop();
  });

  const all = (): number => fakes.length + mesh.proxies.length;
  const streams = () => mesh.plane.metric('pilot_xds_streams');

  it('serves both kinds of proxies, with what one process would', async () => {
    expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
    const { folder } = mesh.plane;
    const alone = await startLocalControlPlane(folder);
    const other = new FakeProxy(`127.0.0.1:${alone.server.addresses.grpc?.port}`, 'delta', 99);
    try {
      await until(
        async () => other.has('10.1.1.1') && fakes.every(({ held }) => sameKeys(held, other.held)),
        'the same',
      );
      for (const { held } of fakes) expect(held).toEqual(other.held);
    } finally {
      other.close();
      await alone.stop();
    }
    expect(await streams()).toBe(all());
    const { clients = [] } = (await mesh.plane.debug('connections')) as { readonly clients?: readonly unknown[] };
    expect(clients).toHaveLength(all());
  });

  it('a change reaches all, and crosses once to each worker', async () => {
    const crossed = () => mesh.plane.metric('meltemi_worker_resources_total');
    const before = await crossed();
    mesh.plane.folder.write('objects', [versions('web', ['v1']), split(500), far('10.1.1.2')]);
    await until(async () => fakes.every((fake) => fake.has('10.1.1.2')), 'the change everywhere');
    expect((await crossed()) - before).toBe(WORKERS);
  });

  it('a worker that is killed takes nobody else along, and its proxies are sent nothing anew', async () => {
    const pushes = () => mesh.plane.metric('pilot_xds_pushes');
    const before = await pushes();
    const opened = await mesh.plane.metric('pilot_xds_streams_total');
    const [first = 0, ...others] = workersOf(mesh.plane.pid);
    expect(others).toHaveLength(WORKERS - 1);
    process.kill(first, 'SIGKILL');
    await until(async () => fakes.some(({ ends }) => ends > 0), 'some to be cut off');
    expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
    // Envoy's agent takes its time.
    await until(async () => (await streams()) === all(), 'all to be back', 40_000);
    const lost = fakes.filter(({ ends }) => ends > 0).length;
    expect(lost).toBeLessThan(fakes.length);
    await until(async () => (await mesh.plane.metric('meltemi_workers')) === WORKERS, 'another worker');
    expect(await mesh.plane.metric('meltemi_worker_restarts_total')).toBe(1);
    expect(await mesh.plane.metric('pilot_xds_streams_total')).toBeGreaterThan(opened);
    expect(await pushes()).toBe(before);
    mesh.plane.folder.write('objects', [versions('web', ['v1']), split(501), far('10.1.1.3')]);
    await until(async () => fakes.every((fake) => fake.has('10.1.1.3')), 'a change after it');
    expect(fakes.filter(({ ends }) => ends > 0)).toHaveLength(lost);
    await mesh.verify();
  }, 60_000);

  it('ends in order, and its workers with it', async () => {
    const [first = 0] = workersOf(mesh.plane.pid);
    await mesh.verify();
    await mesh.plane.stop();
    expect(() => process.kill(first, 0)).toThrow('ESRCH');
    await until(async () => fakes.every(({ ends }) => ends > 0), 'all to be told');
  });
});

function sameKeys(a: object, b: object): boolean {
  return Object.keys(a).join() === Object.keys(b).join();
}
