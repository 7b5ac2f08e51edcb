// Which workloads an object applies to: label selectors and, for policies, references to a Gateway.

import type { PolicyTargetReference } from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';

export type Labels = Readonly<Record<string, string>>;

/** What selection looks at. */
export interface Subject {
  readonly namespace: string;
  readonly labels: Labels;
}

/** Put by the gateway controller on the pods of a Kubernetes Gateway. */
export const GATEWAY_NAME_LABEL = 'gateway.networking.k8s.io/gateway-name';

const GATEWAY_GROUP = 'gateway.networking.k8s.io';

/** True when every label of the selector is there; no selector and an empty one select all. */
export function selects(selector: Labels | undefined, labels: Labels): boolean {
  if (selector === undefined) return true;
  for (const key in selector) if (labels[key] !== selector[key]) return false;
  return true;
}

export function isEmptySelector(selector: Labels | undefined): boolean {
  return selector === undefined || Object.keys(selector).length === 0;
}

/** The spellings of a selector: `selector.matchLabels`, `workloadSelector.labels`, `workloadSelector.matchLabels`. */
export interface Selecting {
  readonly selector?: { readonly matchLabels?: Labels | undefined } | undefined;
  readonly workloadSelector?:
    | { readonly labels?: Labels | undefined; readonly matchLabels?: Labels | undefined }
    | undefined;
  readonly targetRef?: PolicyTargetReference | undefined;
  readonly targetRefs?: readonly PolicyTargetReference[] | undefined;
}

export function selectorOf(spec: Selecting): Labels | undefined {
  return spec.selector?.matchLabels ?? spec.workloadSelector?.labels ?? spec.workloadSelector?.matchLabels;
}

export function targetsOf(spec: Selecting): readonly PolicyTargetReference[] {
  if (spec.targetRefs !== undefined && spec.targetRefs.length > 0) return spec.targetRefs;
  return spec.targetRef === undefined ? [] : [spec.targetRef];
}

/** True for a policy that names no workload: mesh-wide in the root namespace, else namespace-wide. */
export function isWide(spec: Selecting): boolean {
  return isEmptySelector(selectorOf(spec)) && targetsOf(spec).length === 0;
}

/**
 * True when a policy applies to the workload. Policies with targetRefs apply to pods of a Kubernetes Gateway of their own
 * namespace and to nothing else; pods of a Gateway also take policies by selector.
 */
export function attaches(policy: ConfigObject<Selecting>, subject: Subject): boolean {
  const targets = targetsOf(policy.spec);
  if (targets.length === 0) return selects(selectorOf(policy.spec), subject.labels);
  const gateway = subject.labels[GATEWAY_NAME_LABEL];
  if (gateway === undefined || policy.namespace !== subject.namespace) return false;
  return targets.some(
    (target) =>
      target.group === GATEWAY_GROUP &&
      target.kind === 'Gateway' &&
      target.name === gateway &&
      (target.namespace === undefined || target.namespace === '' || target.namespace === subject.namespace),
  );
}
