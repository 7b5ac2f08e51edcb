import { afterEach, describe, expect, it } from 'vitest';
import type { Kind } from '../../src/config/object.ts';
import { kubernetesSource, type KubernetesSourceOptions } from '../../src/sources/kubernetes.ts';
import type { Source } from '../../src/sources/source.ts';
import type { StoreState } from '../../src/store/state.ts';
import type { Store } from '../../src/store/store.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { newStore, noMeter, quietLog, realTimers, untilState } from './harness.ts';

const SERVICES = '/api/v1/services';
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const SIDECARS = '/apis/networking.istio.io/v1/sidecars';

interface Rig {
  readonly api: FakeApiServer;
  readonly store: Store;
  readonly source: Source;
}

const open: Rig[] = [];

afterEach(async () => {
  for (const { api, source } of open.splice(0)) {
    await source.stop();
    await api.stop();
  }
});

async function rigOf(
  kinds: readonly Kind[],
  prepare: (api: FakeApiServer) => void,
  more: Partial<KubernetesSourceOptions> = {},
): Promise<Rig> {
  const api = new FakeApiServer();
  await api.start();
  prepare(api);
  const store = newStore();
  const source = kubernetesSource({
    kubeconfig: api.kubeconfig,
    kinds,
    log: quietLog,
    meter: noMeter,
    timers: realTimers,
    random: () => 0,
    pollAbsentMs: 20,
    ...more,
  });
  const rig = { api, store, source };
  open.push(rig);
  await source.start(store.sink(source.name));
  return rig;
}

const service = (name: string, port = 80) => ({
  metadata: { name, namespace: 'shop', managedFields: [] },
  spec: { clusterIP: '10.0.0.1', ports: [{ port }] },
});
const sidecar = (name: string, host = '*/*') => ({
  metadata: { name, namespace: 'shop' },
  spec: { egress: [{ hosts: [host] }] },
});

/** The server has a watch open: what is sent from here on arrives. */
async function watching(api: FakeApiServer, path: string): Promise<void> {
  while (!api.watching(path)) await new Promise((resolve) => setImmediate(resolve));
}

describe('a Kubernetes API server as a source', () => {
  it('reads lists page by page, is synced after all of them, and follows changes', async () => {
    const { api, store } = await rigOf(
      ['Service', 'Sidecar'],
      (fake) => {
        fake.serve(SERVICES);
        fake.serve(SIDECARS);
        for (let i = 0; i < 5; i++) fake.put(SERVICES, service(`s${i}`));
      },
      { pageSize: 2, clusterId: 'east' },
    );
    expect(store.synced()).toBe(false);
    await store.ready();
    expect(store.state().byKind.Service.size).toBe(5);
    expect(api.asked.filter((line) => line.startsWith(`${SERVICES} limit`))).toEqual([
      `${SERVICES} limit=2`,
      `${SERVICES} limit=2 continue=2`,
      `${SERVICES} limit=2 continue=4`,
    ]);
    await watching(api, SERVICES);
    await watching(api, SIDECARS);
    api.put(SERVICES, service('s0', 81));
    api.delete(SERVICES, 'shop', 's1');
    api.put(SIDECARS, sidecar('x'));
    const state = await untilState(
      store,
      'all changes',
      (now) => now.byKind.Service.size === 4 && now.byKind.Sidecar.size === 1,
    );
    const [first] = state.byKind.Service.buckets.flatMap((bucket) =>
      [...bucket.values()].filter(({ name }) => name === 's0'),
    );
    expect(first).toMatchObject({ origin: 'east', spec: { ports: [{ port: 81 }] } });
  });

  it('asks once what a group has, however many of its kinds want to know', async () => {
    const kinds = ['Sidecar', 'VirtualService', 'DestinationRule', 'Gateway'] as const;
    const group = '/apis/networking.istio.io';
    const { api, store } = await rigOf(kinds, (fake) => {
      for (const plural of ['sidecars', 'virtualservices', 'destinationrules', 'gateways'])
        fake.serve(`${group}/v1/${plural}`);
    });
    await store.ready();
    expect(api.asked.filter((line) => line === group || line === `${group}/v1`)).toEqual([group, `${group}/v1`]);
    expect(api.asked.filter((line) => line.startsWith(`${group}/v1/`) && line.includes('limit='))).toHaveLength(4);
  });

  it('goes on from the last bookmark when a watch ends', async () => {
    const { api, store } = await rigOf(['Service'], (fake) => {
      fake.serve(SERVICES);
      fake.put(SERVICES, service('a'));
    });
    await store.ready();
    await watching(api, SERVICES);
    const version = api.bookmark(SERVICES);
    api.put(SERVICES, service('b'));
    await untilState(store, 'b', (state) => state.byKind.Service.size === 2);
    api.endWatches();
    await watching(api, SERVICES);
    api.put(SERVICES, service('c'));
    await untilState(store, 'c', (state) => state.byKind.Service.size === 3);
    const watches = api.asked.filter((line) => line.includes('watch=true'));
    expect(watches.at(-1)).toContain(`resourceVersion=${Number(version) + 1}`);
    expect(api.asked.filter((line) => line.includes('limit='))).toHaveLength(1);
  });

  it('lists again when its version is too old, and drops what went meanwhile', async () => {
    const { api, store } = await rigOf(['Service'], (fake) => {
      fake.serve(SERVICES);
      fake.put(SERVICES, service('a'));
      fake.put(SERVICES, service('b'));
    });
    await store.ready();
    const before = store.state();
    await watching(api, SERVICES);
    api.deleteUnseen(SERVICES, 'shop', 'b');
    api.expire(SERVICES);
    const after = await untilState(store, 'b is gone', (state) => state.byKind.Service.size === 1);
    const kept = before.byKind.Service.buckets.find((bucket) => bucket.has('shop/a'))?.get('shop/a');
    expect(after.byKind.Service.buckets.some((bucket) => bucket.get('shop/a') === kept)).toBe(true);
  });

  it('waits for kinds whose definition appears later, and forgets those that go', async () => {
    const { api, store } = await rigOf(['Service', 'Sidecar'], (fake) => fake.serve(SERVICES));
    await store.ready();
    expect(store.state().byKind.Sidecar.size).toBe(0);
    api.serve(SIDECARS);
    api.put(SIDECARS, sidecar('x'));
    await untilState(store, 'the sidecar', (state) => state.byKind.Sidecar.size === 1);
    await watching(api, SIDECARS);
    api.unserve(SIDECARS);
    await untilState(store, 'no sidecar', (state) => state.byKind.Sidecar.size === 0);
  });

  it('takes the newest version of a kind that the server has', async () => {
    const beta = '/apis/networking.istio.io/v1beta1/sidecars';
    const { store } = await rigOf(['Sidecar'], (fake) => {
      fake.serve(beta);
      fake.put(beta, sidecar('x'));
      fake.serve('/apis/networking.istio.io/v1/virtualservices');
    });
    await store.ready();
    const [only] = store.state().byKind.Sidecar.buckets.flatMap((bucket) => [...bucket.values()]);
    expect(only?.apiVersion).toBe('networking.istio.io/v1beta1');
  });

  it('goes over to another version when the definition of the kind changes', async () => {
    const beta = '/apis/networking.istio.io/v1beta1/sidecars';
    const definition = { metadata: { name: 'sidecars.networking.istio.io' } };
    const { api, store } = await rigOf(['Sidecar'], (fake) => {
      fake.serve(DEFINITIONS);
      fake.put(DEFINITIONS, definition);
      fake.serve(beta);
      fake.put(beta, sidecar('x'));
    });
    await store.ready();
    await watching(api, beta);
    await watching(api, DEFINITIONS);
    api.serve(SIDECARS);
    api.put(SIDECARS, sidecar('x'));
    api.put(DEFINITIONS, definition);
    const versions = (state: StoreState): readonly string[] =>
      state.byKind.Sidecar.buckets.flatMap((bucket) => [...bucket.values()].map(({ apiVersion }) => apiVersion));
    await untilState(store, 'v1', (state) => versions(state)[0] === 'networking.istio.io/v1');
    await watching(api, SIDECARS);
    expect(versions(store.state())).toHaveLength(1);
    expect(api.watching(beta)).toBe(false);
  });

  it('is not synced while a list is forbidden, says so, and recovers', async () => {
    const { api, store } = await rigOf(['Secret', 'Service'], (fake) => {
      fake.serve(SERVICES);
      fake.serve('/api/v1/secrets');
      fake.forbid('/api/v1/secrets', true);
    });
    const state = await untilState(store, 'the finding', (now) => now.findings.length > 0);
    expect(state.findings).toMatchObject([
      { code: 'MEL0040', origin: 'Kubernetes', message: 'secrets: no permission' },
    ]);
    expect(store.synced()).toBe(false);
    api.forbid('/api/v1/secrets', false);
    await store.ready();
    expect(store.state().findings).toEqual([]);
    expect(api.asked.some((line) => line.includes('fieldSelector=type!=helm.sh/release.v1'))).toBe(true);
  });

  it('keeps the last good version of an object that turns unusable', async () => {
    const { api, store } = await rigOf(['Sidecar'], (fake) => {
      fake.serve(SIDECARS);
      fake.put(SIDECARS, sidecar('x'));
    });
    await store.ready();
    await watching(api, SIDECARS);
    api.put(SIDECARS, sidecar('x', 'no-namespace'));
    const semantic = await untilState(store, 'a finding', (state) => state.findings.length === 1);
    expect(semantic.findings[0]).toMatchObject({ path: 'spec.egress[0].hosts[0]', origin: 'Kubernetes' });
    api.put(SIDECARS, { ...sidecar('x'), spec: { egress: 'all' } });
    const structural = await untilState(store, 'another', (state) => state.findings[0]?.path === 'spec.egress');
    expect(structural.byKind.Sidecar).toBe(semantic.byKind.Sidecar);
    api.delete(SIDECARS, 'shop', 'x');
    const gone = await untilState(store, 'x is gone', (state) => state.byKind.Sidecar.size === 0);
    expect(gone.findings).toEqual([]);
  });

  it('refuses a kubeconfig that can not be read', async () => {
    const source = kubernetesSource({
      kubeconfig: '/nowhere/kubeconfig',
      log: quietLog,
      meter: noMeter,
      timers: realTimers,
    });
    await expect(source.start(newStore().sink('x'))).rejects.toThrow();
  });
});
