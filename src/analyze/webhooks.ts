// Webhook configurations of control planes, as written: whether they lead to one, and whether one Pod is injected twice.

import { FINDING_CODES, type FindingCode } from '../config/codes.ts';
import type { Finding } from '../config/object.ts';
import { isIp } from '../lib/ip.ts';
import { type LabelSelector, type Labels, selectsLabels } from '../lib/label-selector.ts';
import { type Analysis, fieldOf, listOf, textsOf, type WrittenDocument } from './analysis.ts';
import { REVISION } from './injector.ts';

const MUTATING = 'MutatingWebhookConfiguration';
const VALIDATING = 'ValidatingWebhookConfiguration';

interface Webhook {
  readonly document: WrittenDocument;
  /** `webhooks[1]` */
  readonly path: string;
  /** `CONFIGURATION/WEBHOOK` */
  readonly title: string;
  readonly namespaces: LabelSelector;
  readonly objects: LabelSelector;
  readonly client: Readonly<Record<string, unknown>>;
}

/** Injectors whose Service is missing, and those that would inject the same Pod. */
export function* injectors(analysis: Analysis): Iterable<Finding> {
  const webhooks = analysis.documents.filter(isInjector).flatMap(webhooksOf);
  const services = new Set(analysis.list('Service').map(({ namespace, name }) => `${namespace}/${name}`));
  const overlaps = overlapsOf(webhooks);
  for (const webhook of webhooks) {
    const { namespace, name } = fieldOf(webhook.client, 'service');
    const service = `${String(namespace)}/${String(name)}`;
    if (name !== undefined && !services.has(service))
      yield about(webhook, 'IST0139', 'clientConfig.service', `names the Service ${service}, which does not exist`);
    const others = [...(overlaps.get(webhook) ?? [])].sort();
    if (others.length > 0)
      yield about(
        webhook,
        'IST0139',
        'namespaceSelector',
        `injects Pods that ${others.join(', ')} injects as well: one of them twice`,
      );
  }
}

/** Addresses of a control plane outside of the cluster. */
export function* outsideAddresses({ documents }: Analysis): Iterable<Finding> {
  for (const webhook of documents.filter(isOurs).flatMap(webhooksOf)) {
    const { url, service } = webhook.client;
    const host = hostOf(url);
    if (url === undefined && service === undefined)
      yield about(webhook, 'IST0163', 'clientConfig', 'names neither a Service nor a URL of its control plane');
    else if (url !== undefined && host === undefined)
      yield about(webhook, 'IST0163', 'clientConfig.url', `has no URL of HTTPS: ${JSON.stringify(url)}`);
    else if (host !== undefined && isIp(host))
      yield about(
        webhook,
        'IST0164',
        'clientConfig.url',
        `reaches its control plane by the address ${host}: a name can move, an address can not`,
      );
  }
}

const HTTPS_HOST = /^https:\/\/(?:\[([^\]]+)\]|([^\s/?#:@]+))(?::\d+)?(?:[/?#]|$)/;

/** An API server calls nothing but HTTPS. */
function hostOf(url: unknown): string | undefined {
  const [, v6, host] = HTTPS_HOST.exec(typeof url === 'string' ? url : '') ?? [];
  return v6 ?? host;
}

function isOurs({ kind, name }: WrittenDocument): boolean {
  if (kind === MUTATING) return name.startsWith('istio-sidecar-injector');
  return kind === VALIDATING && (name === 'istiod-default-validator' || name.startsWith('istio-validator'));
}

function isInjector(document: WrittenDocument): boolean {
  if (document.kind !== MUTATING) return false;
  const webhooks = webhooksOf(document);
  const named = listOf(document.value['webhooks']).some(({ name }) => String(name).endsWith('istio.io'));
  return named || webhooks.some((webhook) => revisionsOf(webhook).length > 0);
}

function webhooksOf(document: WrittenDocument): readonly Webhook[] {
  return listOf(document.value['webhooks']).map((webhook, index) => ({
    document,
    path: `webhooks[${index}]`,
    title: `${document.name}/${String(webhook['name'])}`,
    namespaces: selectorOf(webhook, 'namespaceSelector'),
    objects: selectorOf(webhook, 'objectSelector'),
    client: fieldOf(webhook, 'clientConfig'),
  }));
}

function selectorOf(webhook: unknown, key: string): LabelSelector {
  const selector = fieldOf(webhook, key);
  const expressions = listOf(selector['matchExpressions']).map((each) => ({
    key: String(each['key']),
    operator: String(each['operator']),
    values: Array.isArray(each['values']) ? each['values'].map(String) : [],
  }));
  return { matchLabels: textsOf(selector['matchLabels']), matchExpressions: expressions };
}

function revisionsOf({ namespaces, objects, document }: Webhook): readonly string[] {
  const own = textsOf(fieldOf(document.value, 'metadata')['labels'])[REVISION];
  const selected = [namespaces, objects].flatMap(({ matchLabels = {}, matchExpressions = [] }) => [
    matchLabels[REVISION],
    ...matchExpressions.flatMap(({ key, values = [] }) => (key === REVISION ? values : [])),
  ]);
  return [own, ...selected].filter((revision) => revision !== undefined);
}

/** Every combination of the labels that injection knows, on a namespace and on a Pod, leads to at most one webhook. */
function overlapsOf(webhooks: readonly Webhook[]): ReadonlyMap<Webhook, ReadonlySet<string>> {
  const revisions = [...new Set(webhooks.flatMap(revisionsOf))];
  const namespaces = combined('istio-injection', ['enabled', 'disabled'], revisions);
  const pods = combined('sidecar.istio.io/inject', ['true', 'false'], revisions);
  const overlaps = new Map(webhooks.map((webhook) => [webhook, new Set<string>()]));
  for (const namespace of namespaces) {
    const there = webhooks.filter((webhook) => selectsLabels(webhook.namespaces, namespace));
    for (const pod of pods) {
      const both = there.filter((webhook) => selectsLabels(webhook.objects, pod));
      for (const webhook of both)
        for (const other of both) if (other !== webhook) overlaps.get(webhook)?.add(other.title);
    }
  }
  return overlaps;
}

function combined(label: string, values: readonly string[], revisions: readonly string[]): readonly Labels[] {
  const plain: readonly Labels[] = [{}, ...values.map((value) => ({ [label]: value }))];
  return [...plain, ...revisions.flatMap((revision) => plain.map((labels) => ({ ...labels, [REVISION]: revision })))];
}

function about({ document, path, title }: Webhook, code: FindingCode, field: string, message: string): Finding {
  const { severity } = FINDING_CODES[code];
  const { origin } = document;
  const text = `${document.kind} ${title} ${message}`;
  return { severity, code, ...(origin === undefined ? {} : { origin }), path: `${path}.${field}`, message: text };
}
