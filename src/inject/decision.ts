// Whether a pod gets a proxy: an ordered chain of checks, each with an answer and a reason, or none.
// In: pod, its namespace, injection settings. Out: a Decision. Called by the webhook and by `kube-inject`.

import { isEmptySelector, type LabelSelector, selectsLabels } from '../lib/label-selector.ts';
import { annotationsOf, labelsOf, type Pod } from './pod.ts';

export const INJECT = 'sidecar.istio.io/inject';
const REVISION = 'istio.io/rev';
const NAMESPACE_INJECTION = 'istio-injection';

export interface Decision {
  readonly kind: 'inject' | 'skip';
  /** A word that names the check, for metrics and logs. */
  readonly by: string;
  readonly reason: string;
}

export interface DecisionSettings {
  readonly policy: string;
  readonly neverInjectSelector: readonly LabelSelector[];
  readonly alwaysInjectSelector: readonly LabelSelector[];
}

/** Namespaces of the cluster itself. */
export const IGNORED_NAMESPACES: readonly string[] = [
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
];

interface Question {
  readonly pod: Pod;
  readonly namespace: string;
  readonly settings: DecisionSettings;
}

type Check = (question: Question) => Decision | undefined;

const inject = (by: string, reason: string): Decision => ({ kind: 'inject', by, reason });
const skip = (by: string, reason: string): Decision => ({ kind: 'skip', by, reason });

/** The first that has an answer decides. */
const CHECKS: readonly Check[] = [
  // Capture rules of a pod on the host's network would be the host's.
  ({ pod }) =>
    pod.spec.hostNetwork === true ? skip('host-network', 'the pod is on the network of its host') : undefined,
  ({ namespace }) =>
    IGNORED_NAMESPACES.includes(namespace)
      ? skip('system-namespace', `namespace ${namespace} belongs to the cluster`)
      : undefined,
  ownWord,
  ({ pod, settings }) =>
    settings.neverInjectSelector.some((selector) => selects(selector, pod))
      ? skip('never-inject', 'a neverInjectSelector selects the labels of the pod')
      : undefined,
  ({ pod, settings }) =>
    settings.alwaysInjectSelector.some((selector) => selects(selector, pod))
      ? inject('always-inject', 'an alwaysInjectSelector selects the labels of the pod')
      : undefined,
  ({ settings }) =>
    settings.policy === 'enabled'
      ? inject('policy', 'the policy is enabled')
      : skip('policy', `the policy is ${settings.policy}`),
];

/** An empty selector selects nothing here: it would turn injection on or off for all. */
function selects(selector: LabelSelector, pod: Pod): boolean {
  return !isEmptySelector(selector) && selectsLabels(selector, labelsOf(pod));
}

/** The label wins over the annotation; what is neither true nor false says nothing. */
function ownWord({ pod }: Question): Decision | undefined {
  const label = labelsOf(pod)[INJECT];
  const from = label === undefined ? 'annotation' : 'label';
  const word = label ?? annotationsOf(pod)[INJECT];
  if (word === 'true') return inject(from, `${from} ${INJECT} is true`);
  return word === 'false' ? skip(from, `${from} ${INJECT} is false`) : undefined;
}

/** Asks the checks in turn. */
export function decide(pod: Pod, namespace: string, settings: DecisionSettings): Decision {
  const question = { pod, namespace, settings };
  for (const check of CHECKS) {
    const decision = check(question);
    if (decision !== undefined) return decision;
  }
  return skip('policy', 'no check decided');
}

type Labels = Readonly<Record<string, string>>;

/** Which revision a pod is sent to, if any: `default`, or what a label names (a revision, or a tag for one). */
export type Revision = { readonly kind: 'revision'; readonly name: string } | { readonly kind: 'none' };

const NONE: Revision = { kind: 'none' };

/**
 * What the entries of the webhook configurations say together: labels of the namespace come first, and of those
 * `istio-injection` before `istio.io/rev`. `auto` is the value enableNamespacesByDefault of the default revision.
 */
export function revisionFor(namespaceLabels: Labels, podLabels: Labels, auto = false): Revision {
  const { [NAMESPACE_INJECTION]: injection, [REVISION]: namespaceRevision } = namespaceLabels;
  const { [INJECT]: word, [REVISION]: podRevision } = podLabels;
  if (word === 'false') return NONE;
  if (injection !== undefined) return injection === 'enabled' ? named('default') : NONE;
  if (namespaceRevision !== undefined) return named(namespaceRevision);
  if (podRevision !== undefined) return named(podRevision);
  if (word === 'true') return named('default');
  return auto && word === undefined ? named('default') : NONE;
}

function named(name: string): Revision {
  return { kind: 'revision', name };
}
