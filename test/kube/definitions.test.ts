// Kinds of the Gateway API and of Multi-Cluster Services, whose definitions come and go while the control plane runs, at a real
// API server. Skipped without KUBECONFIG, and where the cluster has these kinds already.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KINDS, SHARED_GROUPS } from '../../src/config/kinds.ts';
import type { Kind } from '../../src/config/object.ts';
import { kubeApi, type KubeApi, type KubeReader } from '../../src/sources/kube-api.ts';
import { loadKubeconfig } from '../../src/sources/kube-library.ts';
import { kubernetesSource } from '../../src/sources/kubernetes.ts';
import type { Source } from '../../src/sources/source.ts';
import type { Store } from '../../src/store/store.ts';
import { newStore, noMeter, quietLog, realTimers, untilState } from '../sources/harness.ts';
import { eventually, until } from '../support/wait.ts';
import { Cluster, kubeconfig, type Raw } from './cluster.ts';

const GATEWAY_API = 'gateway.networking.k8s.io';
const MULTICLUSTER = 'multicluster.x-k8s.io';

interface Definition {
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  readonly versions: readonly string[];
  readonly scope?: string;
}

const GATEWAY: Definition = { group: GATEWAY_API, kind: 'Gateway', plural: 'gateways', versions: ['v1', 'v1beta1'] };
const CLASS: Definition = {
  ...{ group: GATEWAY_API, kind: 'GatewayClass', plural: 'gatewayclasses', scope: 'Cluster' },
  versions: ['v1beta1'],
};
const ROUTE: Definition = { group: GATEWAY_API, kind: 'HTTPRoute', plural: 'httproutes', versions: ['v1'] };
const EXPORT: Definition = {
  ...{ group: MULTICLUSTER, kind: 'ServiceExport', plural: 'serviceexports', versions: ['v1alpha1'] },
};

function definitionOf({ group, kind, plural, versions, scope = 'Namespaced' }: Definition): Raw {
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  // Groups of Kubernetes' own want to know who has agreed.
  const annotations = { 'api-approved.kubernetes.io': 'unapproved, a test' };
  return {
    ...{ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' },
    metadata: { name: `${plural}.${group}`, annotations },
    spec: {
      ...{ group, scope, names: { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` } },
      versions: versions.map((name, index) => ({ name, served: true, storage: index === 0, schema })),
    },
  };
}

/** Notes the path of every request. */
function noted(reader: KubeReader, asked: string[]): KubeReader {
  return {
    get: (path, ...rest) => {
      asked.push(path);
      return reader.get(path, ...rest);
    },
    follow: (path, ...rest) => {
      asked.push(path);
      return reader.follow(path, ...rest);
    },
  };
}

async function alreadyThere(): Promise<boolean> {
  if (kubeconfig === undefined) return true;
  const body = await kubeApi(loadKubeconfig(kubeconfig)).get('/apis', {}, AbortSignal.timeout(15_000));
  const { groups } = body as { readonly groups: readonly { readonly name: string }[] };
  const found = groups.some(({ name }) => SHARED_GROUPS.includes(name));
  if (found) console.log('test/kube/definitions is skipped: the cluster has these kinds already');
  return found;
}

describe.skipIf(await alreadyThere())('kinds that are defined while the control plane runs', () => {
  const asked: string[] = [];
  let cluster: Cluster;
  let namespace: string;
  let store: Store;
  let source: Source;

  const object = ({ group, kind, versions }: Definition, name: string, spec: object): Raw => ({
    ...{ apiVersion: `${group}/${versions[0]}`, kind },
    metadata: kind === 'GatewayClass' ? { name } : { name, namespace },
    spec,
  });
  const put = async (definition: Definition, name: string, spec: object) => {
    const { group, plural, versions } = definition;
    const path = `/apis/${group}/${versions[0]}`;
    const body = object(definition, name, spec);
    const where = definition.scope === 'Cluster' ? '' : `/namespaces/${namespace}`;
    await eventually(
      () => cluster.api.send({ method: 'POST', path: `${path}${where}/${plural}`, body }, AbortSignal.timeout(15_000)),
      `${plural} to be served`,
    );
  };
  const sizes = (...kinds: readonly Kind[]) => kinds.map((kind) => store.state().byKind[kind].size);

  beforeAll(async () => {
    cluster = new Cluster();
    namespace = await cluster.namespace('shared');
    const api = kubeApi(loadKubeconfig(kubeconfig));
    const recording: KubeApi = { ...api, ...noted(api, asked), metadata: noted(api.metadata ?? api, asked) };
    store = newStore();
    source = kubernetesSource({ api: recording, log: quietLog, meter: noMeter, timers: realTimers });
    await source.start(store.sink('kubernetes'));
    await store.ready();
  });

  afterAll(async () => {
    await source.stop();
    await cluster.clean();
  });

  it('cost nothing while they are not there', () => {
    expect(asked.filter((path) => SHARED_GROUPS.some((group) => path.includes(group)))).toEqual([]);
    expect(sizes('HTTPRoute', 'ServiceExport')).toEqual([0, 0]);
  });

  it('are read in the version that is served, from the moment that they are defined', async () => {
    for (const definition of [GATEWAY, CLASS, ROUTE, EXPORT]) await cluster.put(definitionOf(definition));
    await put(GATEWAY, 'edge', { gatewayClassName: 'istio', listeners: [{ name: 'web', port: 80, protocol: 'HTTP' }] });
    await put(CLASS, 'istio', { controllerName: 'istio.io/gateway-controller' });
    await put(ROUTE, 'web', { parentRefs: [{ name: 'edge' }] });
    await put(EXPORT, 'web', {});
    const kinds = ['KubernetesGateway', 'GatewayClass', 'HTTPRoute', 'ServiceExport'] as const;
    await untilState(store, 'an object of each', () => sizes(...kinds).every((size) => size === 1));
    const one = (kind: Kind, { byKind } = store.state()) =>
      [...byKind[kind].buckets].flatMap((bucket) => [...bucket.values()]).at(0);
    // The API server tells of the versions of a new kind one by one, in whatever order.
    const newest = `${GATEWAY_API}/v1`;
    await untilState(store, 'the first version', (state) => one('KubernetesGateway', state)?.apiVersion === newest);
    expect(one('KubernetesGateway')).toMatchObject({ name: 'edge', spec: { gatewayClassName: 'istio' } });
    expect(one('GatewayClass')?.apiVersion).toBe(`${GATEWAY_API}/v1beta1`);
    expect(one('HTTPRoute')?.apiVersion).toBe(newest);
    expect(store.state().byKind.Gateway.size).toBe(0);
  });

  it('go with their definition, and come back with the next one', async () => {
    await cluster.remove(definitionOf(ROUTE));
    await untilState(store, 'no route', () => sizes('HTTPRoute')[0] === 0);
    await until(async () => (await cluster.read(definitionOf(ROUTE))) === undefined, 'the definition to be gone');
    await cluster.put(definitionOf(ROUTE));
    await put(ROUTE, 'again', { parentRefs: [{ name: 'edge' }] });
    await untilState(store, 'the new route', () => sizes('HTTPRoute')[0] === 1);
    // Of all the kinds that never were there nobody was asked.
    const absent = KINDS.filter(
      ({ group, plural }) =>
        SHARED_GROUPS.includes(group) && ![GATEWAY, CLASS, ROUTE, EXPORT].some((each) => each.plural === plural),
    );
    expect(asked.filter((path) => absent.some(({ plural }) => path.endsWith(`/${plural}`)))).toEqual([]);
  });
});
