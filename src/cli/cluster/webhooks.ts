// Webhook configurations as this project's chart writes them: which pods each entry is for. Pure.
// Called by `tag`, which makes configurations for tags, and by `check`. Kept equal to the chart by a test.

import type { ObjectMeta } from './cluster.ts';

export interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

export interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly Requirement[];
}

export interface Webhook {
  readonly name: string;
  readonly clientConfig: {
    readonly url?: string;
    /** PEM in base64. */
    readonly caBundle?: string;
    readonly service?: { readonly name: string; readonly namespace: string; readonly port?: number };
  };
  readonly namespaceSelector?: Selector;
  readonly objectSelector?: Selector;
  readonly failurePolicy?: string;
}

/** A MutatingWebhookConfiguration or ValidatingWebhookConfiguration, as far as we look. */
export interface WebhookConfiguration {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: Partial<ObjectMeta>;
  readonly webhooks?: readonly Webhook[];
}

export const REV = 'istio.io/rev';
export const TAG = 'istio.io/tag';
export const INJECTION = 'istio-injection';
export const INJECT = 'sidecar.istio.io/inject';
export const DEFAULT = 'default';
export const DEFAULT_VALIDATOR = 'istiod-default-validator';
/** In a selector it selects nothing: how injection by a configuration is turned off without losing what it said. */
export const DEACTIVATED = 'istio.io/deactivated';

export const MUTATING_PATH = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
export const VALIDATING_PATH = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage'];

export interface InjectorEntry {
  readonly name: string;
  readonly namespaces: readonly Requirement[];
  readonly pods: readonly Requirement[];
}

/** The entries of the configuration that injects what chooses `name`, a revision or a tag. */
export function injectorEntries(name: string, autoInject: boolean): readonly InjectorEntry[] {
  const noInjection = absent(INJECTION);
  const noRev = absent(REV);
  const mine = among(REV, name);
  const notOff: Requirement = { key: INJECT, operator: 'NotIn', values: ['false'] };
  const entries: InjectorEntry[] = [
    { name: 'rev.namespace', namespaces: [mine, noInjection], pods: [notOff] },
    { name: 'rev.object', namespaces: [noRev, noInjection], pods: [notOff, mine] },
  ];
  if (name !== DEFAULT) return entries;
  entries.push(
    { name: 'namespace', namespaces: [among(INJECTION, 'enabled')], pods: [notOff] },
    { name: 'object', namespaces: [noInjection, noRev], pods: [among(INJECT, 'true'), noRev] },
  );
  const elsewhere = { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: SYSTEM_NAMESPACES };
  if (autoInject)
    entries.push({ name: 'auto', namespaces: [noInjection, noRev, elsewhere], pods: [absent(INJECT), noRev] });
  return entries;
}

function absent(key: string): Requirement {
  return { key, operator: 'DoesNotExist' };
}

function among(key: string, value: string): Requirement {
  return { key, operator: 'In', values: [value] };
}

const ENTRY_SUFFIX = '.sidecar-injector.istio.io';

export function entryName(entry: InjectorEntry): string {
  return entry.name + ENTRY_SUFFIX;
}

/** The entry's name in the table above, or undefined where it is nobody's of ours. */
export function entryKind(webhook: Webhook): string | undefined {
  return webhook.name.endsWith(ENTRY_SUFFIX) ? webhook.name.slice(0, -ENTRY_SUFFIX.length) : undefined;
}

export function isDeactivated(webhook: Webhook): boolean {
  const labels = [webhook.namespaceSelector?.matchLabels, webhook.objectSelector?.matchLabels];
  return labels.some((set) => set?.[DEACTIVATED] !== undefined);
}

/** Whether the configuration injects, by Istio's marks. */
export function isInjector(configuration: WebhookConfiguration): boolean {
  return configuration.metadata?.labels?.[REV] !== undefined && (configuration.webhooks ?? []).some(hasKind);
}

function hasKind(webhook: Webhook): boolean {
  return entryKind(webhook) !== undefined;
}

export function revisionOf({ metadata }: WebhookConfiguration): string {
  return metadata?.labels?.[REV] ?? '';
}

export function tagOf({ metadata }: WebhookConfiguration): string | undefined {
  return metadata?.labels?.[TAG];
}

/** Name of the control plane's Service. */
export function serviceName(revision: string): string {
  return revision === DEFAULT || revision === '' ? 'istiod' : `istiod-${revision}`;
}
