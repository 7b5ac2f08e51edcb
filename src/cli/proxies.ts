// The proxies of a mesh that isn't running: described in a file, or told from its Pods.
// In: text, or objects. Out: nodes in the JSON form of envoy.config.core.v3.Node. Called by `diff` and `analyze`.

import { parse } from 'yaml';
import type { PodSpec, PodStatus } from '../config/core.ts';
import type { GatewaySpec } from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';
import { tableValues } from '../lib/table.ts';
import type { StoreState } from '../store/state.ts';
import { UsageError } from './program.ts';

/** A YAML or JSON list of nodes, or a map of them by any name. */
export function nodesOf(text: string, file: string): readonly object[] {
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch (error) {
    throw new UsageError(`${file}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`, 2);
  }
  const nodes: readonly unknown[] = Array.isArray(parsed) ? parsed : Object.values((parsed ?? {}) as object);
  for (const node of nodes) {
    if (typeof node !== 'object' || node === null || typeof (node as { id?: unknown }).id !== 'string')
      throw new UsageError(`${file}: expected nodes of proxies, each with an id`, 2);
  }
  return nodes as readonly object[];
}

const INJECT = 'sidecar.istio.io/inject';

/** A sidecar for each Pod that has not opted out; a router for those that a Gateway selects. */
export function nodesOfPods({ byKind }: StoreState, domain: string, clusterId: string): readonly object[] {
  const gateways = [...tableValues(byKind.Gateway)] as ConfigObject<GatewaySpec>[];
  const selectors = gateways.flatMap(({ spec }) => (spec.selector === undefined ? [] : [spec.selector]));
  const pods = [...tableValues(byKind.Pod)] as ConfigObject<PodSpec, PodStatus>[];
  return pods.flatMap((pod) => {
    const [ip] = pod.status?.podIPs ?? [];
    const out = (pod.labels[INJECT] ?? pod.annotations[INJECT]) === 'false' || pod.spec.hostNetwork === true;
    if (ip === undefined || out) return [];
    const isRouter = selectors.some((selector) => selects(selector, pod.labels));
    return [
      {
        id: `${isRouter ? 'router' : 'sidecar'}~${ip}~${pod.name}.${pod.namespace}~${pod.namespace}.svc.${domain}`,
        metadata: {
          NAMESPACE: pod.namespace,
          CLUSTER_ID: clusterId,
          INSTANCE_IPS: (pod.status?.podIPs ?? []).join(','),
          LABELS: pod.labels,
          SERVICE_ACCOUNT: pod.spec.serviceAccountName || 'default',
          ...(pod.spec.nodeName === undefined ? {} : { NODE_NAME: pod.spec.nodeName }),
        },
      },
    ];
  });
}

type Labels = Readonly<Record<string, string>>;

function selects(selector: Labels, labels: Labels): boolean {
  const pairs = Object.entries(selector);
  return pairs.length > 0 && pairs.every(([key, value]) => labels[key] === value);
}
