// Which objects of a cluster this control plane serves: namespaces chosen by discoverySelectors, and configuration that
// belongs to its revision. Pure: facts in, verdicts out. Called by kube-scope-watch.ts, which keeps the facts.
//
// Of configuration, an object that itself names a revision is that one's. All else is served by every revision, as istiod does:
// while workloads and gateways move from one revision to the next, proxies of both need the same rules.
//
// One revision owns an object, and writes its status: the one of its own label `istio.io/rev`, else of its namespace's; the
// value is a revision or a tag that points to one. Where neither has the label, it is the default revision: the one that tag
// `default` points to, else the one whose label `istiod-default-validator` carries, else the unnamed one.

import { type KindInfo, OWN_GROUPS, SHARED_GROUPS } from '../config/kinds.ts';
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
  if (SHARED_GROUPS.includes(info.group)) return ofOthers(facts, labels);
  if (!OWN_GROUPS.includes(info.group)) return SERVED;
  const owner = ownerOf(facts, namespace, labels);
  const unlabelled = (labels[REVISION_LABEL] ?? '') === '';
  if (owner.kind === 'nobody') return { kind: 'unowned', message: owner.message, served: unlabelled };
  return owner.kind === 'own' || unlabelled ? SERVED : LEFT_OUT;
}

/** What no revision of ours owns may belong to another product: that is no finding. */
function ofOthers(facts: ScopeFacts, labels: Labels): Verdict {
  const named = labels[REVISION_LABEL] ?? '';
  if (named === '') return SERVED;
  const owner = named === DEFAULT_REVISION ? defaultOwner(facts) : (facts.tags.get(named) ?? named);
  return owner === facts.revision ? SERVED : LEFT_OUT;
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

export type Owner =
  | { readonly kind: 'own' }
  | { readonly kind: 'other' }
  /** Nobody who is installed. */
  | { readonly kind: 'nobody'; readonly message: string };

const OWN: Owner = { kind: 'own' };
const OTHER: Owner = { kind: 'other' };

export function ownerOf(facts: ScopeFacts, namespace: string, labels: Labels): Owner {
  const written = labels[REVISION_LABEL] ?? facts.namespaces.get(namespace)?.[REVISION_LABEL];
  const named = written === undefined || written === '' ? undefined : written;
  if (named === undefined || named === DEFAULT_REVISION) {
    const owner = defaultOwner(facts);
    if (owner === facts.revision) return OWN;
    return known(facts, owner) ? OTHER : { kind: 'nobody', message: unnamed(facts, owner) };
  }
  const owner = facts.tags.get(named) ?? named;
  if (owner === facts.revision) return OWN;
  if (known(facts, owner)) return OTHER;
  const where = labels[REVISION_LABEL] === undefined ? `namespace ${namespace}` : 'the object';
  const message = `${where} names ${REVISION_LABEL}=${named}, and no revision or tag of that name is installed`;
  return { kind: 'nobody', message };
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
