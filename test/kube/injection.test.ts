// Injection and validation through a real API server that runs on this machine: `KUBECONFIG=… npx vitest run test/kube`.
// Skipped without one. The server must reach loopback addresses of this machine.

import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KubeConfig, type KubernetesObject, KubernetesObjectApi } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Pod } from '../../src/inject/pod.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder, trustBundle } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

const run = promisify(execFile);
const kubeconfig = process.env['KUBECONFIG'];
const PLAIN = `meltemi-inject-plain-${process.pid}`;
const INJECTED = `meltemi-inject-on-${process.pid}`;
const MUTATING = `meltemi-inject-test-${process.pid}`;
const VALIDATING = `meltemi-validate-test-${process.pid}`;
const GOLDEN = join(import.meta.dirname, '..', 'inject', 'golden');

if (kubeconfig === undefined) console.log('test/kube/injection is skipped: KUBECONFIG names no cluster');

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'gateways.networking.istio.io' },
  spec: {
    group: 'networking.istio.io',
    scope: 'Namespaced',
    names: { plural: 'gateways', singular: 'gateway', kind: 'Gateway', listKind: 'GatewayList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        // As the client's model spells it.
        schema: { openAPIV3Schema: { type: 'object', x_kubernetes_preserve_unknown_fields: true } },
      },
    ],
  },
};

const goldenObjects = readdirSync(GOLDEN)
  .filter((name) => existsSync(join(GOLDEN, name, 'out.yaml')))
  .map(
    (name) =>
      [
        name,
        parse(readFileSync(join(GOLDEN, name, 'out.yaml'), 'utf8')) as { kind?: string; metadata?: object },
      ] as const,
  )
  .filter(([, object]) => object.kind !== undefined);

describe.skipIf(kubeconfig === undefined)('an API server that asks the webhooks', () => {
  const config = new KubeConfig();
  let objects: KubernetesObjectApi;
  let folder: TestFolder;
  let plane: LocalControlPlane;
  let defines = false;

  const create = (object: unknown, dryRun?: 'All') =>
    objects.create(object as KubernetesObject, undefined, dryRun) as Promise<KubernetesObject & { spec?: unknown }>;
  const remove = (object: unknown) => objects.delete(object as KubernetesObject).catch(() => undefined);
  const hook = (kind: string, name: string) => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name },
  });
  const namespaced = (name: string, labels: Readonly<Record<string, string>>) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  const pod = (name: string, fields: object = {}, metadata: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: INJECTED, ...metadata },
    spec: { containers: [{ name: 'web', image: 'example.com/web:1' }], ...fields },
  });

  beforeAll(async () => {
    config.loadFromFile(kubeconfig ?? '');
    objects = KubernetesObjectApi.makeApiClient(config);
    folder = new TestFolder();
    folder.write('nothing', '');
    plane = await startLocalControlPlane(folder, '127.0.0.1', { https: { host: '127.0.0.1', port: 0 } });
    const url = `https://127.0.0.1:${plane.server.addresses.https?.port}`;
    const caBundle = Buffer.from(trustBundle(folder)).toString('base64');
    await create(namespaced(PLAIN, {}));
    for (const name of ['web', 'ingress'])
      await create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: PLAIN } });
    await create(namespaced(INJECTED, { 'istio-injection': 'enabled' }));
    const common = { sideEffects: 'None', admissionReviewVersions: ['v1'], failurePolicy: 'Fail' };
    await create({
      ...hook('MutatingWebhookConfiguration', MUTATING),
      webhooks: [
        {
          ...common,
          name: 'namespace.sidecar-injector.istio.io',
          clientConfig: { url: `${url}/inject/cluster/c1`, caBundle },
          rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': INJECTED } },
          objectSelector: {
            matchExpressions: [{ key: 'sidecar.istio.io/inject', operator: 'NotIn', values: ['false'] }],
          },
          reinvocationPolicy: 'IfNeeded',
        },
      ],
    });
    // Where the cluster has the definition already it is left as it is.
    defines = await create(definition).then(
      () => true,
      () => false,
    );
    await create({
      ...hook('ValidatingWebhookConfiguration', VALIDATING),
      webhooks: [
        {
          ...common,
          name: 'rev.validation.istio.io',
          clientConfig: { url: `${url}/validate`, caBundle },
          rules: [
            {
              operations: ['CREATE', 'UPDATE'],
              apiGroups: ['networking.istio.io'],
              apiVersions: ['*'],
              resources: ['*'],
            },
            { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] },
          ],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': INJECTED } },
        },
      ],
    });
    // A namespace has its account a moment later, and a new configuration of webhooks is in force a moment later.
    await eventually(async () => {
      const made = await create(pod('probe'), 'All');
      return (made as unknown as Pod).spec.containers.length === 2 ? true : undefined;
    }, 'the webhook');
    await eventually(async () => {
      await create({ ...pod('probe'), metadata: { name: 'probe', namespace: PLAIN } }, 'All');
      return true;
    }, 'the account of the other namespace');
  }, 60_000);

  afterAll(async () => {
    await remove(hook('MutatingWebhookConfiguration', MUTATING));
    await remove(hook('ValidatingWebhookConfiguration', VALIDATING));
    if (defines) await remove(definition);
    await remove(namespaced(PLAIN, {}));
    await remove(namespaced(INJECTED, {}));
    await plane?.stop();
    folder?.delete();
  });

  it.each(goldenObjects)('takes what is recorded as %s', async (_name, object) => {
    const metadata = { ...object.metadata, namespace: PLAIN };
    const made = await create({ ...object, metadata }, 'All');
    expect(made.metadata?.name ?? '').not.toBe('');
  });

  it('injects a pod of kubectl, under the name of the cluster in the path', async () => {
    const file = join(folder.path, 'pod.json');
    writeFileSync(file, JSON.stringify(pod('by-kubectl')));
    // Not in the foreground: this process answers the webhook.
    const { stdout } = await run('kubectl', ['--kubeconfig', kubeconfig ?? '', 'apply', '-o', 'json', '-f', file]);
    const made = JSON.parse(stdout) as Pod;
    expect(made.spec.containers.map(({ name }) => name)).toEqual(['web', 'istio-proxy']);
    expect(made.spec.initContainers?.map(({ name }) => name)).toEqual(['istio-init']);
    const proxy = made.spec.containers.find(({ name }) => name === 'istio-proxy');
    expect(proxy?.env?.find(({ name }) => name === 'ISTIO_META_CLUSTER_ID')?.value).toBe('c1');
    expect(await plane.metric('sidecar_injection_success_total')).toBeGreaterThan(0);
  });

  it('shows a broken template of a pod to whoever made the pod', async () => {
    const wanted = pod('no', {}, { annotations: { 'inject.istio.io/templates': 'sidecar,missing' } });
    await expect(create(wanted, 'All')).rejects.toThrow(
      /template \\"missing\\" does not exist|missing.*does not exist/,
    );
  });

  it('leaves pods alone that say so', async () => {
    const made = await create(pod('alone', {}, { labels: { 'sidecar.istio.io/inject': 'false' } }), 'All');
    expect((made as unknown as Pod).spec.containers.length).toBe(1);
  });

  it('takes a native sidecar and an agentless one', async () => {
    const wanted = pod(
      'native',
      {},
      {
        annotations: { 'sidecar.istio.io/nativeSidecar': 'true', 'inject.istio.io/templates': 'agentless' },
      },
    );
    const made = (await create(wanted, 'All')) as unknown as Pod;
    expect(made.spec.initContainers?.map(({ name }) => name)).toEqual(['istio-init', 'istio-bootstrap', 'istio-proxy']);
  });

  it('refuses a wrong Gateway with the field, and takes a right one', async () => {
    const gateway = (servers: object) => ({
      apiVersion: 'networking.istio.io/v1',
      kind: 'Gateway',
      metadata: { name: 'x', namespace: INJECTED },
      spec: { servers: [servers] },
    });
    const right = { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] };
    // A new definition takes a moment to be served.
    await eventually(async () => ((await create(gateway(right), 'All')) === undefined ? undefined : true), 'the kind');
    await expect(create(gateway({ ...right, hosts: ['a..b'] }), 'All')).rejects.toThrow(
      /Gateway is not valid: spec\.servers\[0\]\.hosts\[0\].*"code\\?":422/,
    );
  });

  it("lets others' objects pass the validation", async () => {
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', namespace: INJECTED }, data: {} };
    await create(map, 'All');
    expect(await plane.metric('galley_validation_passed')).toBeGreaterThan(0);
  });
});
