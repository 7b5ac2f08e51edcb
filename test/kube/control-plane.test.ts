// What the control plane asks of a real API server and writes back. Skipped without KUBECONFIG.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caClient } from '../../src/agent/ca-client.ts';
import { newCsr } from '../../src/ca/csr-request.ts';
import type { Server } from '../../src/server.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { AdsClient } from '../../src/xds/client.ts';
import { realTimers } from '../sources/harness.ts';
import { eventually, until } from '../support/wait.ts';
import { Cluster, kubeconfig, type NodeFacts, proxyWith, type Raw, serve } from './cluster.ts';

const NETWORKING = 'networking.istio.io';

describe.skipIf(kubeconfig === undefined)('a control plane in a real cluster', () => {
  let cluster: Cluster;
  let server: Server;
  let system: string;
  let shop: string;
  let roots: string;
  const clients: AdsClient[] = [];

  const rootMap = (namespace: string): Pick<Raw, 'apiVersion' | 'kind' | 'metadata'> => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio-ca-root-cert', namespace },
  });
  const account = (namespace: string, name: string) =>
    cluster.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } });
  const connectAs = (token: string, node: NodeFacts, more = {}) => {
    const client = proxyWith(server, roots, token, node, more);
    clients.push(client);
    return client;
  };
  /** The status with which a stream is refused, or undefined where it is answered. */
  const refusal = (token: string, node: NodeFacts) =>
    new Promise<{ code: number; message: string } | undefined>((resolve) => {
      const client = connectAs(token, node, { onEnd: resolve, onUpdate: () => resolve(undefined) });
      client.subscribe(TYPE_URL.cluster);
    });

  beforeAll(async () => {
    cluster = new Cluster();
    for (const [kind, plural] of [
      ['VirtualService', 'virtualservices'],
      ['ServiceEntry', 'serviceentries'],
      ['EnvoyFilter', 'envoyfilters'],
    ] as const)
      await cluster.define(NETWORKING, kind, plural);
    system = await cluster.namespace('system');
    shop = await cluster.namespace('shop');
    await account(shop, 'web');
    server = await serve(system);
    const map = await eventually(() => cluster.read(rootMap(shop)), 'the root certificate');
    roots = (map['data'] as Record<string, string>)['root-cert.pem'] ?? '';
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await server.stop();
    await cluster.clean();
  });

  it('keeps the root certificate right in every namespace', async () => {
    const bank = await cluster.namespace('bank');
    await eventually(() => cluster.read(rootMap(bank)), 'the root in a new namespace');
    await cluster.remove(rootMap(bank));
    await eventually(() => cluster.read(rootMap(bank)), 'the root after it was deleted');
    await cluster.put({ ...rootMap(bank), data: { 'root-cert.pem': 'EVIL', mine: 'x' } });
    const right = async () => {
      const data = (await cluster.read(rootMap(bank)))?.['data'] as Record<string, string>;
      return data['root-cert.pem'] === roots && data['mine'] === 'x';
    };
    await until(right, 'the root after it was damaged');
    expect(roots).toContain('BEGIN CERTIFICATE');
  });

  it('shares one root among servers that start at once, in a Secret', async () => {
    const other = await cluster.namespace('replicas');
    const servers = await Promise.all([serve(other), serve(other, { replica: 'b' }), serve(other, { replica: 'c' })]);
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'istio-ca-secret', namespace: other } };
    const stored = await cluster.read(secret);
    expect(stored).toMatchObject({ type: 'istio.io/ca-root' });
    const certificate = Buffer.from(
      (stored?.['data'] as Record<string, string> | undefined)?.['ca-cert.pem'] ?? '',
      'base64',
    );
    for (const each of servers) {
      // Its serving certificate verifies by that root, under the name that proxies call it by.
      const socket = connect({
        ...{ host: '127.0.0.1', port: each.addresses.secureGrpc?.port ?? 0, ca: certificate, ALPNProtocols: ['h2'] },
        servername: `istiod.${other}.svc`,
      });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      expect(socket.authorized).toBe(true);
      socket.destroy();
    }
    for (const each of servers) await each.stop();
  });

  it('signs for whom the API server vouches, and nobody else', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meltemi-kube-'));
    const rootFile = join(folder, 'roots.pem');
    writeFileSync(rootFile, roots);
    const sign = async (token: string): Promise<readonly string[]> => {
      const tokenFile = join(folder, 'token');
      writeFileSync(tokenFile, token);
      const target = {
        ...{ address: `127.0.0.1:${server.addresses.secureGrpc?.port}`, serverName: 'localhost' },
        ...({ security: 'tls', roots: { kind: 'file', path: rootFile } } as const),
      };
      const identity = {
        ...{ tokenFile, clusterId: 'Kubernetes', headers: {}, providedDirectory: undefined },
        ...{ current: () => undefined, clock: { now: Date.now } },
      };
      const ca = caClient(target, identity, { timers: realTimers, random: () => 0.5 });
      const { csrPem } = await newCsr(`spiffe://cluster.local/ns/${shop}/sa/web`, { kind: 'ecdsa' });
      return ca.sign(csrPem, 3600);
    };
    const chain = await sign(await cluster.token(shop, 'web'));
    const leaf = join(folder, 'leaf.pem');
    writeFileSync(leaf, chain[0] ?? '');
    const text = execFileSync('openssl', ['x509', '-in', leaf, '-noout', '-ext', 'subjectAltName']).toString();
    expect(text).toContain(`URI:spiffe://cluster.local/ns/${shop}/sa/web`);
    const foreign = await cluster.token(shop, 'web', 'https://kubernetes.default.svc.cluster.local');
    await expect(sign(foreign)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    await expect(sign('rubbish')).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  });

  it('lets a proxy be only who its token says', async () => {
    const token = await cluster.token(shop, 'web');
    expect(await refusal(token, { namespace: shop, account: 'web' })).toBeUndefined();
    expect(await refusal(token, { namespace: shop })).toBeUndefined();
    expect(await refusal(token, { namespace: system, account: 'web' })).toMatchObject({
      code: status.PERMISSION_DENIED,
      message: expect.stringContaining(`namespace ${system}`) as string,
    });
    expect(await refusal(token, { namespace: shop, account: 'admin' })).toMatchObject({
      code: status.PERMISSION_DENIED,
      message: expect.stringContaining('service account admin') as string,
    });
    expect(await refusal('rubbish', { namespace: shop })).toMatchObject({ code: status.UNAUTHENTICATED });
  });

  it('checks it against the account under which the pod runs', async () => {
    await account(shop, 'db');
    const containers = [{ name: 'c', image: 'none' }];
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'db-0', namespace: shop } };
    await cluster.put({ ...pod, spec: { serviceAccountName: 'db', containers, nodeName: 'no-node' } });
    await until(
      async () => server.config.store.generation({ kind: 'Pod', namespace: shop, name: 'db-0' }) !== undefined,
      'the pod',
    );
    const web = await cluster.token(shop, 'web');
    expect(await refusal(web, { namespace: shop, name: 'db-0' })).toMatchObject({
      code: status.PERMISSION_DENIED,
      message: expect.stringContaining('service account db') as string,
    });
    const db = await cluster.token(shop, 'db', 'istio-ca', 'db-0');
    expect(await refusal(db, { namespace: shop, name: 'db-0' })).toBeUndefined();
    await cluster.remove(pod);
  });

  it('gives Secrets to gateways that may read them, and follows their rotation', async () => {
    for (const name of ['gateway', 'stranger']) await account(shop, name);
    const rbac = 'rbac.authorization.k8s.io/v1';
    const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'watch', 'list'] }];
    await cluster.put({ apiVersion: rbac, kind: 'Role', metadata: { name: 'reader', namespace: shop }, rules } as Raw);
    await cluster.put({
      ...{ apiVersion: rbac, kind: 'RoleBinding', metadata: { name: 'reader', namespace: shop } },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'gateway', namespace: shop }],
    } as Raw);
    const secret = (value: string): Raw => ({
      ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tls', namespace: shop }, type: 'Opaque' },
      data: { cert: btoa(`CERT ${value}`), key: btoa(`KEY ${value}`), cacert: btoa(`CA ${value}`) },
    });
    await cluster.put(secret('1'));
    const names = ['kubernetes://tls', 'kubernetes://tls-cacert', `kubernetes://${system}/istio-ca-secret`];
    const ask = async (name: string): Promise<AdsClient> => {
      const token = await cluster.token(shop, name);
      const client = connectAs(token, { namespace: shop, account: name, type: 'router', name });
      client.subscribe(TYPE_URL.secret, names);
      return client;
    };
    const textOf = (client: AdsClient, name: string) =>
      client.held(TYPE_URL.secret).get(name)?.bytes.toString('latin1') ?? '';
    const [allowed, denied] = [await ask('gateway'), await ask('stranger')];
    await until(async () => textOf(allowed, 'kubernetes://tls').includes('KEY 1'), 'the key');
    // A CA certificate is no secret: by it one sees that the other was answered.
    await until(async () => textOf(denied, 'kubernetes://tls-cacert').includes('CA 1'), 'the CA');
    await cluster.put(secret('2'));
    await until(async () => textOf(allowed, 'kubernetes://tls').includes('KEY 2'), 'the new key');
    await until(async () => textOf(denied, 'kubernetes://tls-cacert').includes('CA 2'), 'the new CA');
    expect(textOf(denied, 'kubernetes://tls')).toBe('');
    expect(textOf(allowed, names[2] ?? '')).toBe('');
  });

  it('patches the CA bundle of its webhooks, and that alone', async () => {
    const name = cluster.name('istio-sidecar-injector');
    const entry = (prefix: string) => ({
      name: `${prefix}.sidecar-injector.istio.io`,
      clientConfig: { service: { name: 'istiod', namespace: system, path: '/inject', port: 443 } },
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      failurePolicy: 'Ignore',
      namespaceSelector: { matchLabels: { 'no-namespace': 'has-this' } },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
    });
    const configuration: Raw = {
      ...{ apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration' },
      metadata: { name, labels: { 'istio.io/rev': 'default' } },
      webhooks: [entry('namespace'), { ...entry('x'), name: 'x.example.com' }],
    };
    interface Hook {
      readonly clientConfig: { readonly caBundle?: string };
    }
    const before = (await cluster.put(configuration)) as { readonly webhooks: readonly Hook[] };
    const hooks = async () => (await cluster.read(configuration))?.['webhooks'] as readonly Hook[];
    const bundle = Buffer.from(roots).toString('base64');
    const patched = async () => (await hooks())[0]?.clientConfig.caBundle === bundle;
    await until(patched, 'the bundle');
    const [first, second] = before.webhooks;
    expect(await hooks()).toEqual([{ ...first, clientConfig: { ...first?.clientConfig, caBundle: bundle } }, second]);
    const path = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${name}`;
    const body = [{ op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value: btoa(roots.slice(0, -30)) }];
    await cluster.api
      .send({ method: 'PATCH', patch: 'json-patch', path, body }, AbortSignal.timeout(5000))
      .catch(() => undefined);
    await until(patched, 'the bundle after it was damaged');
  });

  it('writes what became of objects, and virtual addresses, into their status', async () => {
    const entry: Raw = {
      ...{ apiVersion: `${NETWORKING}/v1`, kind: 'ServiceEntry', metadata: { name: 'ext', namespace: shop } },
      spec: { hosts: ['ext.example.com'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], resolution: 'DNS' },
    };
    const route = (weight: number): Raw => ({
      ...{ apiVersion: `${NETWORKING}/v1`, kind: 'VirtualService', metadata: { name: 'ext', namespace: shop } },
      spec: { hosts: ['ext.example.com'], http: [{ route: [{ destination: { host: 'ext.example.com' }, weight }] }] },
    });
    await cluster.put(entry);
    await cluster.put(route(100));
    const client = connectAs(await cluster.token(shop, 'web'), { namespace: shop, account: 'web' });
    client.subscribe(TYPE_URL.cluster);
    client.subscribe(TYPE_URL.listener);
    client.subscribe(TYPE_URL.route, ['80']);
    interface Status {
      readonly observedGeneration?: number;
      readonly addresses?: readonly { readonly value: string }[];
      readonly conditions?: readonly { readonly status: string; readonly reason: string; readonly message: string }[];
    }
    const statusOf = async (raw: Raw) => ((await cluster.read(raw))?.['status'] ?? {}) as Status;
    const addresses = await eventually(async () => (await statusOf(entry)).addresses, 'virtual addresses');
    expect(addresses.map(({ value }) => value.slice(0, 7))).toEqual(['240.240', '2001:2:']);
    const programmed = async (generation: number, reason: string) => {
      const { observedGeneration, conditions } = await statusOf(route(100));
      return observedGeneration === generation && conditions?.[0]?.reason === reason;
    };
    await until(() => programmed(1, 'Programmed'), 'the condition', 40_000);
    expect((await statusOf(route(100))).conditions).toMatchObject([
      { type: 'Reconciled', status: 'True', message: expect.stringMatching(/^1\/1 proxies/) as string },
    ]);
    await cluster.put(route(-1));
    await until(() => programmed(2, 'Invalid'), 'the condition of an invalid version', 40_000);
    // The writes of statuses were no changes to the mesh.
    expect(await statusOf(entry)).toMatchObject({ addresses, conditions: [{ type: 'Reconciled' }] });
  });
});
