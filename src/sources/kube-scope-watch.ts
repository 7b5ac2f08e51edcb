// Keeps the facts by which objects are judged: namespaces and their labels, tags, the default revision, the selectors.
// In: an API server; selectors from the mesh configuration. Out: an ObjectScope, and a call when it judges differently.
// Called by kubernetes.ts, which lists nothing before the facts are complete.

import type { KindInfo } from '../config/kinds.ts';
import { deepEqual } from '../lib/equal.ts';
import type { Labels, LabelSelector } from '../lib/label-selector.ts';
import type { Log, Timers } from '../lib/ports.ts';
import type { KubeApi } from './kube-api.ts';
import { KubeCache, labelsOf } from './kube-cache.ts';
import { textOf } from './kube-discovery.ts';
import type { RawObject } from './kube-list-watch.ts';
import type { ObjectScope, ScopeChange, Verdict } from './kube-reflector.ts';
import {
  DEFAULT_REVISION,
  judge,
  namespaceSelected,
  type Owner,
  ownerOf,
  REVISION_LABEL,
  type ScopeFacts,
  TAG_LABEL,
} from './kube-scope.ts';

export interface ScopeWatchOptions {
  readonly api: KubeApi;
  readonly log: Log;
  readonly timers: Timers;
  readonly random?: (() => number) | undefined;
  /** Empty for the unnamed one. */
  readonly revision: string;
  readonly systemNamespace: string;
  readonly rootNamespace: string;
  readonly selectors: readonly LabelSelector[];
  readonly onChange: (change: ScopeChange) => void;
}

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const DEFAULT_VALIDATOR = 'istiod-default-validator';
const TAG_SERVICE = 'istiod-revision-tag-';
/** Namespaces come in bursts; lists are dear. */
const GATHER_MS = 50;

export class ScopeWatch implements ObjectScope {
  readonly #options: ScopeWatchOptions;
  readonly #namespaces: KubeCache;
  readonly #mutating: KubeCache;
  readonly #validating: KubeCache;
  readonly #tagServices: KubeCache;
  #facts: ScopeFacts;
  #due: (() => void) | undefined;

  constructor(options: ScopeWatchOptions) {
    this.#options = options;
    const { revision, systemNamespace, rootNamespace, selectors } = options;
    this.#facts = {
      revision: revision === '' ? DEFAULT_REVISION : revision,
      systemNamespaces: new Set([systemNamespace, rootNamespace]),
      selectors,
      namespaces: new Map(),
      tags: new Map(),
      defaultValidator: undefined,
      revisions: new Set(),
    };
    const labelled = { labelSelector: REVISION_LABEL };
    this.#namespaces = this.#cache('v1', '/api/v1/namespaces', {});
    this.#mutating = this.#cache(
      'admissionregistration.k8s.io/v1',
      `${ADMISSION}/mutatingwebhookconfigurations`,
      labelled,
    );
    this.#validating = this.#cache(
      'admissionregistration.k8s.io/v1',
      `${ADMISSION}/validatingwebhookconfigurations`,
      labelled,
    );
    this.#tagServices = this.#cache('v1', `/api/v1/namespaces/${systemNamespace}/services`, {
      labelSelector: TAG_LABEL,
    });
  }

  get facts(): ScopeFacts {
    return this.#facts;
  }

  judge(info: KindInfo, namespace: string, labels: Labels): Verdict {
    return judge(this.#facts, info, namespace, labels);
  }

  ownerOf(namespace: string, labels: Labels): Owner {
    return ownerOf(this.#facts, namespace, labels);
  }

  /** True for namespaces in which this control plane has any business. */
  selected(namespace: string): boolean {
    return namespaceSelected(this.#facts, namespace);
  }

  run(signal: AbortSignal): Promise<unknown> {
    signal.addEventListener('abort', () => this.#due?.(), { once: true });
    return Promise.all(this.#caches().map((cache) => cache.run(signal)));
  }

  async synced(): Promise<void> {
    await Promise.all(this.#caches().map((cache) => cache.synced()));
    this.#due?.();
    this.#due = undefined;
    this.#facts = this.#read();
  }

  /** The mesh configuration has changed. */
  select(selectors: readonly LabelSelector[], rootNamespace: string): void {
    const before = this.#facts;
    if (deepEqual(selectors, before.selectors) && before.systemNamespaces.has(rootNamespace)) return;
    const systemNamespaces = new Set([this.#options.systemNamespace, rootNamespace]);
    this.#facts = { ...before, selectors, systemNamespaces };
    this.#tell(before);
  }

  #caches(): readonly KubeCache[] {
    return [this.#namespaces, this.#mutating, this.#validating, this.#tagServices];
  }

  #cache(apiVersion: string, path: string, more: { readonly labelSelector?: string }): KubeCache {
    const { api, log, timers, random } = this.#options;
    return new KubeCache({
      api,
      log,
      timers,
      random,
      apiVersion,
      path,
      ...more,
      keep: bare,
      onChange: () => this.#soon(),
    });
  }

  #soon(): void {
    this.#due ??= this.#options.timers.setTimeout(() => {
      this.#due = undefined;
      this.#settle();
    }, GATHER_MS);
  }

  #settle(): void {
    const before = this.#facts;
    this.#facts = this.#read();
    this.#tell(before);
  }

  #tell(before: ScopeFacts): void {
    const after = this.#facts;
    const sameOwners =
      deepEqual([...before.tags], [...after.tags]) &&
      before.defaultValidator === after.defaultValidator &&
      deepEqual([...before.revisions], [...after.revisions]);
    const names = [...new Set([...before.namespaces.keys(), ...after.namespaces.keys()])];
    const selection = new Set(
      names.filter((name) => namespaceSelected(before, name) !== namespaceSelected(after, name)),
    );
    const labelOf = ({ namespaces }: ScopeFacts, name: string) => namespaces.get(name)?.[REVISION_LABEL];
    const ownership = sameOwners
      ? new Set(names.filter((name) => labelOf(before, name) !== labelOf(after, name)))
      : 'all';
    if (selection.size > 0 || ownership === 'all' || ownership.size > 0)
      this.#options.onChange({ selection, ownership });
  }

  #read(): ScopeFacts {
    const namespaces = new Map([...this.#namespaces.objects.values()].map((each) => [nameOf(each), labelsOf(each)]));
    const tags = new Map<string, string>();
    const revisions = new Set<string>();
    for (const object of this.#mutating.objects.values()) {
      const labels = labelsOf(object);
      const revision = labels[REVISION_LABEL] ?? '';
      const tag = labels[TAG_LABEL];
      if (tag === undefined) revisions.add(revision);
      else tags.set(tag, revision);
    }
    for (const object of this.#tagServices.objects.values()) {
      const labels = labelsOf(object);
      const [tag, revision] = [labels[TAG_LABEL], labels[REVISION_LABEL]];
      if (tag !== undefined && revision !== undefined && nameOf(object) === `${TAG_SERVICE}${tag}`)
        tags.set(tag, revision);
    }
    let defaultValidator: string | undefined;
    for (const object of this.#validating.objects.values()) {
      const revision = labelsOf(object)[REVISION_LABEL];
      if (nameOf(object) === DEFAULT_VALIDATOR) defaultValidator = revision;
      else if (revision !== undefined) revisions.add(revision);
    }
    const sorted = [...tags].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      ...this.#facts,
      namespaces,
      tags: new Map(sorted),
      defaultValidator,
      revisions: new Set([...revisions].sort()),
    };
  }
}

/** Of these objects only the name and labels are of interest here. */
function bare(raw: RawObject): RawObject {
  const metadata = raw['metadata'];
  return {
    metadata: {
      namespace: textOf(metadata, 'namespace'),
      name: textOf(metadata, 'name'),
      resourceVersion: textOf(metadata, 'resourceVersion'),
      labels: labelsOf(raw),
    },
  };
}

function nameOf(raw: RawObject): string {
  return textOf(raw['metadata'], 'name');
}
