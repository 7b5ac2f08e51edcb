import { afterEach, describe, expect, it } from 'vitest';
import { KINDS } from '../../src/config/kinds.ts';
import type { Kind } from '../../src/config/object.ts';
import { kubeMesh } from '../../src/sources/kube-mesh.ts';
import { selectsLabels } from '../../src/lib/label-selector.ts';
import { judge, type ScopeFacts } from '../../src/sources/kube-scope.ts';
import { type KubernetesSource, kubernetesSource, type ScopeSettings } from '../../src/sources/kubernetes.ts';
import type { Store } from '../../src/store/store.ts';
import { tableValues } from '../../src/lib/table.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { eventually } from '../support/wait.ts';
import { newStore, noMeter, quietLog, realTimers, untilState } from './harness.ts';

const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const VALIDATING = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
const SIDECARS = (namespace: string) => `/apis/networking.istio.io/v1/namespaces/${namespace}/sidecars`;

const kind = (name: Kind) => {
  const info = KINDS.find((each) => each.kind === name);
  if (info === undefined) throw new Error(name);
  return info;
};

const FACTS: ScopeFacts = {
  revision: 'a',
  systemNamespaces: new Set(['istio-system']),
  selectors: [],
  namespaces: new Map<string, Record<string, string>>([
    ['plain', {}],
    ['of-a', { 'istio.io/rev': 'a' }],
    ['of-b', { 'istio.io/rev': 'b', mesh: 'yes' }],
    ['of-tag', { 'istio.io/rev': 'prod' }],
    ['typo', { 'istio.io/rev': 'aa' }],
  ]),
  tags: new Map([['prod', 'a']]),
  defaultValidator: undefined,
  revisions: new Set(['a', 'b']),
};

describe('who owns an object', () => {
  const owner = (namespace: string, facts: Partial<ScopeFacts> = {}, labels: Record<string, string> = {}) =>
    judge({ ...FACTS, ...facts }, kind('Sidecar'), namespace, labels).kind;

  it('is said by the object, else its namespace; a tag stands for what it points to', () => {
    expect(owner('of-a')).toBe('served');
    expect(owner('of-tag')).toBe('served');
    expect(owner('of-b', {}, { 'istio.io/rev': 'a' })).toBe('served');
    expect(owner('of-a', {}, { 'istio.io/rev': 'b' })).toBe('left-out');
  });

  it('is the default revision where nobody says: tag, then validator, then the unnamed one', () => {
    expect(owner('plain', { tags: new Map([['default', 'a']]) })).toBe('served');
    expect(owner('plain', { defaultValidator: 'a' })).toBe('served');
    expect(owner('plain', { revision: 'default' })).toBe('served');
    expect(owner('unheard-of', { defaultValidator: 'a' })).toBe('served');
  });

  it('is served by the other revisions too, unless it names one itself: gateways may be of either', () => {
    expect(owner('of-b')).toBe('served');
    expect(owner('of-tag', { tags: new Map([['prod', 'b']]) })).toBe('served');
    expect(owner('plain', { tags: new Map([['default', 'b']]), defaultValidator: 'a' })).toBe('served');
    expect(owner('of-b', {}, { 'istio.io/rev': 'b' })).toBe('left-out');
  });

  it('is nobody where a revision is named that is not installed, and that is said', () => {
    expect(judge(FACTS, kind('Sidecar'), 'typo', {})).toEqual({
      kind: 'unowned',
      served: true,
      message: 'namespace typo names istio.io/rev=aa, and no revision or tag of that name is installed',
    });
    expect(owner('plain')).toBe('unowned');
    expect(owner('plain', { defaultValidator: 'gone' })).toBe('unowned');
  });

  it('matters for configuration alone: services and pods are everybody’s', () => {
    expect(judge(FACTS, kind('Pod'), 'of-b', {}).kind).toBe('served');
  });
});

describe('which namespaces are selected', () => {
  it('is decided by labels; the system namespace always is', () => {
    const facts = { ...FACTS, selectors: [{ matchLabels: { mesh: 'yes' } }] };
    expect(['plain', 'of-b', 'new', 'istio-system'].map((ns) => judge(facts, kind('Pod'), ns, {}).kind)).toEqual([
      'left-out',
      'served',
      'left-out',
      'served',
    ]);
    expect(judge(facts, kind('Namespace'), '', {}).kind).toBe('served');
  });

  it('knows the operators of label selectors', () => {
    const one = (operator: string, values: string[], labels: Record<string, string>) =>
      selectsLabels({ matchExpressions: [{ key: 'k', operator, values }] }, labels);
    expect(one('In', ['a', 'b'], { k: 'b' })).toBe(true);
    expect(one('In', ['a'], {})).toBe(false);
    expect(one('NotIn', ['a'], {})).toBe(true);
    expect(one('NotIn', ['a'], { k: 'a' })).toBe(false);
    expect(one('Exists', [], { k: '' })).toBe(true);
    expect(one('DoesNotExist', [], { k: '' })).toBe(false);
    expect(one('Gt', ['1'], { k: '2' })).toBe(false);
    expect(selectsLabels({}, {})).toBe(true);
  });
});

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
});

interface Rig {
  readonly kube: FakeKube;
  readonly store: Store;
  readonly source: KubernetesSource;
}

async function rigOf(prepare: (kube: FakeKube) => void, scope: Partial<ScopeSettings> = {}): Promise<Rig> {
  const kube = new FakeKube();
  kube.served.add('networking.istio.io/v1/sidecars');
  prepare(kube);
  const store = newStore();
  const source = kubernetesSource({
    ...{ api: kube, log: quietLog, meter: noMeter, timers: realTimers, kinds: ['Namespace', 'Service', 'Sidecar'] },
    scope: { revision: 'a', systemNamespace: 'istio-system', rootNamespace: 'istio-system', selectors: [], ...scope },
  });
  running.push(source);
  await source.start(store.sink('kubernetes'));
  await store.ready();
  return { kube, store, source };
}

function namespace(kube: FakeKube, name: string, labels: Record<string, string> = {}): void {
  kube.put(`/api/v1/namespaces/${name}`, { metadata: { name, labels } });
}

function service(kube: FakeKube, ns: string): void {
  kube.put(`/api/v1/namespaces/${ns}/services/s`, { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } });
}

function sidecar(kube: FakeKube, ns: string, labels: Record<string, string> = {}): void {
  kube.put(`${SIDECARS(ns)}/x`, { metadata: { name: 'x', labels }, spec: { egress: [{ hosts: ['./*'] }] } });
}

const where = (store: Store, name: Kind): string[] =>
  [...tableValues(store.state().byKind[name])].map((each) => each.namespace).sort();

describe('a source with discoverySelectors', () => {
  const selectors = [{ matchLabels: { mesh: 'yes' } }];

  it('follows labels of namespaces and the mesh configuration while it runs', async () => {
    const { kube, store, source } = await rigOf(
      (fake) => {
        namespace(fake, 'in', { mesh: 'yes' });
        namespace(fake, 'out');
        for (const ns of ['in', 'out', 'istio-system']) service(fake, ns);
      },
      { selectors },
    );
    expect(where(store, 'Service')).toEqual(['in', 'istio-system']);
    expect(store.state().byKind.Namespace.size).toBe(2);
    let told = 0;
    source.onSelection(() => told++);
    namespace(kube, 'out', { mesh: 'yes' });
    await untilState(store, 'out is in', () => where(store, 'Service').includes('out'));
    expect([told, source.selected('out')]).toEqual([1, true]);
    namespace(kube, 'in', {});
    await untilState(store, 'in is out', () => !where(store, 'Service').includes('in'));
    // What happens where nobody looks is nothing.
    const before = store.state();
    service(kube, 'in');
    // A namespace that is new, with an object that may be seen first.
    service(kube, 'new');
    namespace(kube, 'new', { mesh: 'yes' });
    await untilState(store, 'new is in', () => where(store, 'Service').includes('new'));
    expect(where(store, 'Service')).toEqual(['istio-system', 'new', 'out']);
    expect(before.findings).toEqual([]);
    source.select([], 'istio-system');
    await untilState(store, 'all are in', () => where(store, 'Service').length === 4);
  });
});

describe('a source of one revision of several', () => {
  it('serves its own, moves with labels and tags, and reports what is nobody’s', async () => {
    const { kube, store } = await rigOf((fake) => {
      namespace(fake, 'one', { 'istio.io/rev': 'a' });
      namespace(fake, 'two', { 'istio.io/rev': 'b' });
      namespace(fake, 'three', { 'istio.io/rev': 'prod' });
      namespace(fake, 'plain');
      for (const ns of ['one', 'two', 'three', 'plain']) sidecar(fake, ns);
      for (const rev of ['a', 'b'])
        fake.put(`${MUTATING}/${rev}`, { metadata: { name: rev, labels: { 'istio.io/rev': rev } } });
    });
    expect(where(store, 'Sidecar')).toEqual(['one', 'plain', 'three', 'two']);
    expect(store.state().findings).toMatchObject([
      { code: 'MEL0041', ref: { kind: 'Sidecar', namespace: 'plain', name: 'x' } },
      { code: 'MEL0041', ref: { namespace: 'three' } },
    ]);
    const tag = (rev: string) => ({ metadata: { name: 't', labels: { 'istio.io/tag': 'prod', 'istio.io/rev': rev } } });
    kube.put(`${MUTATING}/t`, tag('a'));
    await untilState(store, 'three is ours', ({ findings }) => findings.length === 1);
    const validator = { name: 'istiod-default-validator', labels: { 'istio.io/rev': 'a' } };
    kube.put(`${VALIDATING}/istiod-default-validator`, { metadata: validator });
    await untilState(store, 'plain is ours', ({ findings }) => findings.length === 0);
    sidecar(kube, 'one', { 'istio.io/rev': 'typo' });
    await untilState(store, 'what names nobody goes', () => where(store, 'Sidecar').join() === 'plain,three,two');
    expect(store.state().findings).toMatchObject([
      { code: 'MEL0041', message: expect.stringMatching(/^the object names/) as string },
    ]);
    sidecar(kube, 'one');
    await untilState(store, 'one is ours', () => where(store, 'Sidecar').length === 4);
    sidecar(kube, 'two', { 'istio.io/rev': 'prod' });
    kube.put(`${MUTATING}/t`, tag('b'));
    await untilState(store, 'what names the other goes', () => where(store, 'Sidecar').join() === 'one,plain,three');
    kube.put(`${MUTATING}/t`, tag('a'));
    await untilState(store, 'and comes back', () => where(store, 'Sidecar').join() === 'one,plain,three,two');
    expect(store.state().findings).toEqual([]);
  });
});

describe('the mesh configuration of a cluster', () => {
  const MAPS = '/api/v1/namespaces/istio-system/configmaps';
  const start = async (kube: FakeKube, revision: string, shared?: string) => {
    let changes = 0;
    const mesh = kubeMesh({
      ...{ api: kube, log: quietLog, timers: realTimers, systemNamespace: 'istio-system', revision, shared },
      onChange: () => changes++,
    });
    running.push(mesh);
    await mesh.start();
    return { mesh, changes: () => changes };
  };
  const map = (name: string, mesh: string, meshNetworks?: string) => ({
    metadata: { name },
    data: meshNetworks === undefined ? { mesh } : { mesh, meshNetworks },
  });

  it('is that of the revision, over the shared one, and is followed', async () => {
    const kube = new FakeKube();
    kube.put(`${MAPS}/istio`, map('istio', 'trustDomain: wrong'));
    kube.put(`${MAPS}/istio-a`, map('istio-a', 'trustDomain: td\ndefaultConfig: {concurrency: 3}', 'networks: {}'));
    kube.put(
      `${MAPS}/base`,
      map('base', 'trustDomain: base\naccessLogFile: /dev/stdout\ndefaultConfig: {statusPort: 9}'),
    );
    const { mesh, changes } = await start(kube, 'a', 'base');
    expect(mesh.current().mesh).toMatchObject({
      trustDomain: 'td',
      accessLogFile: '/dev/stdout',
      defaultConfig: { concurrency: 3, statusPort: 9, proxyAdminPort: 15000 },
    });
    kube.put(`${MAPS}/istio-a`, map('istio-a', 'trustDomain: other'));
    await eventually(async () => (mesh.current().mesh.trustDomain === 'other' ? true : undefined), 'the change');
    expect(changes()).toBe(1);
    kube.put(`${MAPS}/istio-a`, map('istio-a', 'trustDomain: [broken'));
    await eventually(async () => mesh.current().findings[0], 'the finding');
    expect(mesh.current()).toMatchObject({
      mesh: { trustDomain: 'other' },
      findings: [{ code: 'MEL0022', origin: 'configmap istio-system/istio-a' }],
    });
  });

  it('is the default where there is none, until there is one', async () => {
    const kube = new FakeKube();
    const { mesh } = await start(kube, 'default');
    expect(mesh.current().mesh.trustDomain).toBe('cluster.local');
    kube.put(`${MAPS}/istio`, map('istio', 'trustDomain: td'));
    await eventually(async () => (mesh.current().mesh.trustDomain === 'td' ? true : undefined), 'the ConfigMap');
  });
});
