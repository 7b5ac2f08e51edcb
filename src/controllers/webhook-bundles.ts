// The CA bundle of our webhooks: by it the API server knows the control plane. In: the roots in force, the webhook
// configurations of our revision. Out: `clientConfig.caBundle` put right wherever it is something else, and nothing besides:
// every other field belongs to whoever installed the webhook. Runs on the leader of the revision.

import { KubeError } from '../sources/kube-api.ts';
import { KubeCache, labelsOf } from '../sources/kube-cache.ts';
import { isRecord, itemsOf, textOf } from '../sources/kube-discovery.ts';
import type { RawObject } from '../sources/kube-list-watch.ts';
import { DEFAULT_REVISION, REVISION_LABEL } from '../sources/kube-scope.ts';
import { type ControllerPorts, FIELD_MANAGER } from './ports.ts';
import { Reconciler } from './reconciler.ts';
import type { RootSource } from './root-certs.ts';

export interface WebhookBundleOptions extends ControllerPorts {
  readonly roots: RootSource;
  /** Empty for the unnamed one. */
  readonly revision: string;
}

interface WebhookKind {
  readonly plural: string;
  /** Whether an entry of a configuration of our revision is ours. */
  readonly isOurs: (configuration: string, entry: string) => boolean;
}

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const KINDS: readonly WebhookKind[] = [
  { plural: 'mutatingwebhookconfigurations', isOurs: (_, entry) => entry.endsWith('sidecar-injector.istio.io') },
  {
    plural: 'validatingwebhookconfigurations',
    isOurs: (name) => name === 'istiod-default-validator' || /^istio-validator(-|$)/.test(name),
  },
];

export function webhookBundleController(options: WebhookBundleOptions, signal: AbortSignal): void {
  for (const kind of KINDS) follow(kind, options, signal);
}

function follow(kind: WebhookKind, options: WebhookBundleOptions, signal: AbortSignal): void {
  const { api, log, timers, random, roots, meter, revision } = options;
  const attempts = meter.counter('webhook_patch_attempts_total', 'Webhook configurations patched.', ['name']);
  const failures = meter.counter('webhook_patch_failures_total', 'Patches of webhook configurations that failed.', [
    'name',
    'reason',
  ]);
  const own = revision === '' ? DEFAULT_REVISION : revision;
  const collection = `${ADMISSION}/${kind.plural}`;
  const reconcile = async (name: string, during: AbortSignal): Promise<void> => {
    const object = cache.objects.get(`/${name}`);
    if (object === undefined || labelsOf(object)[REVISION_LABEL] !== own) return;
    const body = bundlePatch(object, (entry) => kind.isOurs(name, entry), bundleOf(roots.current()));
    if (body.length === 0) return;
    attempts.inc({ name });
    try {
      const query = { fieldManager: FIELD_MANAGER };
      await api.send({ method: 'PATCH', patch: 'json-patch', path: `${collection}/${name}`, query, body }, during);
      log.info({ name }, 'CA bundle of a webhook configuration put right');
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return;
      failures.inc({ name, reason: error instanceof KubeError ? String(error.status) : 'unknown' });
      throw error;
    }
  };
  const queue = new Reconciler({ ...options, name: kind.plural, reconcile }, signal);
  const cache = new KubeCache({
    ...{ api, log, timers, random, apiVersion: 'admissionregistration.k8s.io/v1', path: collection },
    labelSelector: `${REVISION_LABEL}=${own}`,
    onChange: (keys) => {
      for (const key of keys) queue.add(key.slice(1));
    },
  });
  void cache.run(signal);
  const unfollow = roots.onChange(() => {
    for (const key of cache.objects.keys()) queue.add(key.slice(1));
  });
  signal.addEventListener('abort', unfollow, { once: true });
}

function bundleOf(pem: string): string {
  return Buffer.from(pem, 'utf8').toString('base64');
}

type PatchStep = { readonly op: 'test' | 'add'; readonly path: string; readonly value: string };

/**
 * JSON patch that sets the bundle of the entries that are ours and have another. Entries are named by their place: each is
 * tested for its name first, so that a list that moved meanwhile is refused instead of mispatched.
 */
export function bundlePatch(
  configuration: RawObject,
  isOurs: (entry: string) => boolean,
  caBundle: string,
): readonly PatchStep[] {
  return itemsOf(configuration, 'webhooks').flatMap((entry, index): readonly PatchStep[] => {
    const name = textOf(entry, 'name');
    const client = isRecord(entry) ? entry['clientConfig'] : undefined;
    if (!isOurs(name) || !isRecord(client) || textOf(client, 'caBundle') === caBundle) return [];
    const at = `/webhooks/${index}`;
    return [
      { op: 'test', path: `${at}/name`, value: name },
      { op: 'add', path: `${at}/clientConfig/caBundle`, value: caBundle },
    ];
  });
}
