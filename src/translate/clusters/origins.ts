// Which DestinationRule objects, and which part of each, shaped a cluster; and which of them an older one overruled.

import { type Origin, originOf } from '../../ir/draft.ts';
import type { DestinationRule } from '../../ir/traffic.ts';

type RuleObject = DestinationRule['objects'][number];

/** Carried by rules that were made from a policy of the Gateway API: they fill what users' rules leave open. */
const BACKEND_POLICY_ANNOTATION = 'internal.istio.io/parents';

/** Origins of one port and subset of a rule; `subset` undefined: the cluster of the whole service. */
export function ruleOrigins(
  rule: DestinationRule | undefined,
  port: number,
  subset: string | undefined,
): readonly Origin[] {
  if (rule === undefined) return [];
  const parts = rule.objects.flatMap((object) => [...subsetOf(object, subset), ...policyOf(object, port)]);
  const settled = new Set<string>();
  const origins = parts.map(({ object, field, what, fills }) => {
    const lost = settled.has(what) && !fills ? `${what} is given by an older rule` : undefined;
    settled.add(what);
    return originOf(object, field, lost);
  });
  // The first gives its name to the cluster's metadata, whatever else it says.
  const [first] = rule.objects;
  const named = first === undefined || origins.some((origin) => isOf(origin, first));
  return named ? origins : [originOf(first), ...origins];
}

interface Part {
  readonly object: RuleObject;
  readonly field: string;
  readonly what: string;
  /** It applies where the others say nothing. */
  readonly fills: boolean;
}

function subsetOf(object: RuleObject, subset: string | undefined): readonly Part[] {
  if (subset === undefined) return [];
  const index = (object.spec.subsets ?? []).findIndex((each) => each.name === subset);
  return index < 0 ? [] : [{ object, field: `spec.subsets[${index}]`, what: `subset ${subset}`, fills: false }];
}

function policyOf(object: RuleObject, port: number): readonly Part[] {
  const policy = object.spec.trafficPolicy;
  if (policy === undefined) return [];
  const index = (policy.portLevelSettings ?? []).findIndex((each) => each.port?.number === port);
  const field = index < 0 ? 'spec.trafficPolicy' : `spec.trafficPolicy.portLevelSettings[${index}]`;
  const fills = object.annotations[BACKEND_POLICY_ANNOTATION] !== undefined;
  return [{ object, field, what: 'the traffic policy', fills }];
}

function isOf(origin: Origin, { namespace, name }: RuleObject): boolean {
  return origin.namespace === namespace && origin.name === name;
}
