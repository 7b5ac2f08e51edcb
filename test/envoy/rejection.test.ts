import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { istio } from './fixtures.ts';

const envoy = newestEnvoy();

/** A script in front of the application; what Lua thinks of it only Envoy can say. */
const script = (code: string): object =>
  istio('EnvoyFilter', 'script', {
    workloadSelector: { labels: { app: 'web' } },
    configPatches: [
      {
        applyTo: 'HTTP_FILTER',
        match: {
          context: 'SIDECAR_INBOUND',
          listener: {
            filterChain: {
              filter: {
                name: 'envoy.filters.network.http_connection_manager',
                subFilter: { name: 'envoy.filters.http.router' },
              },
            },
          },
        },
        patch: {
          operation: 'INSERT_BEFORE',
          value: {
            name: 'script',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua',
              default_source_code: { inline_string: code },
            },
          },
        },
      },
    ],
  });

const GREETING = 'function envoy_on_response(handle) handle:headers():add("x-script", "hello") end';

describe.skipIf(envoy === '')('configuration that Envoy refuses', () => {
  let mesh: Mesh<LocalControlPlane>;
  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      workloads: [{ name: 'client' }, { name: 'web', service: 'web', ports: [{ name: 'http', number: 8080 }] }],
    });
  });
  afterAll(() => mesh?.stop());

  const rejects = (): Promise<number> => mesh.plane.metric('pilot_total_xds_rejects');
  const pushes = (): Promise<number> => mesh.plane.metric('pilot_xds_pushes', { type: 'lds' });
  const greeting = async (): Promise<unknown> => (await mesh.call('client', { host: 'web' })).headers['x-script'];

  it('is held back, traced to its object, and leaves all the rest as it was', async () => {
    await mesh.apply('script', [script(GREETING)]);
    await expect.poll(greeting, { timeout: 5000 }).toBe('hello');

    mesh.plane.folder.write('script', [script('function envoy_on_response(handle')]);
    await until(async () => (await rejects()) > 0, 'a rejection');
    expect(await rejects()).toBe(1);
    expect(await greeting()).toBe('hello');
    const finding = mesh.plane.server.config.findings().find(({ code }) => code === 'MEL0001');
    expect(finding?.ref).toEqual({ kind: 'EnvoyFilter', namespace: 'shop', name: 'script' });
    expect(finding?.message).toMatch(/^proxy web\.shop rejected .*script load error/);

    // Another change does not bring the refused bytes back.
    const before = await pushes();
    await expect(mesh.plane.settled(mesh.plane.folder.write('other', []))).rejects.toThrow(/script load error/);
    expect(await pushes()).toBe(before);
    expect(await rejects()).toBe(1);

    await mesh.apply('script', [script(GREETING.replace('hello', 'again'))]);
    await expect.poll(greeting, { timeout: 5000 }).toBe('again');
    expect(mesh.plane.server.config.findings().filter(({ code }) => code === 'MEL0001')).toEqual([]);
    expect(await rejects()).toBe(1);
  });
});
