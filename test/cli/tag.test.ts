// Tags as objects of a cluster, on an API server in memory: what is made, moved, switched off and put back.
import { describe, expect, it } from 'vitest';
import { clusterOf } from '../../src/cli/cluster/cluster.ts';
import { defaultRevision, readRevisions, revisionBehind, tagsOf } from '../../src/cli/cluster/revisions.ts';
import {
  DEFAULT_VALIDATOR,
  entryName,
  injectorEntries,
  isDeactivated,
  MUTATING_PATH,
  VALIDATING_PATH,
  type WebhookConfiguration,
} from '../../src/cli/cluster/webhooks.ts';
import { removeTagIn, setTagIn } from '../../src/cli/commands/tag.ts';
import { FakeKube, type Raw } from '../support/fake-kube.ts';

const SYSTEM = 'istio-system';

function injector(revision: string): Raw {
  const named = revision === 'default' ? '' : `-${revision}`;
  const service = { name: `istiod${named}`, namespace: SYSTEM };
  return {
    metadata: { name: `istio-sidecar-injector${named}`, labels: { app: 'sidecar-injector', 'istio.io/rev': revision } },
    webhooks: injectorEntries(revision, false).map((entry) => ({
      name: entryName(entry),
      clientConfig: { service, caBundle: 'Q0E=' },
      namespaceSelector: { matchExpressions: entry.namespaces },
      objectSelector: { matchExpressions: entry.pods },
      failurePolicy: 'Fail',
    })),
  };
}

function lab(...revisions: string[]) {
  const kube = new FakeKube();
  for (const revision of revisions) {
    kube.put(MUTATING_PATH, injector(revision));
    const name = revision === 'default' ? 'istiod' : `istiod-${revision}`;
    const metadata = { name, namespace: SYSTEM, labels: { 'istio.io/rev': revision } };
    kube.put(`/api/v1/namespaces/${SYSTEM}/services`, {
      metadata,
      spec: { selector: { app: 'istiod', 'istio.io/rev': revision } },
    });
  }
  const client = { clientConfig: { service: { name: 'istiod', namespace: SYSTEM }, caBundle: 'Q0E=' } };
  const metadata = { name: DEFAULT_VALIDATOR, labels: { 'istio.io/rev': 'default' } };
  kube.put(VALIDATING_PATH, { metadata, webhooks: [{ name: 'validation.istio.io', ...client }] });
  kube.put('/api/v1/namespaces', { metadata: { name: 'shop', labels: { 'istio.io/rev': 'prod' } } });
  const cluster = clusterOf('test', kube);
  const said: string[] = [];
  const context = { env: {}, out: (text: string) => said.push(text), err: (text: string) => said.push(text) };
  const set = (tag: string, revision: string, overwrite = false): Promise<number> =>
    setTagIn(cluster, tag, { revision, overwrite, istioNamespace: SYSTEM }, context);
  const remove = (tag: string): Promise<number> =>
    removeTagIn(cluster, tag, { skipConfirmation: true, istioNamespace: SYSTEM }, context);
  const configuration = (name: string): WebhookConfiguration | undefined =>
    kube.read(`${MUTATING_PATH}/${name}`) as WebhookConfiguration | undefined;
  const validator = (): WebhookConfiguration | undefined =>
    kube.read(`${VALIDATING_PATH}/${DEFAULT_VALIDATOR}`) as WebhookConfiguration | undefined;
  return { kube, said, set, remove, configuration, validator, revisions: () => readRevisions(cluster) };
}

describe('a tag', () => {
  it('is a configuration that selects by its name and asks its revision, with that one’s CA', async () => {
    const { set, configuration, revisions } = lab('b');
    expect(await set('prod', 'b')).toBe(0);
    const made = configuration('istio-revision-tag-prod');
    expect(made?.metadata?.labels).toMatchObject({ 'istio.io/tag': 'prod', 'istio.io/rev': 'b' });
    expect(made?.webhooks?.[0]).toMatchObject({
      name: 'rev.namespace.sidecar-injector.istio.io',
      clientConfig: { service: { name: 'istiod-b' }, caBundle: 'Q0E=' },
      namespaceSelector: { matchExpressions: [{ key: 'istio.io/rev', values: ['prod'] }, {}] },
    });
    expect(tagsOf(await revisions())).toEqual([{ tag: 'prod', revision: 'b', namespaces: ['shop'] }]);
    expect(revisionBehind('prod', await revisions())).toBe('b');
  });

  it('moves only when that is asked for', async () => {
    const { set, revisions } = lab('a', 'b');
    await set('prod', 'a');
    await expect(set('prod', 'b')).rejects.toThrow('--overwrite');
    await set('prod', 'b', true);
    expect(tagsOf(await revisions())).toMatchObject([{ tag: 'prod', revision: 'b' }]);
  });

  it('needs a revision, and a name of its own', async () => {
    const { set, kube } = lab('a');
    await expect(set('prod', 'b')).rejects.toThrow('there is no revision b; installed: a');
    await expect(set('a', 'a')).rejects.toThrow('is the name of a revision');
    await expect(set('Prod!', 'a')).rejects.toThrow('letters, digits and dashes');
    kube.put(MUTATING_PATH, { ...injector('a'), metadata: { name: 'another', labels: { 'istio.io/rev': 'a' } } });
    await expect(set('prod', 'a')).rejects.toThrow('more than once');
  });

  it('that Helm made says so, and Helm is told to keep it', async () => {
    const { set, kube, said, configuration } = lab('a', 'b');
    await set('prod', 'a');
    const made = kube.read(`${MUTATING_PATH}/istio-revision-tag-prod`);
    if (made === undefined) throw new Error('no tag');
    const annotations = { 'meta.helm.sh/release-name': 'istiod-a' };
    kube.put(MUTATING_PATH, { ...made, metadata: { ...made.metadata, annotations } });
    await set('prod', 'b', true);
    expect(said.join('\n')).toContain('made by the Helm release istiod-a');
    const metadata = configuration('istio-revision-tag-prod')?.metadata;
    expect(metadata?.annotations).toEqual({ ...annotations, 'helm.sh/resource-policy': 'keep' });
  });

  it('goes with all that it was', async () => {
    const { set, remove, revisions } = lab('a');
    await set('prod', 'a');
    await remove('prod');
    expect(tagsOf(await revisions())).toEqual([]);
    await expect(remove('prod')).rejects.toThrow('there is no tag prod');
  });
});

describe('the tag default', () => {
  it('takes over from the control plane without revision, and gives back exactly what was', async () => {
    const { set, remove, configuration, validator, revisions } = lab('default', 'b');
    const before = configuration('istio-sidecar-injector')?.webhooks;
    await set('default', 'b');
    expect(configuration('istio-sidecar-injector')?.webhooks?.every(isDeactivated)).toBe(true);
    expect(configuration('istio-revision-tag-default')?.webhooks).toHaveLength(4);
    expect(validator()).toMatchObject({
      metadata: { labels: { 'istio.io/rev': 'b' } },
      webhooks: [{ clientConfig: { service: { name: 'istiod-b' } } }],
    });
    expect(defaultRevision(await revisions())).toBe('b');
    await remove('default');
    const after = configuration('istio-sidecar-injector')?.webhooks;
    expect(after?.some(isDeactivated)).toBe(false);
    expect(after?.map(({ namespaceSelector }) => namespaceSelector?.matchExpressions)).toEqual(
      before?.map(({ namespaceSelector }) => namespaceSelector?.matchExpressions),
    );
    expect(validator()).toMatchObject({ webhooks: [{ clientConfig: { service: { name: 'istiod' } } }] });
  });

  it('leaves nobody where there is no other', async () => {
    const { set, remove, validator, revisions } = lab('b');
    await set('default', 'b');
    await remove('default');
    expect(validator()).toBeUndefined();
    expect(defaultRevision(await revisions())).toBeUndefined();
  });
});
