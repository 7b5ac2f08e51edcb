// ConfigMap `istio-ca-root-cert` in every namespace of the mesh: the roots by which workloads know the control plane and each
// other. In: the roots in force, the namespaces. Out: the ConfigMap, put right whenever it is missing or damaged.
// Runs on the leader of the cluster.

import { KubeError } from '../sources/kube-api.ts';
import { KubeCache, labelsOf } from '../sources/kube-cache.ts';
import { isRecord, textOf } from '../sources/kube-discovery.ts';
import type { RawObject } from '../sources/kube-list-watch.ts';
import { type ControllerPorts, FIELD_MANAGER } from './ports.ts';
import { Reconciler } from './reconciler.ts';

export interface RootSource {
  /** PEM. */
  current(): string;
  /** Hears of every change; the result ends it. */
  onChange(listener: () => void): () => void;
}

export interface RootCertOptions extends ControllerPorts {
  readonly roots: RootSource;
  /** Namespaces in which this control plane has any business. */
  readonly selected: (namespace: string) => boolean;
  /** Hears of a change of `selected`; the result ends it. */
  readonly onSelection: (listener: () => void) => () => void;
}

export const ROOT_CERT_MAP = 'istio-ca-root-cert';
const ROOT_CERT_KEY = 'root-cert.pem';
const LABELS = { 'istio.io/config': 'true' } as const;
/** No workloads live there. */
const IGNORED: ReadonlySet<string> = new Set(['kube-public', 'kube-node-lease', 'local-path-storage']);

export function rootCertController(options: RootCertOptions, signal: AbortSignal): void {
  const { api, log, timers, random, roots, meter } = options;
  const writes = meter.counter('meltemi_root_cert_writes_total', 'Root certificate ConfigMaps written.');
  const reconcile = async (namespace: string, during: AbortSignal): Promise<void> => {
    const found = namespaces.objects.get(`/${namespace}`);
    if (found === undefined || isEnding(found) || IGNORED.has(namespace) || !options.selected(namespace)) return;
    if (isRight(maps.objects.get(`${namespace}/${ROOT_CERT_MAP}`), roots.current())) return;
    await put(options, namespace, during);
    writes.inc();
  };
  const queue = new Reconciler({ ...options, name: 'root certificates', reconcile }, signal);
  const all = (): void => {
    for (const key of namespaces.objects.keys()) queue.add(key.slice(1));
  };
  const namespaces = new KubeCache({
    ...{ api, log, timers, random, apiVersion: 'v1', path: '/api/v1/namespaces', keep: namespaceFacts },
    onChange: (keys) => {
      if (ready) for (const key of keys) queue.add(key.slice(1));
    },
  });
  const maps = new KubeCache({
    ...{ api, log, timers, random, apiVersion: 'v1', path: '/api/v1/configmaps' },
    fieldSelector: `metadata.name=${ROOT_CERT_MAP}`,
    onChange: (keys) => {
      if (ready) for (const key of keys) queue.add(key.slice(0, key.indexOf('/')));
    },
  });
  let ready = false;
  void namespaces.run(signal);
  void maps.run(signal);
  void Promise.all([namespaces.synced(), maps.synced()]).then(() => {
    ready = true;
    all();
  });
  const unfollow = [roots.onChange(all), options.onSelection(all)];
  signal.addEventListener('abort', () => unfollow.forEach((end) => end()), { once: true });
}

function namespaceFacts(raw: RawObject): RawObject {
  const { name, resourceVersion, deletionTimestamp } = raw['metadata'] as RawObject;
  return { metadata: { name, resourceVersion, deletionTimestamp } };
}

function isEnding(namespace: RawObject): boolean {
  return textOf(namespace['metadata'], 'deletionTimestamp') !== '';
}

function isRight(map: RawObject | undefined, roots: string): boolean {
  const data = map?.['data'];
  const labels = labelsOf(map);
  return (
    isRecord(data) &&
    data[ROOT_CERT_KEY] === roots &&
    Object.entries(LABELS).every(([key, value]) => labels[key] === value)
  );
}

/** Server-side apply: makes it where it is missing, and leaves alone what others put beside our key. */
async function put({ api, roots }: RootCertOptions, namespace: string, signal: AbortSignal): Promise<void> {
  const metadata = { name: ROOT_CERT_MAP, namespace, labels: LABELS };
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [ROOT_CERT_KEY]: roots.current() } };
  const path = `/api/v1/namespaces/${namespace}/configmaps/${ROOT_CERT_MAP}`;
  const query = { fieldManager: FIELD_MANAGER, force: true };
  try {
    await api.send({ method: 'PATCH', patch: 'apply-patch', path, query, body, unread: true }, signal);
  } catch (error) {
    if (!(error instanceof KubeError) || !isMoot(error)) throw error;
  }
}

/** The namespace went, or is going, while we wrote. */
function isMoot({ status, message }: KubeError): boolean {
  return status === 404 || (status === 403 && message.includes('being terminated'));
}
