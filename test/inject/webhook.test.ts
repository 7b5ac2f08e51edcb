import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type LocalControlPlane, startLocalControlPlane, SYSTEM, TestFolder, trustBundle } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { applyPatch } from './support.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patchType?: string;
  readonly patch?: string;
  readonly warnings?: readonly string[];
  readonly status?: {
    readonly message: string;
    readonly code: number;
    readonly details?: { readonly causes: readonly { readonly field: string }[] };
  };
}

const pod = (annotations: object = {}, labels: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { generateName: 'web-', annotations, labels, managedFields: [{ manager: 'kubectl' }] },
  spec: { containers: [{ name: 'web', image: 'example.com/web:1' }] },
});

const review = (object: unknown, fields: object = {}) =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u-1', operation: 'CREATE', namespace: 'shop', object, ...fields },
  });

describe('webhooks over HTTPS', () => {
  const folder = new TestFolder({ trustDomain: 'mesh.example' });
  const injection = join(folder.path, 'inject');
  let plane: LocalControlPlane;

  beforeAll(async () => {
    folder.write('nothing', '');
    mkdirSync(injection);
    plane = await startLocalControlPlane(folder, '127.0.0.1', {
      https: { host: '127.0.0.1', port: 0 },
      injectionDirectory: injection,
      environment: { FOO: 'bar' },
    });
  });
  afterAll(async () => {
    await plane?.stop();
    folder.delete();
  });

  function post(path: string, body: string, contentType = 'application/json'): Promise<Answer> {
    const port = plane.server.addresses.https?.port;
    // As the API server calls: it knows the bundle and the name of the service.
    const tls = { ca: trustBundle(folder), servername: 'istiod.istio-system.svc', agent: false };
    return new Promise((resolve, reject) => {
      const call = request(
        { ...tls, host: '127.0.0.1', port, path, method: 'POST', headers: { 'content-type': contentType } },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => {
            text += part;
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  }

  async function ask(path: string, object: unknown, fields: object = {}): Promise<Response> {
    const { status, text } = await post(path, review(object, fields));
    expect(status, text).toBe(200);
    const answer = JSON.parse(text) as { apiVersion: string; kind: string; response: Response };
    expect(answer).toMatchObject({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' });
    expect(answer.response.uid).toBe('u-1');
    return answer.response;
  }

  type Injected = { spec: { containers: { name: string; image: string; env?: { name: string; value?: string }[] }[] } };

  async function injectedPod(path: string, object: object): Promise<Injected> {
    const { allowed, patch, patchType, status } = await ask(path, object);
    expect(status?.message).toBeUndefined();
    expect([allowed, patchType]).toEqual([true, 'JSONPatch']);
    const operations = JSON.parse(Buffer.from(patch ?? '', 'base64').toString()) as Parameters<typeof applyPatch>[1];
    return applyPatch(object, operations) as Injected;
  }

  const envOf = ({ spec }: Injected, name: string): string | undefined =>
    spec.containers.find((each) => each.name === 'istio-proxy')?.env?.find((each) => each.name === name)?.value;

  it('answers with a patch, and takes variables from the path', async () => {
    const result = await injectedPod('/inject/cluster/west/net/n1?timeout=10s', pod());
    expect(result.spec.containers.map(({ name }) => name)).toEqual(['web', 'istio-proxy']);
    expect(envOf(result, 'ISTIO_META_CLUSTER_ID')).toBe('west');
    expect(envOf(result, 'ISTIO_META_NETWORK')).toBe('n1');
    expect(envOf(result, 'TRUST_DOMAIN')).toBe('mesh.example');
    expect(envOf(await injectedPod('/inject/:ENV:cluster=east:ENV:a=b', pod()), 'A')).toBe('b');
  });

  it('allows what is not to be injected, without a patch', async () => {
    const answer = await ask('/inject', pod({}, { 'sidecar.istio.io/inject': 'false' }));
    expect(answer).toEqual({ uid: 'u-1', allowed: true });
  });

  it('denies with every reason at once', async () => {
    const wrong = { 'sidecar.istio.io/interceptionMode': 'X', 'status.sidecar.istio.io/port': 'y' };
    const { allowed, status } = await ask('/inject', pod(wrong));
    expect(allowed).toBe(false);
    expect(status?.message).toMatch(
      /interceptionMode.*expected REDIRECT, TPROXY or NONE; .*status\.sidecar.*a port number/,
    );
  });

  it('refuses requests that are none', async () => {
    expect((await post('/inject', '')).status).toBe(400);
    expect((await post('/inject', '{', 'application/json')).status).toBe(400);
    expect((await post('/inject', '{"kind":"Pod"}')).status).toBe(400);
    expect((await post('/inject', review(pod()), 'text/yaml')).status).toBe(415);
    expect((await post('/validate', 'x')).status).toBe(400);
    expect((await post('/nothing', review(pod()))).status).toBe(404);
    const { allowed, status } = await ask('/inject', { kind: 'Pod', spec: { containers: [{}] } });
    expect([allowed, status?.message]).toEqual([
      false,
      'injection failed: the object of the request is no pod: it spec.containers[0] has no name',
    ]);
  });

  it('has the webhooks on the HTTPS port only', async () => {
    const { http } = plane.server.addresses;
    const answer = await fetch(`http://127.0.0.1:${http?.port}/inject`, { method: 'POST', body: review(pod()) });
    expect(answer.status).toBe(404);
  });

  it('follows the ConfigMap, and keeps the last good one', async () => {
    const map = (config: string, values: object = {}) =>
      folder.write('injector', [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'istio-sidecar-injector', namespace: SYSTEM },
          data: { config, values: JSON.stringify(values) },
        },
      ]);
    const template =
      'spec:\n  containers:\n  - name: istio-proxy\n    image: "{{ .ProxyImage }}"\n    env: [{ name: FOO, value: "{{ env "FOO" "" }}" }]\n';
    const templates = { sidecar: template, broken: 'a\n{{ if }}' };
    await plane.settled(map(stringify({ templates }), { global: { hub: 'example.com/mesh', tag: 7 } }));
    const result = await injectedPod('/inject', pod());
    expect(result.spec.containers[1]).toMatchObject({ image: 'example.com/mesh/meltemi:7' });
    expect(envOf(result, 'FOO')).toBe('bar');
    const { status } = await ask('/inject', pod({ 'inject.istio.io/templates': 'broken' }));
    expect(status?.message).toBe('injection failed: template broken, line 2: a value is missing');

    await plane.settled(map('{ not: [yaml'));
    expect((await injectedPod('/inject', pod())).spec.containers[1]).toMatchObject({
      image: 'example.com/mesh/meltemi:7',
    });
    const findings = JSON.stringify(await plane.debug('findingz'));
    expect(findings).toContain('MEL0070');

    await plane.settled(map(stringify({ policy: 'disabled', templates })));
    expect((await ask('/inject', pod())).patch).toBeUndefined();
    const page = await plane.debug('inject');
    expect(page).toMatchObject({
      policy: 'disabled',
      templates: { sidecar: 'ok', broken: 'template broken, line 2: a value is missing' },
    });
    folder.remove('injector');
    await until(async () => (await ask('/inject', pod())).patch !== undefined, 'the built-in templates');
  });

  it('makes the proxy a native sidecar where every kubelet can run one', async () => {
    const node = (name: string, kubeletVersion: string) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name },
      status: { nodeInfo: { kubeletVersion } },
    });
    await plane.settled(folder.write('nodes', [node('a', 'v1.34.2')]));
    expect((await injectedPod('/inject', pod())).spec.containers.length).toBe(1);
    await plane.settled(folder.write('nodes', [node('a', 'v1.34.2'), node('b', 'v1.31.0')]));
    expect((await injectedPod('/inject', pod())).spec.containers.length).toBe(2);
    folder.remove('nodes');
  });

  it('reads files before the ConfigMap, and follows them', async () => {
    const write = (image: string) => {
      const draft = join(injection, '.draft');
      writeFileSync(
        draft,
        stringify({ templates: { sidecar: `spec: { containers: [{ name: istio-proxy, image: "${image}" }] }` } }),
      );
      renameSync(draft, join(injection, 'config'));
    };
    for (const image of ['by-file:1', 'by-file:2']) {
      write(image);
      await until(async () => (await injectedPod('/inject', pod())).spec.containers[1]?.image === image, image);
    }
  });

  it('counts', async () => {
    for (const name of ['requests', 'success', 'failure', 'skip'])
      expect(await plane.metric(`sidecar_injection_${name}_total`), name).toBeGreaterThan(0);
  });
});
