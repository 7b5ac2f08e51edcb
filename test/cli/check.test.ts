// Each thing that can be amiss, one at a time, on an install that is otherwise in order.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { crdFiles } from '../../scripts/crds.ts';
import { problemsOf } from '../../src/cli/check/checks.ts';
import { readFacts } from '../../src/cli/check/facts.ts';
import { clusterOf } from '../../src/cli/cluster/cluster.ts';
import {
  DEFAULT_VALIDATOR,
  entryName,
  injectorEntries,
  MUTATING_PATH,
  VALIDATING_PATH,
} from '../../src/cli/cluster/webhooks.ts';
import { FakeKube, type Raw } from '../support/fake-kube.ts';

const SYSTEM = 'istio-system';
const ROOT = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const BUNDLE = Buffer.from(ROOT).toString('base64');
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${SYSTEM}/deployments`;
const SERVICES = `/api/v1/namespaces/${SYSTEM}/services`;
const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${SYSTEM}/endpointslices`;
const NAMESPACES = '/api/v1/namespaces';

const definitions = Object.values(crdFiles()).map((text) => parse(text) as Raw);
const client = { service: { name: 'istiod', namespace: SYSTEM, port: 443 }, caBundle: BUNDLE };
const labels = { app: 'istiod', 'istio.io/rev': 'default' };

const injector = (webhook: object = {}): Raw => ({
  metadata: { name: 'istio-sidecar-injector', labels: { ...labels, app: 'sidecar-injector' } },
  webhooks: injectorEntries('default', false).map((entry) => ({
    name: entryName(entry),
    clientConfig: client,
    namespaceSelector: { matchExpressions: entry.namespaces },
    objectSelector: { matchExpressions: entry.pods },
    failurePolicy: 'Fail',
    ...webhook,
  })),
});

const validator = (rev: string): Raw => ({
  metadata: { name: DEFAULT_VALIDATOR, labels: { 'istio.io/rev': rev } },
  webhooks: [{ name: 'validation.istio.io', clientConfig: client, failurePolicy: 'Fail' }],
});

const configMap = (namespace: string, name: string, data: object): Raw => ({ metadata: { name, namespace }, data });

const namespace = (name: string, own: Record<string, string>): Raw => ({ metadata: { name, labels: own } });

const deployment = (ready: number): Raw => ({
  metadata: { name: 'istiod', namespace: SYSTEM, labels },
  spec: { replicas: 1, selector: { matchLabels: labels } },
  status: { readyReplicas: ready },
});

const pod = (name: string, containers: string[], metadata: object = {}): Raw => ({
  metadata: { name, namespace: 'shop', creationTimestamp: '2020-01-01T00:00:00Z', ...metadata },
  spec: { containers: containers.map((container) => ({ name: container, image: 'image:1' })) },
  status: { phase: 'Running', containerStatuses: containers.map((container) => ({ name: container, ready: true })) },
});

/** An install in which nothing is amiss, but for what `change` makes of it. */
async function problems(change: (kube: FakeKube) => void): Promise<string[]> {
  const kube = new FakeKube();
  for (const definition of definitions) {
    const own = { ...definition.metadata, labels: { 'app.kubernetes.io/part-of': 'meltemi' } };
    kube.put(CRDS, { ...definition, metadata: own });
  }
  kube.put(DEPLOYMENTS, deployment(1));
  kube.put(SERVICES, { metadata: { name: 'istiod', namespace: SYSTEM, labels }, spec: { ports: [{ port: 443 }] } });
  kube.put(SLICES, {
    metadata: { name: 'istiod-1', namespace: SYSTEM, labels: { 'kubernetes.io/service-name': 'istiod' } },
    endpoints: [{ conditions: { ready: true } }],
  });
  for (const name of ['istio', 'istio-sidecar-injector'])
    kube.put(`/api/v1/namespaces/${SYSTEM}/configmaps`, configMap(SYSTEM, name, {}));
  for (const place of [SYSTEM, 'shop'])
    kube.put(
      `/api/v1/namespaces/${place}/configmaps`,
      configMap(place, 'istio-ca-root-cert', { 'root-cert.pem': ROOT }),
    );
  kube.put(MUTATING_PATH, injector());
  kube.put(VALIDATING_PATH, validator('default'));
  kube.put(NAMESPACES, namespace('shop', { 'istio-injection': 'enabled' }));
  kube.put(
    '/api/v1/namespaces/shop/pods',
    pod('web', ['app', 'istio-proxy'], { annotations: { 'istio.io/rev': 'default' } }),
  );
  kube.answers.set('selfsubjectaccessreviews', () => ({ status: { allowed: true } }));
  change(kube);
  const facts = await readFacts(clusterOf('test', versioned(kube)), { systemNamespace: SYSTEM });
  return problemsOf(facts).map(({ level, subject, message }) => `${level}: ${subject} ${message}`);
}

/** The server in memory keeps objects; this one also says its version. */
function versioned(kube: FakeKube): FakeKube {
  const get = kube.get.bind(kube);
  kube.get = async (path, query, signal) => (path === '/version' ? kubeVersion(kube) : get(path, query, signal));
  return kube;
}

const versions = new WeakMap<FakeKube, string>();
const kubeVersion = (kube: FakeKube): object => {
  const minor = versions.get(kube) ?? '34';
  return { gitVersion: `v1.${minor}.0`, minor };
};

const CASES: readonly (readonly [what: string, change: (kube: FakeKube) => void, expected: RegExp])[] = [
  ['an old cluster', (kube) => versions.set(kube, '27+'), /Error: Kubernetes v1\.27\+\.0 is older than 1\.28/],
  [
    'a definition that is missing',
    (kube) => kube.delete(`${CRDS}/virtualservices.networking.istio.io`),
    /Error: definitions 1 of 15 are missing: virtualservices/,
  ],
  [
    'a definition of somebody else that lacks a field',
    foreignDefinition,
    /Warning: crd\/wasmplugins\.extensions\.istio\.io does not know .*failStrategy/,
  ],
  [
    'a control plane that is not ready',
    (kube) => kube.put(DEPLOYMENTS, deployment(0)),
    /Error: deployment\/istiod 0 of 1 replicas are ready/,
  ],
  [
    'a webhook without its service',
    (kube) => kube.delete(`${SERVICES}/istiod`),
    /Error: mutatingwebhookconfiguration\/istio-sidecar-injector service istiod in istio-system does not exist/,
  ],
  ['a webhook whose service has no pod', (kube) => kube.delete(`${SLICES}/istiod-1`), /has no ready pod/],
  [
    'a webhook without CA',
    (kube) => kube.put(MUTATING_PATH, injector({ clientConfig: { service: client.service } })),
    /has no CA bundle/,
  ],
  [
    'a webhook with a wrong CA',
    (kube) =>
      kube.put(
        MUTATING_PATH,
        injector({
          clientConfig: { ...client, caBundle: Buffer.from(ROOT.replace('AAAA', 'BBBB')).toString('base64') },
        }),
      ),
    /is not the mesh's root/,
  ],
  [
    'a tag of a revision that is gone',
    (kube) => kube.put(MUTATING_PATH, tagOf('prod', 'gone')),
    /Error: tag\/prod stands for revision gone, which is not installed/,
  ],
  [
    'two that inject the same pods',
    (kube) => kube.put(MUTATING_PATH, tagOf('default', 'default')),
    /injects namespaces with istio-injection=enabled, and so does/,
  ],
  [
    'a namespace with both labels',
    (kube) => kube.put(NAMESPACES, namespace('shop', { 'istio-injection': 'enabled', 'istio.io/rev': 'b' })),
    /Warning: namespace\/shop has both/,
  ],
  [
    'a namespace that chooses what is not there',
    (kube) => kube.put(NAMESPACES, namespace('shop', { 'istio.io/rev': 'b' })),
    /Error: namespace\/shop chooses b, by which nothing is injected/,
  ],
  [
    'a default validator that asks nobody',
    (kube) => kube.put(VALIDATING_PATH, validator('gone')),
    /istiod-default-validator asks revision gone/,
  ],
  [
    'no default validator',
    (kube) => kube.delete(`${VALIDATING_PATH}/${DEFAULT_VALIDATOR}`),
    /nobody checks objects that name no revision/,
  ],
  [
    'configuration of a revision that is not there',
    ofRevision('gone'),
    /Error: configuration 1 objects belong to revision gone.*VirtualService shop\/web/,
  ],
  [
    'configuration that is served, and that no revision answers for',
    (kube) => {
      kube.put(NAMESPACES, namespace('shop', { 'istio.io/rev': 'gone' }));
      kube.put('/apis/networking.istio.io/v1/namespaces/shop/virtualservices', {
        metadata: { name: 'web', namespace: 'shop' },
      });
    },
    /Warning: configuration 1 objects belong to revision gone.*they are in force.*VirtualService shop\/web/,
  ],
  [
    'a pod without proxy',
    (kube) => kube.put('/api/v1/namespaces/shop/pods', pod('bare', ['app'])),
    /Warning: namespace\/shop 1 pods have no proxy though the namespace wants it: bare/,
  ],
  [
    'a pod of another revision',
    (kube) =>
      kube.put(
        '/api/v1/namespaces/shop/pods',
        pod('old', ['app', 'istio-proxy'], { annotations: { 'istio.io/rev': 'a' } }),
      ),
    /Info: namespace\/shop 1 pods have a proxy of another revision/,
  ],
  [
    'a gateway that was not injected',
    (kube) =>
      kube.put('/api/v1/namespaces/shop/pods', {
        ...pod('gate', []),
        spec: { containers: [{ name: 'istio-proxy', image: 'auto' }] },
      }),
    /Error: namespace\/shop gateways were made but not injected: gate/,
  ],
  [
    'a namespace without root certificate',
    (kube) => kube.delete('/api/v1/namespaces/shop/configmaps/istio-ca-root-cert'),
    /Error: namespace\/shop lacks the ConfigMap istio-ca-root-cert/,
  ],
];

function foreignDefinition(kube: FakeKube): void {
  const own = definitions.find(({ metadata }) => metadata.name === 'wasmplugins.extensions.istio.io');
  if (own === undefined) throw new Error('no definition');
  const copy = structuredClone(own) as Raw & {
    spec: {
      versions: { schema: { openAPIV3Schema: { properties: { spec: { properties: Record<string, unknown> } } } } }[];
    };
  };
  for (const { schema } of copy.spec.versions) delete schema.openAPIV3Schema.properties.spec.properties['failStrategy'];
  kube.put(CRDS, copy);
}

function tagOf(tag: string, revision: string): Raw {
  const metadata = { name: `istio-revision-tag-${tag}`, labels: { 'istio.io/rev': revision, 'istio.io/tag': tag } };
  const webhooks = injectorEntries(tag, false).map((entry) => ({
    name: entryName(entry),
    clientConfig: client,
    namespaceSelector: { matchExpressions: entry.namespaces },
  }));
  return { metadata, webhooks };
}

function ofRevision(revision: string) {
  return (kube: FakeKube): void =>
    kube.put('/apis/networking.istio.io/v1/namespaces/shop/virtualservices', {
      metadata: { name: 'web', namespace: 'shop', labels: { 'istio.io/rev': revision } },
    });
}

describe('meltemi check', () => {
  it('says nothing where nothing is amiss', async () => {
    expect(await problems(() => undefined)).toEqual([]);
  });

  it.each(CASES)('says of %s what it is', async (_what, change, expected) => {
    expect((await problems(change)).join('\n')).toMatch(expected);
  });

  it('asks before an install whether one may install', async () => {
    const found = await problems((kube) => {
      kube.delete(`${DEPLOYMENTS}/istiod`);
      kube.answers.set('selfsubjectaccessreviews', (body) => ({
        status: { allowed: !JSON.stringify(body).includes('clusterroles"') },
      }));
    });
    expect(found.join('\n')).toMatch(/Error: permissions you may not create clusterroles\.rbac/);
  });
});
