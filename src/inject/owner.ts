// The workload behind a pod, by what its controller left in its metadata.

import { labelsOf, type Pod } from './pod.ts';

export interface Owner {
  readonly kind: string;
  readonly apiVersion: string;
  readonly name: string;
  readonly namespace: string;
}

/** Jobs of a CronJob end in the minute for which they were scheduled. */
const SCHEDULED_JOB = /^(.+)-\d{8,10}$/;

/** A ReplicaSet's pod counts as its Deployment's, a scheduled Job's as its CronJob's; without a controller it is the pod. */
export function ownerOf(pod: Pod, namespace: string): Owner {
  const { name = '', generateName = '', ownerReferences = [] } = pod.metadata;
  const owner = generateName === '' ? undefined : ownerReferences.find((each) => each.controller === true);
  if (owner === undefined) return { kind: 'Pod', apiVersion: 'v1', name, namespace };
  return { kind: owner.kind, apiVersion: owner.apiVersion, name: owner.name, namespace, ...behind(owner, pod) };
}

function behind(owner: { readonly kind: string; readonly name: string }, pod: Pod): Partial<Owner> {
  const labels = labelsOf(pod);
  const withoutHash = (label: string): string | undefined => {
    const hash = labels[label] ?? '';
    return hash !== '' && owner.name.endsWith(`-${hash}`) ? owner.name.slice(0, -hash.length - 1) : undefined;
  };
  switch (owner.kind) {
    case 'ReplicaSet': {
      const deployment = withoutHash('pod-template-hash');
      if (deployment !== undefined) return { kind: 'Deployment', name: deployment };
      const rollout = withoutHash('rollouts-pod-template-hash');
      return rollout === undefined ? {} : { kind: 'Rollout', apiVersion: 'v1alpha1', name: rollout };
    }
    case 'ReplicationController': {
      const config = labels['deploymentconfig'] ?? '';
      return config === '' ? {} : { kind: 'DeploymentConfig', name: config };
    }
    case 'Job': {
      const cron = SCHEDULED_JOB.exec(owner.name)?.[1];
      return cron === undefined ? {} : { kind: 'CronJob', apiVersion: 'batch/v1', name: cron };
    }
    default:
      return {};
  }
}
