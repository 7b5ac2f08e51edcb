// What injects into pods in a cluster: the ConfigMaps that its control plane reads, and how new its nodes are.
// In: a cluster. Out: their texts; undefined where no control plane of the revision is. Called by commands/kube-inject.ts.

import type { V1ConfigMap, V1Node } from '@kubernetes/client-node';
import type { KubeNode } from '../../inject/native.ts';
import type { Cluster } from './cluster.ts';

export interface InjectionTexts {
  readonly config: string | undefined;
  readonly values: string | undefined;
  readonly mesh: string | undefined;
  /** Names of the two ConfigMaps, for messages. */
  readonly origins: { readonly injection: string; readonly mesh: string };
  readonly nodes: readonly KubeNode[];
}

export async function readInjection(
  cluster: Cluster,
  systemNamespace: string,
  revision: string,
): Promise<InjectionTexts | undefined> {
  const suffix = revision === '' || revision === 'default' ? '' : `-${revision}`;
  const maps = `/api/v1/namespaces/${systemNamespace}/configmaps`;
  const [injection, mesh] = await Promise.all([
    cluster.get<V1ConfigMap>(`${maps}/istio-sidecar-injector${suffix}`),
    cluster.get<V1ConfigMap>(`${maps}/istio${suffix}`),
  ]);
  if (injection === undefined) return undefined;
  const nodes = await cluster.list<V1Node>('/api/v1/nodes');
  return {
    config: injection.data?.['config'],
    values: injection.data?.['values'],
    mesh: mesh?.data?.['mesh'],
    origins: {
      injection: `ConfigMap ${systemNamespace}/istio-sidecar-injector${suffix}`,
      mesh: `ConfigMap ${systemNamespace}/istio${suffix}`,
    },
    nodes: nodes.map(({ metadata, status }) => ({
      name: metadata?.name ?? '',
      kubeletVersion: status?.nodeInfo?.kubeletVersion,
    })),
  };
}
