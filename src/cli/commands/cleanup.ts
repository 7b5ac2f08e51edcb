// `meltemi cleanup`: takes away what control planes made while they ran, when the last of them is gone. The chart runs it
// after `helm uninstall`; while another revision is there it touches only what was the gone one's own.

import type { V1ConfigMap, V1Deployment, V1Lease } from '@kubernetes/client-node';
import { KubeError } from '../../sources/kube-api.ts';
import { type Cluster, type ClusterFlags, withCluster } from '../cluster/cluster.ts';
import type { CommandContext } from '../program.ts';

export interface CleanupFlags extends ClusterFlags {
  readonly keepRoot?: boolean;
}

const ROOT_MAP = 'istio-ca-root-cert';
const ROOT_SECRET = 'istio-ca-secret';
const REVISION_LEASE = 'meltemi-leader-';
const OWN = /^meltemi-/;

export function cleanup(flags: CleanupFlags, { out }: CommandContext): Promise<number> {
  return withCluster(flags, async (cluster) => {
    const inSystem = (group: string, plural: string): string => `${group}/namespaces/${flags.istioNamespace}/${plural}`;
    const left = (
      await cluster.list<V1Deployment>(inSystem('/apis/apps/v1', 'deployments'), { labelSelector: 'app=istiod' })
    ).filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
    const revisions = new Set(left.map(({ metadata }) => metadata?.labels?.['istio.io/rev'] ?? 'default'));
    const leases = await cluster.list<V1Lease>(inSystem('/apis/coordination.k8s.io/v1', 'leases'));
    const ownLeases = leases.flatMap(({ metadata }) => {
      const name = metadata?.name ?? '';
      const kept = name.startsWith(REVISION_LEASE)
        ? revisions.has(name.slice(REVISION_LEASE.length))
        : revisions.size > 0 || !OWN.test(name);
      return kept ? [] : [`${inSystem('/apis/coordination.k8s.io/v1', 'leases')}/${name}`];
    });
    await removeAll(cluster, ownLeases);
    if (revisions.size > 0) {
      out(`Revisions that are still there keep the rest: ${[...revisions].join(', ')}`);
      return 0;
    }
    const roots = await cluster.list<V1ConfigMap>('/api/v1/configmaps', { fieldSelector: `metadata.name=${ROOT_MAP}` });
    const maps = await cluster.list<V1ConfigMap>(inSystem('/api/v1', 'configmaps'));
    const paths = [...roots, ...maps.filter(({ metadata }) => OWN.test(metadata?.name ?? ''))].map(
      ({ metadata }) => `/api/v1/namespaces/${metadata?.namespace ?? ''}/configmaps/${metadata?.name ?? ''}`,
    );
    if (flags.keepRoot !== true) paths.push(`${inSystem('/api/v1', 'secrets')}/${ROOT_SECRET}`);
    await removeAll(cluster, paths);
    out(`Removed what control planes had made: ${ownLeases.length + paths.length} objects.`);
    return 0;
  });
}

async function removeAll(cluster: Cluster, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    try {
      await cluster.send({ method: 'DELETE', path });
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 404) throw error;
    }
  }
}
