// The pods of a proxy's own workload: what zone-aware load balancing compares the zones of other services with.
// In: a scope, a workload whose proxies have a cluster for it in their bootstrap. Out: one ClusterLoadAssignment.

import type { Draft } from '../../ir/draft.ts';
import type { Endpoint, ServiceEndpoints } from '../../ir/endpoint.ts';
import type { Workload } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { memo } from '../../lib/memo.ts';
import { tableGet } from '../../lib/table.ts';
import { draftOf } from '../draft.ts';
import { serviceOrigins } from '../listeners/origins.ts';
import { ABSENT, ASSIGNMENT, type AssignmentArguments, messageOf, plainArguments } from './index.ts';

/** As the agent's bootstrap calls it. */
const NAME = 'local_cluster';

/** Labels of the ReplicaSet that a pod is of: others of the Deployment get another share of the traffic. */
const REPLICA_LABELS = ['pod-template-hash', 'rollouts-pod-template-hash'] as const;

const NOTHING: readonly Draft[] = [];

/** Nothing for proxies that don't ask for it. */
export function selfAssignments(scope: Scope, workload: Workload): readonly Draft[] {
  const { settings, locality } = workload.proxyClass;
  if (settings.selfDiscovery === undefined) return NOTHING;
  const [target] = workload.targets;
  const scoped = target === undefined ? undefined : tableGet(scope.services, target.service.hostname);
  const resolved = scoped?.service.resolution;
  if (target === undefined || scoped === undefined || resolved === 'DNSLB' || resolved === 'DNSRoundRobinLB')
    return NONE;
  const endpoints = tableGet(scope.endpoints, target.service.hostname);
  const [region = ''] = locality.split('/');
  const [hash = '', rollout = ''] = REPLICA_LABELS.map((label) => workload.labels[label] ?? '');
  const own = ownPods(endpoints ?? ABSENT, settings.selfDiscovery, region, hash, rollout);
  return selfDrafts(own, ...plainArguments(scope, target.service, target.port));
}

const NONE: readonly Draft[] = [draftOf(ASSIGNMENT, NAME, { clusterName: NAME }, [])];

const ownPods = memo(
  (
    endpoints: ServiceEndpoints,
    workloadName: string,
    region: string,
    hash: string,
    rollout: string,
  ): ServiceEndpoints => {
    const isOwn = ({ workloadName: name, labels, locality }: Endpoint): boolean =>
      name === workloadName &&
      (labels[REPLICA_LABELS[0]] ?? '') === hash &&
      (labels[REPLICA_LABELS[1]] ?? '') === rollout &&
      locality.split('/')[0] === region;
    return { ...endpoints, endpoints: endpoints.endpoints.filter(isOwn) };
  },
);

const selfDrafts = memo((endpoints: ServiceEndpoints, ...inputs: AssignmentArguments): readonly Draft[] => {
  const [service] = inputs;
  return [draftOf(ASSIGNMENT, NAME, messageOf(NAME, endpoints, inputs, false, false), serviceOrigins(service))];
});
