import { describe, expect, it } from 'vitest';
import { type DecisionSettings, decide, revisionFor } from '../../src/inject/decision.ts';
import { nativeSidecars } from '../../src/inject/native.ts';
import { ownerOf } from '../../src/inject/owner.ts';
import { envOfPath } from '../../src/inject/request-path.ts';
import { parsedPod } from './support.ts';

const INJECT = 'sidecar.istio.io/inject';
const base: DecisionSettings = { policy: 'enabled', neverInjectSelector: [], alwaysInjectSelector: [] };

interface Case {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly hostNetwork?: boolean;
  readonly namespace?: string;
  readonly settings?: Partial<DecisionSettings>;
}

const never = { neverInjectSelector: [{ matchLabels: { app: 'x' } }] };
const always = { alwaysInjectSelector: [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['x', 'y'] }] }] };
const off = { policy: 'disabled' };

describe('whether a pod gets a proxy', () => {
  it.each<[string, Case, 'inject' | 'skip', string]>([
    ['nothing said, policy enabled', {}, 'inject', 'policy'],
    ['nothing said, policy disabled', { settings: off }, 'skip', 'policy'],
    ['an unknown policy', { settings: { policy: 'perhaps' } }, 'skip', 'policy'],
    ['on the network of the host', { hostNetwork: true, labels: { [INJECT]: 'true' } }, 'skip', 'host-network'],
    ['in kube-system', { namespace: 'kube-system', labels: { [INJECT]: 'true' } }, 'skip', 'system-namespace'],
    ['in kube-public', { namespace: 'kube-public' }, 'skip', 'system-namespace'],
    ['in kube-node-lease', { namespace: 'kube-node-lease' }, 'skip', 'system-namespace'],
    ['in local-path-storage', { namespace: 'local-path-storage' }, 'skip', 'system-namespace'],
    ['label true, policy disabled', { labels: { [INJECT]: 'true' }, settings: off }, 'inject', 'label'],
    ['label false', { labels: { [INJECT]: 'false' } }, 'skip', 'label'],
    ['annotation true, policy disabled', { annotations: { [INJECT]: 'true' }, settings: off }, 'inject', 'annotation'],
    ['annotation false', { annotations: { [INJECT]: 'false' } }, 'skip', 'annotation'],
    [
      'label before annotation',
      { labels: { [INJECT]: 'true' }, annotations: { [INJECT]: 'false' } },
      'inject',
      'label',
    ],
    ['another word is no word', { labels: { [INJECT]: 'yes' }, settings: off }, 'skip', 'policy'],
    [
      'another word hides the annotation',
      { labels: { [INJECT]: 'on' }, annotations: { [INJECT]: 'false' } },
      'inject',
      'policy',
    ],
    ['never', { labels: { app: 'x' }, settings: never }, 'skip', 'never-inject'],
    ['never, of another label', { labels: { app: 'y' }, settings: never }, 'inject', 'policy'],
    ['own word before never', { labels: { app: 'x', [INJECT]: 'true' }, settings: never }, 'inject', 'label'],
    ['always, policy disabled', { labels: { app: 'y' }, settings: { ...off, ...always } }, 'inject', 'always-inject'],
    ['never before always', { labels: { app: 'x' }, settings: { ...never, ...always } }, 'skip', 'never-inject'],
    ['an empty selector selects nothing', { settings: { neverInjectSelector: [{}] } }, 'inject', 'policy'],
  ])('%s', (_name, { labels = {}, annotations = {}, hostNetwork, namespace = 'shop', settings = {} }, kind, by) => {
    const pod = parsedPod({ metadata: { labels, annotations }, spec: { containers: [], hostNetwork } });
    expect(decide(pod, namespace, { ...base, ...settings })).toMatchObject({ kind, by });
  });
});

describe('which revision a pod is sent to', () => {
  const on = { 'istio-injection': 'enabled' };
  const disabled = { 'istio-injection': 'disabled' };
  const rev = { 'istio.io/rev': 'R' };
  const podRev = { 'istio.io/rev': 'P' };
  const yes = { [INJECT]: 'true' };
  const no = { [INJECT]: 'false' };

  it.each<[object, object, string | undefined]>([
    [on, {}, 'default'],
    [{ ...on, ...rev }, podRev, 'default'],
    [on, no, undefined],
    [disabled, yes, undefined],
    [{ ...disabled, ...rev }, { ...yes, ...podRev }, undefined],
    [rev, {}, 'R'],
    [rev, podRev, 'R'],
    [rev, no, undefined],
    [{}, podRev, 'P'],
    [{}, { ...podRev, ...yes }, 'P'],
    [{}, { ...podRev, ...no }, undefined],
    [{}, yes, 'default'],
    [{}, no, undefined],
    [{}, {}, undefined],
  ])('namespace %j, pod %j: %s', (namespace, pod, name) => {
    const expected = name === undefined ? { kind: 'none' } : { kind: 'revision', name };
    expect(revisionFor(namespace as Record<string, string>, pod as Record<string, string>)).toEqual(expected);
  });

  it('is the default one for all that say nothing, if namespaces are injected by default', () => {
    expect(revisionFor({}, {}, true)).toEqual({ kind: 'revision', name: 'default' });
    expect(revisionFor({}, no, true)).toEqual({ kind: 'none' });
    expect(revisionFor(disabled, {}, true)).toEqual({ kind: 'none' });
  });
});

describe('native sidecars', () => {
  const node = (name: string, kubeletVersion?: string) => ({ name, kubeletVersion });
  it.each([
    ['auto', [node('a', 'v1.34.1'), node('b', 'v1.33.0-gke.1')], undefined, true],
    ['auto', [node('a', 'v1.34.1'), node('b', 'v1.32.9')], undefined, false],
    ['auto', [node('a', 'v1.34.1'), node('b', 'v1.32.9')], 'a', true],
    ['auto', [node('a', 'v1.34.1'), node('b', 'v1.32.9')], 'b', false],
    ['auto', [node('a')], undefined, false],
    ['auto', [], undefined, false],
    ['true', [], undefined, true],
    ['false', [node('a', 'v1.34.1')], undefined, false],
  ] as const)('%s with %j on %s', (setting, nodes, name, expected) => {
    expect(nativeSidecars(setting, nodes, name)).toBe(expected);
  });
});

describe('the workload behind a pod', () => {
  const owned = (kind: string, name: string, labels: object = {}) =>
    ownerOf(
      parsedPod({
        metadata: {
          generateName: 'x-',
          labels,
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Node', name: 'no' },
            { apiVersion: 'apps/v1', kind, name, controller: true },
          ],
        },
        spec: { containers: [] },
      }),
      'shop',
    );

  it.each([
    ['ReplicaSet', 'web-5d4f', { 'pod-template-hash': '5d4f' }, 'Deployment', 'web'],
    ['ReplicaSet', 'web-5d4f', {}, 'ReplicaSet', 'web-5d4f'],
    ['ReplicaSet', 'web-77', { 'rollouts-pod-template-hash': '77' }, 'Rollout', 'web'],
    ['ReplicationController', 'web-1', { deploymentconfig: 'web' }, 'DeploymentConfig', 'web'],
    ['Job', 'nightly-27963840', {}, 'CronJob', 'nightly'],
    ['Job', 'once', {}, 'Job', 'once'],
    ['StatefulSet', 'db', {}, 'StatefulSet', 'db'],
  ])('%s %s', (kind, name, labels, expectedKind, expectedName) => {
    expect(owned(kind, name, labels)).toMatchObject({ kind: expectedKind, name: expectedName, namespace: 'shop' });
  });

  it('is the pod itself without a controller', () => {
    const pod = parsedPod({ metadata: { name: 'bare' }, spec: { containers: [] } });
    expect(ownerOf(pod, 'shop')).toEqual({ kind: 'Pod', apiVersion: 'v1', name: 'bare', namespace: 'shop' });
  });
});

describe('variables in the path of a request', () => {
  it.each([
    ['/inject', {}],
    ['/inject/', {}],
    ['/inject/cluster/c1/net/n1', { ISTIO_META_CLUSTER_ID: 'c1', ISTIO_META_NETWORK: 'n1' }],
    ['/inject/cluster/c1/', { ISTIO_META_CLUSTER_ID: 'c1' }],
    ['/inject/my_key/a--slash--b/odd', { MY_KEY: 'a/b' }],
    [
      '/inject/:ENV:cluster=c1:ENV:net=n/1:ENV:other=:ENV:=x',
      { ISTIO_META_CLUSTER_ID: 'c1', ISTIO_META_NETWORK: 'n/1', OTHER: '' },
    ],
  ])('%s', (path, expected) => {
    expect(envOfPath(path)).toEqual(expected);
  });
});
