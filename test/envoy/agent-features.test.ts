import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../src/agent/admin.ts';
import { askUdp, queryBytes } from '../agent/dns/support.ts';
import { call, startHttpApp } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { headerModule, wordModule } from '../support/wasm-module.ts';
import { NAMESPACE } from './fixtures.ts';

const ENVOY = newestEnvoy();
const [A, TXT] = [1, 16];

const plugin = (name: string, spec: Readonly<Record<string, unknown>>) => ({
  apiVersion: 'extensions.istio.io/v1alpha1',
  kind: 'WasmPlugin',
  metadata: { name, namespace: NAMESPACE },
  spec: { selector: { matchLabels: { app: 'web' } }, match: [{ mode: 'SERVER' }], ...spec },
});

const service = (name: string, clusterIP: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: NAMESPACE },
  spec: { clusterIP, ports: [{ name: 'http', port: 8080 }] },
});

describe.skipIf(ENVOY === '')('what an agent does for its Envoy', () => {
  let mesh: Mesh<LocalControlPlane>;
  let registry: Registry;
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-wasm-'));
  const credentials = { userPassword: 'ann:s3cr3t', scheme: 'bearer' } as const;

  beforeAll(async () => {
    registry = await startRegistry({ login: credentials });
    mesh = await startMesh({
      envoy: ENVOY,
      workloads: [
        {
          name: 'client',
          egress: [
            { name: 'http', number: 8080 },
            { name: 'tcp', number: 7000, protocol: 'TCP' },
          ],
          env: { ISTIO_META_DNS_CAPTURE: 'true', DNS_PROXY_ADDR: '127.0.0.1:0' },
        },
        {
          name: 'web',
          service: 'web',
          ports: [
            { name: 'http', number: 8080 },
            { name: 'tcp', number: 7000, protocol: 'TCP' },
          ],
          env: {
            WASM_INSECURE_REGISTRIES: '127.0.0.1',
            WASM_MODULE_DIRECTORY: folder,
            WASM_HTTP_REQUEST_MAX_RETRIES: '0',
          },
        },
      ],
      objects: () => [service('db', '10.77.0.1')],
    });
  });
  afterAll(async () => {
    try {
      await mesh?.finish();
    } finally {
      registry?.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const get = () => mesh.call('client', { host: 'web' });

  describe('names', () => {
    const dnsPort = (): number => mesh.proxy('client').agent.dnsPort ?? 0;

    it('come from the control plane before the proxy is ready, and follow it', async () => {
      const addresses = async (name: string) =>
        (await askUdp(dnsPort(), queryBytes(name, A))).answers.map(({ data }) => data);
      expect(await addresses(`db.${NAMESPACE}.svc.cluster.local`)).toEqual(['10.77.0.1']);
      expect(await addresses('db')).toEqual(['10.77.0.1']);
      await mesh.apply('names', [service('cache', '10.77.0.2')]);
      await until(async () => (await addresses('cache'))[0] === '10.77.0.2', 'the new name');
      const { admin, agent } = mesh.proxy('client');
      const page = await ask({ ...admin, port: agent.statusPort }, 'GET', '/debug/ndsz');
      expect(JSON.parse(page.body)).toMatchObject({ 'cache.': ['10.77.0.2'] });
    });

    it('that are none of the mesh are for other resolvers', async () => {
      const { rcode, authoritative } = await askUdp(dnsPort(), queryBytes('db', TXT));
      expect(authoritative).toBe(false);
      expect(rcode).not.toBe(0);
    });
  });

  describe('Wasm plugins', () => {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'pull', namespace: NAMESPACE },
      type: 'kubernetes.io/dockerconfigjson',
    };

    it('are pulled with the secret of the plugin, and run', async () => {
      registry.push('team/plugin', 'v1', {
        layers: [{ mediaType: 'application/wasm', bytes: headerModule('x-wasm', 'one') }],
      });
      const auths = { [registry.host]: { username: 'ann', password: 's3cr3t' } };
      const data = { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') };
      const url = `oci://${registry.host}/team/plugin:v1`;
      await mesh.apply('plugin', [{ ...secret, data }, plugin('header', { url, imagePullSecret: 'pull' })]);
      await until(async () => (await get()).headers['x-wasm'] === 'one', 'the header');
      const dump = await mesh.proxy('web').dump('ecds_filters');
      expect(dump).toContain('.wasm');
      expect(dump).not.toMatch(/s3cr3t|IMAGE_PULL_SECRET/);
    });

    it('are fetched by HTTP, if they are what the digest says, and as TrafficExtensions too', async () => {
      const module = headerModule('x-wasm', 'two');
      const server = await startHttpApp({ name: 'modules', handler: () => ({ body: module }) });
      const url = `http://127.0.0.1:${server.port}/plugin.wasm`;
      const sha256 = createHash('sha256').update(module).digest('hex');
      const header = async (value: string | undefined): Promise<void> =>
        until(async () => (await get()).headers['x-wasm'] === value, `the header ${value}`);
      await mesh.apply('plugin', [plugin('header', { url, sha256 })]);
      await header('two');
      expect(server.seen.map(({ path }) => path)).toEqual(['/plugin.wasm']);
      await mesh.apply('plugin', []);
      await header(undefined);
      const { metadata, spec } = plugin('extension', { wasm: { url: `${url}?other`, sha256 } });
      await mesh.apply('plugin', [
        { apiVersion: 'extensions.istio.io/v1alpha1', kind: 'TrafficExtension', metadata, spec },
      ]);
      await header('two');
      await mesh.apply('plugin', [plugin('header', { url: `${url}?bad`, sha256: '0'.repeat(64) })]);
      await until(async () => (await get()).status === 403, 'the module of another digest refused');
      await mesh.apply('plugin', []);
      await until(async () => (await get()).status === 200, 'no plugin');
      await server.stop();
    });

    it('of type NETWORK run on connections', async () => {
      const server = await startHttpApp({ name: 'modules', handler: () => ({ body: wordModule('filtered ') }) });
      const url = `http://127.0.0.1:${server.port}/network.wasm`;
      const answers = (text: string): Promise<void> =>
        until(async () => (await mesh.talk('client', 7000, 'word')) === text, `the answer ${text}`);
      await answers('web word');
      await mesh.apply('plugin', [plugin('words', { url, type: 'NETWORK' })]);
      await answers('web filtered word');
      await mesh.apply('plugin', [plugin('words', { url, type: 'NETWORK', match: [{ ports: [{ number: 7001 }] }] })]);
      await answers('web word');
      await server.stop();
    });

    it.each([
      ['FAIL_OPEN', 200],
      ['FAIL_CLOSE', 403],
    ])('with %s and no module answer %i', async (failStrategy, status) => {
      const tag = failStrategy.toLowerCase().replace('_', '-');
      const url = `oci://${registry.host}/team/plugin:${tag}`;
      await mesh.apply('plugin', [plugin('header', { url, failStrategy })]);
      await until(async () => {
        const answer = await get();
        return answer.status === status && answer.headers['x-wasm'] === undefined;
      }, `status ${status}`);
      const { admin, agent } = mesh.proxy('web');
      const metrics = (await ask({ ...admin, port: agent.statusPort }, 'GET', '/metrics')).body;
      const result = failStrategy === 'FAIL_OPEN' ? 'open' : 'closed';
      expect(metrics).toMatch(
        new RegExp(`istio_agent_wasm_config_conversion_count\\{result="fetch_failure_${result}"\\} [1-9]`),
      );
      await mesh.apply('plugin', []);
      await until(async () => (await get()).status === 200, 'no plugin');
    });
  });

  it('probes the application, and merges its metrics', async () => {
    const { admin, agent } = mesh.proxy('web');
    const page = await call({ address: admin.host, port: agent.statusPort, path: '/stats/prometheus' });
    expect(page.body).toContain('envoy_server_live');
    expect(page.body).toContain('istio_agent_startup_duration_seconds');
    const unknown = await call({ address: admin.host, port: agent.statusPort, path: '/app-health/web/readyz' });
    expect(unknown.status).toBe(400);
  });

  it('drains when asked to, and then stops without waiting', async () => {
    const { admin, agent } = mesh.proxy('web');
    expect((await ask({ ...admin, port: agent.statusPort }, 'POST', '/drain')).status).toBe(200);
    await until(async () => {
      const { headers } = await call({ address: mesh.at.pod('web'), port: 8080 });
      return headers['connection'] === 'close';
    }, 'connections being closed');
    expect((await ask(admin, 'GET', '/ready')).status).toBe(200);
  });
});
