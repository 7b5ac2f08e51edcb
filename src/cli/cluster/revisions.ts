// Revisions and tags of a cluster, and which namespaces use them. Pure but for `readRevisions`, which lists.
// Called by `tag` and `check`.

import type { V1Namespace, V1Service } from '@kubernetes/client-node';
import type { Cluster } from './cluster.ts';
import {
  DEFAULT,
  DEFAULT_VALIDATOR,
  INJECTION,
  isInjector,
  MUTATING_PATH,
  type WebhookConfiguration,
  REV,
  revisionOf,
  TAG,
  tagOf,
  VALIDATING_PATH,
} from './webhooks.ts';

export interface Tag {
  readonly tag: string;
  readonly revision: string;
  readonly namespaces: readonly string[];
}

export interface Revisions {
  readonly injectors: readonly WebhookConfiguration[];
  readonly validators: readonly WebhookConfiguration[];
  readonly services: readonly V1Service[];
  readonly namespaces: readonly V1Namespace[];
}

export async function readRevisions(cluster: Cluster): Promise<Revisions> {
  const [mutating, validating, services, namespaces] = await Promise.all([
    cluster.list<WebhookConfiguration>(MUTATING_PATH),
    cluster.list<WebhookConfiguration>(VALIDATING_PATH),
    cluster.list<V1Service>('/api/v1/services', { labelSelector: REV }),
    cluster.list<V1Namespace>('/api/v1/namespaces'),
  ]);
  return { injectors: mutating.filter(isInjector), validators: validating, services, namespaces };
}

/** Names of the revisions that are installed: those with an injector of their own. */
export function installedRevisions({ injectors }: Revisions): readonly string[] {
  return [...new Set(injectors.filter((each) => tagOf(each) === undefined).map(revisionOf))].sort();
}

/** A tag is there when either its webhook configuration or its Service is. */
export function tagsOf(revisions: Revisions): readonly Tag[] {
  const found = new Map<string, string>();
  for (const { metadata } of [...revisions.services, ...revisions.injectors]) {
    const tag = metadata?.labels?.[TAG];
    if (tag !== undefined) found.set(tag, metadata?.labels?.[REV] ?? '');
  }
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tag, revision]) => ({ tag, revision, namespaces: namespacesUsing(tag, revisions.namespaces) }));
}

/** Namespaces that choose a revision or tag by label; `istio-injection` beats `istio.io/rev`. */
export function namespacesUsing(name: string, namespaces: readonly V1Namespace[]): readonly string[] {
  return namespaces.flatMap((namespace) =>
    chosenBy(namespace) === name && namespace.metadata?.name !== undefined ? [namespace.metadata.name] : [],
  );
}

/** What the namespace's pods are injected by: a revision, a tag, or nothing. */
export function chosenBy({ metadata }: V1Namespace): string | undefined {
  const injection = metadata?.labels?.[INJECTION];
  if (injection === 'enabled') return DEFAULT;
  return injection === undefined ? metadata?.labels?.[REV] : undefined;
}

/** The revision that answers for objects which name none: by the tag `default`, else by the default validator. */
export function defaultRevision(revisions: Revisions): string | undefined {
  const tag = tagsOf(revisions).find((each) => each.tag === DEFAULT);
  if (tag !== undefined) return tag.revision;
  const validator = defaultValidator(revisions);
  return validator === undefined ? undefined : revisionOf(validator);
}

export function defaultValidator({ validators }: Revisions): WebhookConfiguration | undefined {
  return validators.find(({ metadata }) => metadata?.name === DEFAULT_VALIDATOR);
}

/** The revision behind a name that a namespace or object uses. */
export function revisionBehind(name: string, revisions: Revisions): string | undefined {
  const tag = tagsOf(revisions).find((each) => each.tag === name);
  if (tag !== undefined) return tag.revision;
  return installedRevisions(revisions).includes(name) ? name : undefined;
}
