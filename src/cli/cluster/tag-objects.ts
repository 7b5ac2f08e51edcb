// The objects that make a tag, and what else must change with the tag `default`. Pure. Called by commands/tag.ts.

import type { V1Service } from '@kubernetes/client-node';
import { defaultValidator, installedRevisions, type Revisions } from './revisions.ts';
import {
  DEACTIVATED,
  DEFAULT,
  entryName,
  injectorEntries,
  isDeactivated,
  type WebhookConfiguration,
  REV,
  revisionOf,
  serviceName,
  TAG,
  tagOf,
  type Webhook,
} from './webhooks.ts';

export interface TagRequest {
  readonly tag: string;
  readonly revision: string;
  /** Name of the webhook configuration; made from the tag where it is undefined. */
  readonly webhookName?: string | undefined;
  readonly autoInject: boolean;
  readonly systemNamespace: string;
}

export interface TagObjects {
  readonly configuration: WebhookConfiguration;
  readonly service: V1Service;
}

/** Why a tag can't be set, or undefined. */
export function tagProblem(request: TagRequest, revisions: Revisions, overwrite: boolean): string | undefined {
  const { tag, revision } = request;
  const installed = installedRevisions(revisions);
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(tag)) return `tag ${tag}: expected letters, digits and dashes`;
  if (installed.includes(tag) && !(tag === DEFAULT && revision !== DEFAULT))
    return `${tag} is the name of a revision; a tag needs another name`;
  const own = revisions.injectors.filter((each) => tagOf(each) === undefined && revisionOf(each) === revision);
  if (own.length === 0)
    return `there is no revision ${revision}; installed: ${installed.length === 0 ? 'none' : installed.join(', ')}`;
  if (own.length > 1)
    return `revision ${revision} is there more than once: ${own.map((each) => each.metadata?.name ?? '').join(', ')}`;
  const present = revisions.injectors.find((each) => tagOf(each) === tag);
  if (present !== undefined && !overwrite)
    return `tag ${tag} is there already, for revision ${revisionOf(present)}; --overwrite moves it`;
  return undefined;
}

/** The tag's own objects. `revision` must be installed. */
export function tagObjects(request: TagRequest, revisions: Revisions): TagObjects {
  const { tag, revision, systemNamespace } = request;
  const source = revisions.injectors.find((each) => tagOf(each) === undefined && revisionOf(each) === revision);
  const model = source?.webhooks?.find((webhook) => webhook.clientConfig !== undefined);
  if (source === undefined || model === undefined) throw new RangeError(`revision ${revision} has no webhook`);
  const labels = { [TAG]: tag, [REV]: revision, 'app.kubernetes.io/part-of': 'meltemi' };
  const suffix = systemNamespace === 'istio-system' ? '' : `-${systemNamespace}`;
  return {
    configuration: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: {
        name: request.webhookName ?? `istio-revision-tag-${tag}${suffix}`,
        labels: { app: 'sidecar-injector', ...labels },
      },
      webhooks: injectorEntries(tag, request.autoInject).map((entry) => ({
        ...settingsOf(model),
        name: entryName(entry),
        namespaceSelector: { matchExpressions: [...entry.namespaces] },
        objectSelector: { matchExpressions: [...entry.pods] },
      })),
    },
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: `istiod-revision-tag-${tag}`,
        namespace: systemNamespace,
        labels: { app: 'istiod', istio: 'pilot', ...labels },
      },
      spec: serviceSpec(revision, revisions),
    },
  };
}

/** What the revision's own webhook says besides whom it selects; its CA too, so that the tag works at once. */
function settingsOf(model: Webhook): Webhook {
  const { namespaceSelector: _namespaces, objectSelector: _pods, ...settings } = model;
  return settings;
}

const PORTS = [
  { name: 'grpc-xds', port: 15010, protocol: 'TCP' },
  { name: 'https-dns', port: 15012, protocol: 'TCP' },
  { name: 'https-webhook', port: 443, targetPort: 15017, protocol: 'TCP' },
  { name: 'http-monitoring', port: 15014, protocol: 'TCP' },
];

/** Selects what the revision's own Service selects. */
function serviceSpec(revision: string, { services }: Revisions): NonNullable<V1Service['spec']> {
  const own = services.find(({ metadata }) => metadata?.name === serviceName(revision));
  const selector = own?.spec?.selector ?? { app: 'istiod', [REV]: revision };
  return { selector, ports: PORTS };
}

/** The injector of the control plane without revision, off while a tag `default` stands for another one, else on. */
export function switchUnnamed(revisions: Revisions, on: boolean): WebhookConfiguration | undefined {
  const unnamed = revisions.injectors.find((each) => tagOf(each) === undefined && revisionOf(each) === DEFAULT);
  if (unnamed?.webhooks === undefined || unnamed.webhooks.every((webhook) => isDeactivated(webhook) !== on))
    return undefined;
  return { ...unnamed, webhooks: unnamed.webhooks.map((webhook) => switched(webhook, on)) };
}

function switched(webhook: Webhook, on: boolean): Webhook {
  const { [DEACTIVATED]: _off, ...kept } = webhook.namespaceSelector?.matchLabels ?? {};
  const matchLabels = on ? kept : { ...kept, [DEACTIVATED]: 'never-match' };
  return { ...webhook, namespaceSelector: { ...webhook.namespaceSelector, matchLabels } };
}

/** The default validator, turned to another revision; undefined where there is none or it is right. */
export function validatorFor(
  revision: string,
  systemNamespace: string,
  revisions: Revisions,
): WebhookConfiguration | undefined {
  const validator = defaultValidator(revisions);
  if (validator?.webhooks === undefined || revisionOf(validator) === revision) return undefined;
  const injector = revisions.injectors.find((each) => tagOf(each) === undefined && revisionOf(each) === revision);
  const caBundle = injector?.webhooks?.[0]?.clientConfig.caBundle;
  const service = { name: serviceName(revision), namespace: systemNamespace };
  return {
    ...validator,
    metadata: { ...validator.metadata, labels: { ...validator.metadata?.labels, [REV]: revision } },
    webhooks: validator.webhooks.map((webhook) => ({
      ...webhook,
      clientConfig: {
        service: { ...webhook.clientConfig.service, ...service },
        ...(caBundle === undefined ? {} : { caBundle }),
      },
    })),
  };
}
