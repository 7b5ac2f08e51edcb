import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newestEnvoy, type TestProxy } from '../support/envoy.ts';
import { type Mesh, startMesh, startMeshAround } from '../support/mesh.ts';
import { type ChildControlPlane, type LocalControlPlane, startChildControlPlane } from '../support/server.ts';
import { eventually, pause, until } from '../support/wait.ts';
import { istio, routes, to, versions } from './fixtures.ts';

const envoy = newestEnvoy();

const WORKLOADS = [
  {
    name: 'client',
    egress: [
      { name: 'http', number: 8080 },
      { name: 'tcp', number: 7000, protocol: 'TCP' },
    ],
  },
  { name: 'web-v1', service: 'web', labels: { version: 'v1' }, ports: [{ name: 'http', number: 8080 }] },
  { name: 'ledger', service: 'ledger', ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }] },
];

const split = (weight: number): object =>
  routes('web', [{ route: [to('web', 'v1', { weight }), to('web', undefined, { weight: 1000 - weight })] }]);

/** Resolves when Envoy has a route with this weight. */
async function hasWeight(proxy: TestProxy, weight: number): Promise<void> {
  const text = `"weight": ${weight}\n`;
  await eventually(
    async () =>
      (await proxy.dump('dynamic_route_configs')).replaceAll(/,?\r?\n/g, '\n').includes(text) ? true : undefined,
    `weight ${weight}`,
    // Envoy waits up to 30 s before it tries a lost control plane again.
    40_000,
  );
}

describe.skipIf(envoy === '')('a mesh over time', () => {
  let mesh: Mesh<LocalControlPlane>;
  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      workloads: WORKLOADS,
      mesh: { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
      objects: () => [versions('web', ['v1']), split(500)],
    });
  });
  afterAll(() => mesh?.finish());

  it('brings a changed weight to Envoy at once', async () => {
    const client = mesh.proxy('client');
    await hasWeight(client, 500);
    const times: number[] = [];
    for (let weight = 501; weight <= 515; weight++) {
      const started = performance.now();
      mesh.plane.folder.write('objects', [versions('web', ['v1']), split(weight)]);
      await hasWeight(client, weight);
      times.push(performance.now() - started);
    }
    times.sort((a, b) => a - b);
    const [median = 0, slowest = 0] = [times[7], times.at(-1)];
    console.info(
      `a changed weight is in Envoy after ${median.toFixed(0)} ms (median of 15), ${slowest.toFixed(0)} ms at most`,
    );
    expect(times).toHaveLength(15);
  });

  it('renews certificates without dropping connections', async () => {
    const line = await open(mesh.at.out('client'), 7000);
    expect(await say(line, 'before')).toBe('ledger before');
    const server = mesh.proxy('ledger');
    const first = await presentedSerial(mesh, 'ledger', 7000);
    for (const { agent } of [mesh.proxy('client'), server]) await agent.certificates.renew();
    const second = await eventually(async () => {
      const serial = await presentedSerial(mesh, 'ledger', 7000);
      return serial === first ? undefined : serial;
    }, 'the new certificate');
    expect(second).not.toBe(first);
    expect(await say(line, 'after')).toBe('ledger after');
    expect(await mesh.talk('client', 7000, 'anew')).toBe('ledger anew');
    line.destroy();
  });

  it('takes workloads that come and go', async () => {
    const host = 'late.example';
    const entry = (endpoints: readonly object[]) =>
      istio('ServiceEntry', 'late', {
        hosts: [host],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
        endpoints,
      });
    await mesh.apply('late', [entry([])]);
    const empty = await mesh.call('client', { host });
    expect([empty.status, empty.body]).toEqual([503, 'no healthy upstream']);
    const { port } = mesh.app('web-v1');
    await mesh.apply('late', [entry([{ address: '127.0.0.1', ports: { http: port } }])]);
    await expect.poll(() => mesh.call('client', { host }).then(({ status }) => status), { timeout: 5000 }).toBe(200);
    mesh.plane.folder.remove('late');
    await expect.poll(() => mesh.call('client', { host }).then(({ status }) => status), { timeout: 5000 }).toBe(502);
  });
});

describe.skipIf(envoy === '')('a control plane that is killed', () => {
  let mesh: Mesh<ChildControlPlane> | undefined;
  afterEach(() => mesh?.stop());

  it('leaves traffic untouched, and sends nothing again that has not changed', async () => {
    mesh = await startMeshAround(
      { envoy, workloads: WORKLOADS, objects: () => [versions('web', ['v1']), split(500)] },
      startChildControlPlane,
    );
    const { plane } = mesh;
    await hasWeight(mesh.proxy('client'), 500);
    const traffic = new Traffic(mesh);

    await plane.kill();
    await until(async () => traffic.total > 100, 'traffic without a control plane');
    await plane.restart();
    await connected(plane, mesh.proxies.length);
    expect(await plane.metric('pilot_xds_pushes')).toBe(0);
    expect(await plane.metric('pilot_xds_config_size_bytes_sum')).toBe(0);

    await plane.kill();
    plane.folder.write('objects', [versions('web', ['v1']), split(501)]);
    await plane.restart();
    await hasWeight(mesh.proxy('client'), 501);
    await connected(plane, mesh.proxies.length);
    const pushes = await Promise.all(
      ['cds', 'eds', 'lds', 'rds'].map((type) => plane.metric('pilot_xds_pushes', { type })),
    );
    expect(pushes.slice(0, 3)).toEqual([0, 0, 0]);
    expect(pushes[3]).toBeGreaterThan(0);

    const { total, failures } = await traffic.stop();
    console.info(`${total} requests while the control plane was killed twice, ${failures.length} failed`);
    expect(failures).toEqual([]);
    await mesh.verify();
  }, 90_000);
});

/** Every proxy is back and has said all that it has to say: nothing was asked of the server for a while. */
async function connected(plane: ChildControlPlane, count: number): Promise<void> {
  let asked = -1;
  await until(
    async () => {
      const proxies = (await plane.debug('connections')) as { readonly clients?: readonly unknown[] };
      if ((proxies.clients ?? []).length < count) return false;
      await pause(500);
      const before = asked;
      asked = await plane.metric('pilot_xds_streams_total');
      return before === asked;
    },
    'all proxies back',
    40_000,
  );
}

/** A steady stream of requests; what isn't a 200 is a failure. */
class Traffic {
  total = 0;
  readonly #failures: string[] = [];
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(mesh: Mesh) {
    this.#done = this.#run(mesh);
  }

  async stop(): Promise<{ readonly total: number; readonly failures: readonly string[] }> {
    this.#stopped = true;
    await this.#done;
    return { total: this.total, failures: this.#failures };
  }

  async #run(mesh: Mesh): Promise<void> {
    while (!this.#stopped) {
      this.total++;
      const answer = await mesh.call('client', { host: 'web' }).catch(String);
      if (typeof answer === 'string') this.#failures.push(answer);
      else if (answer.status !== 200) this.#failures.push(`${answer.status} ${answer.body}`);
      await pause(5);
    }
  }
}

function open(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address, () => resolve(socket));
    socket.on('error', reject);
  });
}

function say(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(chunk.toString()));
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.write(text);
  });
}

/** Serial number of the certificate that a workload shows to a client of the mesh. */
function presentedSerial(mesh: Mesh, workload: string, port: number): Promise<string> {
  const { certificates } = mesh.proxy('client');
  const read = (name: string): string => readFileSync(join(certificates, name), 'utf8');
  return new Promise((resolve, reject) => {
    const identity = { ca: read('root-cert.pem'), cert: read('cert-chain.pem'), key: read('key.pem') };
    const at = { host: mesh.at.pod(workload), port, ALPNProtocols: ['istio'] };
    const socket = tlsConnect({ ...at, ...identity, checkServerIdentity: () => undefined }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
