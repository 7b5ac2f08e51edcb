// Which objects of a cluster this control plane serves: namespaces chosen by discoverySelectors, and configuration that
// belongs to its revision. Pure: facts in, verdicts out. Called by kube-scope-watch.ts, which keeps the facts.
//
// Of configuration, an object that names another installed revision is left to that one. All else is served by every revision,
// as istiod does: while workloads and gateways move from one revision to the next, proxies of both need the same rules.
//
// Who owns an object of configuration, and answers for it: its own label `istio.io/rev`, else its namespace's; the value is a revision or a tag
// that points to one. Where neither has the label, the default revision owns it: the one that tag `default` points to,
// else the one whose label `istiod-default-validator` carries, else the unnamed one.

import { type KindInfo, OWN_GROUPS } from '../config/kinds.ts';
import { type Labels, type LabelSelector, selectsLabels } from '../lib/label-selector.ts';
import type { Verdict } from './kube-reflector.ts';

export interface ScopeFacts {
  /** `default` for the unnamed one. */
  readonly revision: string;
  /** Always served: mesh-wide configuration lives there. */
  readonly systemNamespaces: ReadonlySet<string>;
  readonly selectors: readonly LabelSelector[];
  /** Labels of the namespaces that exist. */
  readonly namespaces: ReadonlyMap<string, Labels>;
  /** By name, what each tag points to. */
  readonly tags: ReadonlyMap<string, string>;
  /** Label of `istiod-default-validator`. */
  readonly defaultValidator: string | undefined;
  /** Revisions of which something is installed in the cluster. */
  readonly revisions: ReadonlySet<string>;
}

export const REVISION_LABEL = 'istio.io/rev';
export const TAG_LABEL = 'istio.io/tag';
export const DEFAULT_REVISION = 'default';

const SERVED: Verdict = { kind: 'served' };
const LEFT_OUT: Verdict = { kind: 'left-out' };

export function judge(facts: ScopeFacts, info: KindInfo, namespace: string, labels: Labels): Verdict {
  if (!info.namespaced) return SERVED;
  if (!namespaceSelected(facts, namespace)) return LEFT_OUT;
  if (!OWN_GROUPS.includes(info.group)) return SERVED;
  const verdict = ownership(facts, namespace, labels);
  return verdict.kind === 'left-out' && (labels[REVISION_LABEL] ?? '') === '' ? SERVED : verdict;
}

/** Namespaces that are not known yet are left out while there are selectors: their labels may say no. */
export function namespaceSelected({ selectors, systemNamespaces, namespaces }: ScopeFacts, namespace: string): boolean {
  if (selectors.length === 0 || systemNamespaces.has(namespace)) return true;
  const labels = namespaces.get(namespace);
  return labels !== undefined && selectors.some((selector) => selectsLabels(selector, labels));
}

/** The revision that owns whatever names none. */
export function defaultOwner({ tags, defaultValidator }: ScopeFacts): string {
  return tags.get(DEFAULT_REVISION) ?? defaultValidator ?? DEFAULT_REVISION;
}

function ownership(facts: ScopeFacts, namespace: string, labels: Labels): Verdict {
  const written = labels[REVISION_LABEL] ?? facts.namespaces.get(namespace)?.[REVISION_LABEL];
  const named = written === undefined || written === '' ? undefined : written;
  if (named === undefined || named === DEFAULT_REVISION) {
    const owner = defaultOwner(facts);
    if (owner === facts.revision) return SERVED;
    return known(facts, owner) ? LEFT_OUT : nobody(unnamed(facts, owner));
  }
  const owner = facts.tags.get(named) ?? named;
  if (owner === facts.revision) return SERVED;
  if (known(facts, owner)) return LEFT_OUT;
  const where = labels[REVISION_LABEL] === undefined ? `namespace ${namespace}` : 'the object';
  return nobody(`${where} names ${REVISION_LABEL}=${named}, and no revision or tag of that name is installed`);
}

function known({ revisions, revision }: ScopeFacts, owner: string): boolean {
  return owner === revision || revisions.has(owner);
}

function unnamed(facts: ScopeFacts, owner: string): string {
  const record = facts.tags.has(DEFAULT_REVISION)
    ? 'tag default points to'
    : facts.defaultValidator === undefined
      ? 'it falls to the unnamed revision, as no default is recorded:'
      : 'istiod-default-validator is of';
  return `neither the object nor its namespace names a revision, and ${record} ${owner}, which is not installed`;
}

function nobody(message: string): Verdict {
  return { kind: 'unowned', message };
}
