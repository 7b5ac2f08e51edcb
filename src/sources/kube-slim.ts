// What of an object from an API server isn't worth its memory: parts that no proxy is ever given.
// In: a raw object. Out: the same one, or one with less in it. Called by kube-reflector.ts for each object before it is parsed;
// the parser drops all other fields that nobody reads.

import type { Kind } from '../config/object.ts';
import type { RawObject } from './kube-list-watch.ts';

/** Keys under which credentials are kept, for gateways and for pulling Wasm modules. Any Secret may hold more. */
const CREDENTIALS: ReadonlySet<string> = new Set([
  ...['cert', 'key', 'cacert', 'crl'],
  ...['tls.crt', 'tls.key', 'ca.crt', 'ca.crl', 'tls.ocsp-staple'],
  '.dockerconfigjson',
]);

/** Roots that may be named by `configmap://`. */
const ROOTS: ReadonlySet<string> = new Set(['ca.crt', 'ca.crl']);

/** Of a Pod's annotations these alone can mean anything to a mesh; the rest is what controllers write on every Pod. */
const MESH_ANNOTATION = /^([a-z0-9-]+\.)*istio\.io\//;
/** What the injector noted for itself. */
const INJECTOR_NOTE = 'sidecar.istio.io/status';

/** ConfigMaps of the system namespace are the control plane's own, and stay as they are. */
export function slim(kind: Kind, raw: RawObject, namespace: string, systemNamespace: string | undefined): RawObject {
  switch (kind) {
    case 'Secret':
      return { ...raw, data: picked(raw['data'], (key) => CREDENTIALS.has(key)) };
    case 'ConfigMap':
      return namespace === systemNamespace ? raw : { ...raw, data: picked(raw['data'], (key) => ROOTS.has(key)) };
    case 'Pod':
      return withoutNoise(raw);
    default:
      return raw;
  }
}

function picked(values: unknown, keep: (key: string) => boolean): unknown {
  if (typeof values !== 'object' || values === null) return values;
  return Object.fromEntries(Object.entries(values).filter(([key]) => keep(key)));
}

function withoutNoise(pod: RawObject): RawObject {
  const metadata = pod['metadata'] as { readonly annotations?: unknown } | undefined;
  if (metadata?.annotations === undefined) return pod;
  const annotations = picked(metadata.annotations, (key) => MESH_ANNOTATION.test(key) && key !== INJECTOR_NOTE);
  return { ...pod, metadata: { ...metadata, annotations } };
}
