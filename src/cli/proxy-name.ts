// How users name proxies: `POD.NAMESPACE`, `POD`, `pod/POD`, `deployment/NAME`.

import { compareStrings } from '../lib/order.ts';

export interface ProxyName {
  /** Undefined for a pod; otherwise any proxy of that workload will do. */
  readonly workload: string | undefined;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** Reads `[TYPE/]NAME[.NAMESPACE]`; the namespace is the one of `--namespace` when the name has none. */
export function parseProxyName(text: string, namespace: string | undefined): ProxyName {
  const [, type = '', rest = ''] = /^(?:([^/]*)\/)?(.*)$/.exec(text) ?? [];
  const dot = rest.lastIndexOf('.');
  const workload = type === '' || /^(?:pods?|po)$/.test(type) ? undefined : type;
  return dot < 0
    ? { workload, name: rest, namespace }
    : { workload, name: rest.slice(0, dot), namespace: rest.slice(dot + 1) };
}

/** The id to ask for when the name says it all. */
export function exactProxyId({ workload, name, namespace }: ProxyName): string | undefined {
  return workload === undefined && namespace !== undefined ? `${name}.${namespace}` : undefined;
}

/** The ids among `proxies` that a name may mean, in order; of a workload, the first. */
export function matchingProxies(wanted: ProxyName, proxies: readonly string[]): readonly string[] {
  const fits = proxies.filter((id) => {
    const dot = id.lastIndexOf('.');
    if (wanted.namespace !== undefined && id.slice(dot + 1) !== wanted.namespace) return false;
    const pod = id.slice(0, Math.max(0, dot));
    return wanted.workload === undefined ? pod === wanted.name : belongsTo(pod, wanted.name);
  });
  const ids = [...new Set(fits)].sort(compareStrings);
  return wanted.workload === undefined ? ids : ids.slice(0, 1);
}

/** Pods are named after their workload: `NAME-HASH-SUFFIX`, `NAME-SUFFIX`, `NAME-0`. */
function belongsTo(pod: string, workload: string): boolean {
  return pod.startsWith(`${workload}-`) && /^[a-z0-9]+(?:-[a-z0-9]+)?$/.test(pod.slice(workload.length + 1));
}
