// A real API server's two forms of the same lists and watches: what is read of them is the same, field for field. With UPDATE_GOLDEN=1 the
// lists are recorded for test/sources/kube-wire.test.ts, which has no server. Skipped without KUBECONFIG.
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kind } from '../../src/config/object.ts';
import { discover } from '../../src/sources/kube-discovery.ts';
import type { WatchEvent } from '../../src/sources/kube-list-watch.ts';
import { inNamespace } from '../../src/sources/kube-reflector.ts';
import { type BothForms, fromJson, fromTyped, infoOf, objectOf, readerOf } from '../sources/kube-forms.ts';
import { Cluster, kubeconfig, pathOf, type Raw } from './cluster.ts';

const KINDS: readonly Kind[] = ['Node', 'Pod', 'Service', 'ServiceAccount', 'Secret', 'ConfigMap', 'EndpointSlice'];
const RECORDED = new URL('../sources/data/kube-lists.json', import.meta.url);

function objectsIn(namespace: string): readonly Raw[] {
  const core = (kind: string, name: string, more: object, labels = {}, annotations = {}): Raw => ({
    ...{ apiVersion: 'v1', kind, metadata: { name, namespace, labels, annotations } },
    ...more,
  });
  const container = (name: string, more: object = {}) => ({ name, image: 'example.com/app:1', ...more });
  const ports = [
    { name: 'http', containerPort: 8080 },
    { containerPort: 53, protocol: 'UDP' },
  ];
  const spec = { serviceAccountName: 'reader', automountServiceAccountToken: false };
  const slice = (name: string, more: object): Raw => ({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': 'web' } },
    ...more,
  });
  return [
    core('ServiceAccount', 'reader', {}),
    core('Pod', 'plain', { spec: { ...spec, containers: [container('app', { ports })] } }, { app: 'web', empty: '' }),
    core(
      'Pod',
      'rich',
      {
        spec: {
          ...{ ...spec, nodeName: 'nowhere', hostNetwork: true, hostname: 'rich', subdomain: 'web' },
          containers: [container('app'), container('more', { ports: [{ containerPort: 9000, hostPort: 9000 }] })],
          initContainers: [container('setup'), container('beside', { restartPolicy: 'Always', ports })],
          tolerations: [{ operator: 'Exists' }],
        },
      },
      { app: 'web', 'app.kubernetes.io/name': 'web' },
      { 'traffic.sidecar.istio.io/excludeInboundPorts': '9000', note: 'ünïcödé, and 你好', long: 'x'.repeat(300) },
    ),
    core('Service', 'web', {
      spec: {
        ...{ selector: { app: 'web' }, type: 'NodePort', publishNotReadyAddresses: true, externalIPs: ['192.0.2.7'] },
        ...{ internalTrafficPolicy: 'Local', trafficDistribution: 'PreferClose' },
        ports: [
          { name: 'http', port: 80, targetPort: 'http', appProtocol: 'kubernetes.io/h2c' },
          { name: 'dns', port: 53, targetPort: 5353, protocol: 'UDP' },
        ],
      },
    }),
    core('Service', 'headless', { spec: { clusterIP: 'None', ports: [{ port: 80 }] } }),
    core('Service', 'outside', { spec: { type: 'ExternalName', externalName: 'example.com' } }),
    core('Service', 'balanced', { spec: { type: 'LoadBalancer', ports: [{ port: 443 }] } }),
    core('Secret', 'pair', {
      type: 'kubernetes.io/tls',
      data: { 'tls.crt': Buffer.from([0, 255, 254, 10]).toString('base64'), 'tls.key': '', other: 'YQ==' },
    }),
    core('ConfigMap', 'roots', { data: { 'ca.crt': 'ünïcödé\n', empty: '' }, binaryData: { bytes: 'AAEC' } }),
    core('ConfigMap', 'nothing', {}),
    slice('web-1', {
      addressType: 'IPv4',
      ports: [{ name: '', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP', appProtocol: 'dns' }, { name: 'all' }],
      endpoints: [
        {
          ...{ addresses: ['10.1.2.3'], hostname: 'one', nodeName: 'n1', zone: 'z1' },
          conditions: { ready: false, serving: true, terminating: true },
          targetRef: { kind: 'Pod', namespace, name: 'rich' },
        },
        { addresses: ['10.1.2.4'], conditions: { ready: true } },
        { addresses: ['10.1.2.5'] },
      ],
    }),
    slice('web-2', { addressType: 'IPv6', endpoints: null, ports: null }),
  ];
}

describe.skipIf(kubeconfig === undefined)('lists in the encoding of Kubernetes', () => {
  const cluster = new Cluster();
  const signal = (): AbortSignal => AbortSignal.timeout(15_000);
  let namespace: string;

  const status = (kind: string, name: string, value: object): Promise<unknown> => {
    const path = `${pathOf({ apiVersion: 'v1', kind, metadata: { name, namespace } })}/status`;
    return cluster.api.send({ method: 'PATCH', patch: 'merge-patch', path, body: { status: value } }, signal());
  };

  beforeAll(async () => {
    namespace = await cluster.namespace('typed');
    await cluster.put({
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: cluster.name('node'), labels: { zone: 'z1' } } },
      status: {},
    });
    for (const object of objectsIn(namespace)) await cluster.put(object);
    await status('Pod', 'rich', {
      ...{ phase: 'Running', podIP: '10.1.2.3', podIPs: [{ ip: '10.1.2.3' }, { ip: 'fd00::3' }] },
      conditions: [
        { type: 'Initialized', status: 'True' },
        { type: 'Ready', status: 'True' },
      ],
    });
    await status('Service', 'balanced', {
      loadBalancer: { ingress: [{ ip: '198.51.100.4' }, { hostname: 'lb.example.com' }] },
    });
    const node = pathOf({ apiVersion: 'v1', kind: 'Node', metadata: { name: cluster.name('node') } });
    await cluster.api.send(
      {
        ...{ method: 'PATCH', patch: 'merge-patch', path: `${node}/status` },
        body: {
          status: { addresses: [{ type: 'InternalIP', address: '10.9.0.1' }], nodeInfo: { kubeletVersion: 'v1.34.1' } },
        },
      },
      signal(),
    );
  });

  afterAll(() => cluster.clean());

  async function collectionOf(kind: Kind): Promise<string> {
    const info = infoOf(kind);
    const served = await discover(cluster.api, info, signal());
    const all = served?.path ?? '';
    return info.namespaced ? inNamespace(all, namespace) : all;
  }

  async function bothForms(kind: Kind): Promise<BothForms> {
    const path = await collectionOf(kind);
    const json = (await cluster.api.get(path, {}, signal())) as BothForms['json'];
    // Nothing may have changed in between; of a node a controller writes the status now and then.
    const typed = (await cluster.api.get(path, {}, signal(), (bytes) => bytes)) as Uint8Array;
    return { kind, json, typed };
  }

  it('says what JSON says', async () => {
    const lists = await Promise.all(KINDS.map(bothForms));
    for (const list of lists) {
      expect(list.typed).toBeInstanceOf(Uint8Array);
      expect(fromTyped(list), list.kind).toEqual(fromJson(list));
      expect(fromJson(list).length, list.kind).toBeGreaterThan(0);
    }
    if (process.env['UPDATE_GOLDEN'] !== '1') return;
    const recorded = lists.map(({ typed, ...list }) => ({ ...list, typed: Buffer.from(typed).toString('base64') }));
    writeFileSync(RECORDED, `${JSON.stringify(recorded, undefined, 1)}\n`);
  });

  /** `TYPE OBJECT` of each event while `work` is done, until something is deleted. */
  async function watched(
    kind: Kind,
    typed: boolean,
    from: string,
    work: () => Promise<void>,
  ): Promise<readonly unknown[]> {
    const seen: unknown[] = [];
    const enough = new AbortController();
    const end = AbortSignal.any([enough.signal, signal()]);
    const take = (values: readonly unknown[]): void => {
      for (const value of values as readonly (WatchEvent | { readonly type: 'BOOKMARK' })[]) {
        if (value.type === 'BOOKMARK') continue;
        seen.push({ type: value.type, object: objectOf(kind, value.object, typed) });
        if (value.type === 'DELETED') enough.abort();
      }
    };
    const query = { watch: true, allowWatchBookmarks: true, resourceVersion: from };
    const decode = typed ? readerOf(kind).event : undefined;
    const watching = cluster.api.follow(await collectionOf(kind), query, end, take, () => void work(), decode);
    await watching.catch((error: unknown) => {
      if (!enough.signal.aborted) throw error;
    });
    return seen;
  }

  it('says in a watch what JSON says: what came, changed and went', async () => {
    const { json } = await bothForms('Pod');
    const { resourceVersion } = json.metadata as { readonly resourceVersion: string };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'passing', namespace, labels: { app: 'web' } } };
    const spec = { containers: [{ name: 'app', image: 'example.com/app:1' }] };
    const work = async (): Promise<void> => {
      await cluster.put({ ...pod, spec });
      await status('Pod', 'passing', { phase: 'Running', podIP: '10.1.2.9', podIPs: [{ ip: '10.1.2.9' }] });
      const query = { gracePeriodSeconds: 0 };
      await cluster.api.send({ method: 'DELETE', path: pathOf(pod), query }, signal());
    };
    const typed = await watched('Pod', true, resourceVersion, work);
    const plain = await watched('Pod', false, resourceVersion, async () => {});
    expect(typed).toEqual(plain);
    const types = typed.map((event) => (event as WatchEvent).type);
    expect(types.filter((type, i) => type !== types[i - 1])).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
  });

  it('goes on from the version of an event', async () => {
    const { json } = await bothForms('ServiceAccount');
    const { resourceVersion } = json.metadata as { readonly resourceVersion: string };
    const versions: string[] = [];
    const enough = new AbortController();
    const { event } = readerOf('ServiceAccount');
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'late', namespace } };
    const watching = cluster.api.follow(
      await collectionOf('ServiceAccount'),
      { watch: true, resourceVersion },
      AbortSignal.any([enough.signal, signal()]),
      (values) => {
        for (const value of values) versions.push((value as ReturnType<typeof event>).resourceVersion);
        enough.abort();
      },
      () => void cluster.put(account),
      event,
    );
    await watching.catch(() => undefined);
    const { metadata } = (await cluster.read(account)) as { readonly metadata: { readonly resourceVersion: string } };
    expect(versions).toEqual([metadata.resourceVersion]);
  });
});
