// Against a real API server: `KUBECONFIG=… npx vitest run test/kube`. Skipped without one.
import { CustomObjectsApi, KubeConfig, type KubernetesObject, KubernetesObjectApi } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kubernetesSource } from '../../src/sources/kubernetes.ts';
import type { Source } from '../../src/sources/source.ts';
import { objectIn, type StoreState } from '../../src/store/state.ts';
import type { Store } from '../../src/store/store.ts';
import { newStore, noMeter, quietLog, realTimers, untilState } from '../sources/harness.ts';

const kubeconfig = process.env['KUBECONFIG'];
const NAMESPACE = 'meltemi-source-test';
const GROUP = 'networking.istio.io';

if (kubeconfig === undefined) console.log('test/kube is skipped: KUBECONFIG names no cluster');

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `sidecars.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: { plural: 'sidecars', singular: 'sidecar', kind: 'Sidecar', listKind: 'SidecarList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        // As the client's model spells it.
        schema: { openAPIV3Schema: { type: 'object', x_kubernetes_preserve_unknown_fields: true } },
      },
    ],
  },
};

describe.skipIf(kubeconfig === undefined)('a real API server', () => {
  const config = new KubeConfig();
  let objects: KubernetesObjectApi;
  let store: Store;
  let source: Source;

  const create = (object: unknown) => objects.create(object as KubernetesObject);
  const remove = (object: unknown) => objects.delete(object as KubernetesObject).catch(() => undefined);
  const service = (name: string, port: number) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE },
    spec: { ports: [{ name: 'http', port }] },
  });
  const portOf = (state: StoreState, name: string) =>
    (
      objectIn(state, { kind: 'Service', namespace: NAMESPACE, name })?.spec as
        | { ports: { port: number }[] }
        | undefined
    )?.ports[0]?.port;

  beforeAll(async () => {
    config.loadFromFile(kubeconfig ?? '');
    objects = KubernetesObjectApi.makeApiClient(config);
    await remove(definition);
    await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
    for (let i = 0; i < 7; i++) await create(service(`s${i}`, 80 + i));
    store = newStore();
    source = kubernetesSource({
      kubeconfig,
      pageSize: 3,
      pollAbsentMs: 200,
      log: quietLog,
      meter: noMeter,
      timers: realTimers,
    });
    await source.start(store.sink('kubernetes'));
    await store.ready();
  });

  afterAll(async () => {
    await source.stop();
    await remove(definition);
    await remove({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
  });

  it('hands over what is there', () => {
    const state = store.state();
    expect(state.byKind.Namespace.size).toBeGreaterThan(3);
    expect(Array.from({ length: 7 }, (_, i) => portOf(state, `s${i}`))).toEqual([80, 81, 82, 83, 84, 85, 86]);
    expect(state.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it("follows changes, and sees none where only the server's own fields change", async () => {
    const current = await objects.read(
      service('s0', 80) as KubernetesObject & { metadata: { name: string; namespace: string } },
    );
    const changed: unknown = { ...current, spec: { ports: [{ name: 'http', port: 8080 }] } };
    await objects.replace(changed as KubernetesObject);
    await untilState(store, 's0 at 8080', (state) => portOf(state, 's0') === 8080);
    const before = objectIn(store.state(), { kind: 'Service', namespace: NAMESPACE, name: 's1' });
    await remove(service('s2', 82));
    await untilState(store, 's2 is gone', (state) => portOf(state, 's2') === undefined);
    expect(objectIn(store.state(), { kind: 'Service', namespace: NAMESPACE, name: 's1' })).toBe(before);
  });

  it('sees custom resources appear, change and go', async () => {
    await create(definition);
    const sidecar = {
      apiVersion: `${GROUP}/v1`,
      kind: 'Sidecar',
      metadata: { name: 'x', namespace: NAMESPACE },
      spec: { egress: [{ hosts: ['./*'] }] },
    };
    const custom = config.makeApiClient(CustomObjectsApi);
    const target = { group: GROUP, version: 'v1', namespace: NAMESPACE, plural: 'sidecars' };
    for (;;) {
      try {
        await custom.createNamespacedCustomObject({ ...target, body: sidecar });
        break;
      } catch {
        // The server takes a moment to serve a new definition.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await untilState(store, 'the sidecar', (state) => state.byKind.Sidecar.size === 1);
    const one = { ...target, name: 'x' };
    const inForce = (state: StoreState) => objectIn(state, { kind: 'Sidecar', namespace: NAMESPACE, name: 'x' });
    const read = async () => (await custom.getNamespacedCustomObject(one)) as typeof sidecar;
    const listed = inForce(store.state());
    await custom.replaceNamespacedCustomObjectStatus({ ...one, body: { ...(await read()), status: { ready: 'yes' } } });
    const labelled = { ...(await read()), metadata: { ...(await read()).metadata, labels: { a: 'b' } } };
    expect(inForce(store.state())).toBe(listed);
    await custom.replaceNamespacedCustomObject({ ...one, body: labelled });
    await untilState(store, 'a label', (state) => inForce(state)?.labels['a'] === 'b');
    const changed = { ...(await read()), spec: { egress: [{ hosts: ['*/*'] }] } };
    await custom.replaceNamespacedCustomObject({ ...one, body: changed });
    await untilState(store, 'other hosts', (state) => JSON.stringify(inForce(state)?.spec).includes('*/*'));
    await remove(definition);
    await untilState(store, 'no sidecar', (state) => state.byKind.Sidecar.size === 0);
  });
});
