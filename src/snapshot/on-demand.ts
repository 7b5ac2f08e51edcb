// Whether a proxy is given its outbound configuration when it first needs it, instead of all of it at once.
// In: a proxy, what its namespace and the mesh configuration say. Out: the way, or undefined. Called when a class is built.
// The nearest word counts: the proxy's own metadata or annotation, then its namespace's label, then `proxyMetadata` of its
// ProxyConfig, which comes from its annotation or the mesh's default.

import type { OnDemand, Proxy } from '../ir/proxy.ts';
import { durationMillis, parseDuration } from '../lib/duration.ts';
import { tableGet } from '../lib/table.ts';
import { parsedJson } from './proxy.ts';
import type { LinkedSnapshot } from './snapshot.ts';

/** Of node metadata and of `proxyMetadata`; of a pod as an annotation, of a namespace as a label. */
const SWITCH = { key: 'MELTEMI_ON_DEMAND', label: 'meltemi.io/on-demand' };
const IDLE = { key: 'MELTEMI_ON_DEMAND_IDLE', label: 'meltemi.io/on-demand-idle' };
/** Virtual hosts travel one by one. */
const SPLIT = { key: 'MELTEMI_SPLIT_ROUTES', label: 'meltemi.io/split-routes' };
type Setting = typeof SWITCH;

const DEFAULT_IDLE = 60 * 60 * 1000;
/** A shorter time would make Envoy ask for the same things all the time. */
const LEAST_IDLE = 1000;

/** The first Envoy that takes virtual hosts over the aggregated stream, and with which that was tested. */
const HOSTS_SINCE = 40;

type Written = Readonly<Record<string, unknown>>;

/** What the namespace says: part of what its proxies depend on. */
export function namespaceChoice({ registry }: LinkedSnapshot, namespace: string): string {
  const labels = tableGet(registry.state.tables.namespaces, `/${namespace}`)?.labels ?? {};
  return [SWITCH, IDLE, SPLIT].map(({ label }) => labels[label] ?? '').join();
}

export function onDemandOf(snapshot: LinkedSnapshot, proxy: Proxy): OnDemand | undefined {
  if (proxy.type !== 'sidecar' || proxy.incremental !== true) return undefined;
  if (!isOn(said(snapshot, proxy, SWITCH))) return undefined;
  const written = parseDuration(said(snapshot, proxy, IDLE) ?? '');
  const idle = written === undefined ? DEFAULT_IDLE : Math.max(0, durationMillis(written));
  return { hosts: (proxy.release ?? 0) >= HOSTS_SINCE, idle: idle === 0 ? 0 : Math.max(idle, LEAST_IDLE) };
}

/** Whether virtual hosts are resources of their own to the proxy. On demand they are anyway. */
export function splitsRoutes(snapshot: LinkedSnapshot, proxy: Proxy): boolean {
  if (proxy.type !== 'sidecar' || proxy.incremental !== true || (proxy.release ?? 0) < HOSTS_SINCE) return false;
  return isOn(said(snapshot, proxy, SPLIT));
}

function isOn(word: string | undefined): boolean {
  return /^(1|t|true|enabled)$/i.test(word ?? '');
}

/** The first of those who may say it that says something. */
function said(snapshot: LinkedSnapshot, { metadata, namespace }: Proxy, { key, label }: Setting): string | undefined {
  const labels = tableGet(snapshot.registry.state.tables.namespaces, `/${namespace}`)?.labels;
  const own = fieldsOf(parsedJson(metadata['PROXY_CONFIG']))['proxyMetadata'];
  const words = [
    metadata[key],
    fieldsOf(metadata['ANNOTATIONS'])[label],
    labels?.[label],
    fieldsOf(own)[key],
    fieldsOf(snapshot.mesh.defaultConfig.proxyMetadata)[key],
  ];
  return words.map((word) => (typeof word === 'boolean' ? String(word) : word)).find(isText);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function fieldsOf(value: unknown): Written {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Written) : {};
}
