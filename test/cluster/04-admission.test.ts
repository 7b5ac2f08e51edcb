// What the API server asks the control plane: wrong objects of each kind are refused with the field; injection that can't
// work says why; a webhook that lost its CA gets it back.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1MutatingWebhookConfiguration, V1ValidatingWebhookConfiguration } from '@kubernetes/client-node';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { getJson, helm, IMAGE, kubectl, meltemi, tryApply, until, CONTROL_PLANE } from './support/run.ts';

const NETWORKING = 'networking.istio.io/v1';
const SECURITY = 'security.istio.io/v1';

/** Each is well-formed for the API server's own schema, and wrong all the same; with the field that says so. */
const WRONG: readonly (readonly [kind: string, apiVersion: string, spec: object, field: RegExp])[] = [
  [
    'VirtualService',
    NETWORKING,
    { hosts: ['a.example.com'], http: [{ timeout: 'soon', route: [{ destination: { host: 'a' } }] }] },
    /http\[0\]\.timeout/,
  ],
  ['DestinationRule', NETWORKING, { host: 'a', subsets: [{ name: 'v1' }, { name: 'v1' }] }, /subsets/],
  [
    'Gateway',
    NETWORKING,
    { servers: [{ port: { number: 443, name: 'https', protocol: 'HTTPS' }, hosts: ['*'] }] },
    /servers\[0\]\.tls/,
  ],
  [
    'ServiceEntry',
    NETWORKING,
    {
      hosts: ['a.example.com'],
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      endpoints: [{ address: 'not-an-address' }],
    },
    /endpoints\[0\]\.address/,
  ],
  ['WorkloadEntry', NETWORKING, { ports: { http: 80 } }, /address/],
  ['WorkloadGroup', NETWORKING, { template: {}, probe: { periodSeconds: 5 } }, /probe/],
  ['Sidecar', NETWORKING, { egress: [{ hosts: ['nonsense'] }] }, /egress\[0\]\.hosts/],
  [
    'EnvoyFilter',
    'networking.istio.io/v1alpha3',
    { configPatches: [{ applyTo: 'CLUSTER', patch: { operation: 'MERGE' } }] },
    /configPatches\[0\]\.patch/,
  ],
  [
    'AuthorizationPolicy',
    SECURITY,
    { action: 'DENY', rules: [{ when: [{ key: 'no.such.key', values: ['a'] }] }] },
    /rules\[0\]\.when\[0\]/,
  ],
  ['PeerAuthentication', SECURITY, { portLevelMtls: { 80: { mode: 'STRICT' } } }, /portLevelMtls|selector/],
  ['RequestAuthentication', SECURITY, { jwtRules: [{ issuer: 'a', jwksUri: 'nowhere' }] }, /jwtRules\[0\]\.jwksUri/],
  ['Telemetry', 'telemetry.istio.io/v1', { tracing: [{ randomSamplingPercentage: 200 }] }, /randomSamplingPercentage/],
  ['WasmPlugin', 'extensions.istio.io/v1alpha1', { url: 'gopher://a' }, /url/],
  ['TrafficExtension', 'extensions.istio.io/v1alpha1', { wasm: { url: 'gopher://a' } }, /wasm.url/],
  ['ProxyConfig', 'networking.istio.io/v1beta1', { concurrency: -1 }, /concurrency/],
];

describe('a wrong object', () => {
  it.each(WRONG)('%s is refused, with the field', async (kind, apiVersion, spec, field) => {
    const object = { apiVersion, kind, metadata: { name: 'wrong', namespace: 'bookinfo' }, spec };
    const { code, stderr } = await tryApply(object, '--dry-run=server');
    expect(code, `${kind} was taken`).not.toBe(0);
    expect(stderr).toMatch(field);
  });

  it('is refused for a revision of its own name too', async () => {
    const metadata = { name: 'wrong', namespace: 'bookinfo', labels: { 'istio.io/rev': 'default' } };
    const spec = { host: 'a', subsets: [{ name: 'v1' }, { name: 'v1' }] };
    const { stderr } = await tryApply(
      { apiVersion: NETWORKING, kind: 'DestinationRule', metadata, spec },
      '--dry-run=server',
    );
    expect(stderr).toMatch(/subsets/);
  });
});

describe('a template that is broken', () => {
  const pod = (annotations: Record<string, string>): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'broken', namespace: 'bookinfo', annotations },
    spec: { containers: [{ name: 'app', image: IMAGE, command: ['node', '-e', '0'] }] },
  });

  afterAll(async () => {
    await helm('upgrade', 'istiod', 'charts/meltemi', ...CONTROL_PLANE);
  });

  it('refuses the pods that use it, naming template and line, and no others', async () => {
    const template = 'metadata:\n  annotations:\n    a: {{ fail "out of order" }}\n';
    await helm(
      'upgrade',
      'istiod',
      'charts/meltemi',
      ...CONTROL_PLANE,
      '--set-string',
      `sidecarInjectorWebhook.templates.mine=${template}`,
    );
    const annotations = { 'inject.istio.io/templates': 'sidecar,mine' };
    const { stderr } = await until('it is refused', async () => {
      const answer = await tryApply(pod(annotations), '--dry-run=server');
      return answer.code !== 0 && answer;
    });
    expect(stderr).toMatch(/template mine, line 3: .*out of order/);
    expect((await tryApply(pod({}), '--dry-run=server')).code).toBe(0);
  });
});

describe('injection by hand', () => {
  it('is that of the control plane in the cluster, and offline that of the files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meltemi-cluster-'));
    const file = join(folder, 'pod.yaml');
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x' },
      spec: { containers: [{ name: 'a', image: 'a' }] },
    };
    writeFileSync(file, stringify(pod));
    const values = join(folder, 'values.yaml');
    writeFileSync(values, stringify({ global: { proxy: { image: 'other/image:1' } } }));
    const { stdout, stderr } = await meltemi('kube-inject', '-f', file);
    expect(stderr).toBe('');
    expect(stdout).toContain(`image: ${IMAGE}`);
    expect((await meltemi('kube-inject', '-f', file, '--valuesFile', values)).stdout).toContain('image: other/image:1');
    const none = await meltemi(
      'kube-inject',
      '-f',
      file,
      '-r',
      'none',
      '--kubeconfig',
      process.env['KUBECONFIG'] ?? '',
    );
    expect(none.stderr).toContain('no control plane of revision none');
    expect(none.code).not.toBe(0);
    rmSync(folder, { recursive: true });
  });
});

describe('a webhook with a wrong CA', () => {
  const WRONG_CA = Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n').toString('base64');

  it.each([
    ['mutatingwebhookconfiguration', 'istio-sidecar-injector'],
    ['validatingwebhookconfiguration', 'istiod-default-validator'],
  ])('%s gets the right one back, and nothing else of it changes', async (kind, name) => {
    type Configuration = V1MutatingWebhookConfiguration | V1ValidatingWebhookConfiguration;
    const before = await getJson<Configuration>(kind, name);
    const right = before.webhooks?.[0]?.clientConfig.caBundle ?? '';
    expect(right).not.toBe('');
    const { items } = await getJson<{ items: { data?: Record<string, string> }[] }>(
      'configmap',
      '-n',
      'bookinfo',
      '--field-selector=metadata.name=istio-ca-root-cert',
    );
    const other = Buffer.from(items[0]?.data?.['root-cert.pem'] ?? '').toString('base64');
    expect(right).toBe(other);
    const patch = (before.webhooks ?? []).map((_, i) => ({
      op: 'replace',
      path: `/webhooks/${i}/clientConfig/caBundle`,
      value: WRONG_CA,
    }));
    await kubectl('patch', kind, name, '--type=json', '-p', JSON.stringify(patch));
    const after = await until('the CA is right again', async () => {
      const found = await getJson<Configuration>(kind, name);
      return found.webhooks?.every(({ clientConfig }) => clientConfig.caBundle === right) === true && found;
    });
    expect(after.webhooks).toEqual(before.webhooks);
    await until('all is well', async () => (await meltemi('check')).code === 0);
  });
});
