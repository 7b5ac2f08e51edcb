// Merging of the DestinationRules of one host, audience and selector in one namespace into a single node.

import type { DestinationRuleSpec, PortTrafficPolicy, Subset, TrafficPolicy } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import type { DestinationRule } from '../ir/traffic.ts';
import { resolveShortName } from '../lib/hosts.ts';
import { memo } from '../lib/memo.ts';
import { visibilityOf } from '../registry/visibility.ts';
import type { LinkSettings } from './settings.ts';

export type RuleObject = ConfigObject<DestinationRuleSpec>;

/** Carried by rules that were made from a policy of the Gateway API: they rank below those of users. */
const BACKEND_POLICY_ANNOTATION = 'internal.istio.io/parents';

/**
 * The node of one or several objects in merge order: subsets with new names are appended, a traffic policy counts only
 * where the earlier objects have none. The same objects give the same node.
 */
export function ruleNode(settings: LinkSettings, objects: readonly RuleObject[]): DestinationRule {
  const [first, ...rest] = objects;
  if (first === undefined) throw new Error('a DestinationRule node needs an object');
  return builtNode(first, settings, ...rest);
}

const builtNode = memo((first: RuleObject, settings: LinkSettings, ...rest: readonly RuleObject[]): DestinationRule => {
  const objects = [first, ...rest];
  const selector = first.spec.workloadSelector?.matchLabels;
  return {
    host: ruleHost(first, settings),
    namespace: first.namespace,
    exportTo: ruleVisibility(first, settings),
    ...(selector === undefined ? {} : { workloadSelector: selector }),
    trafficPolicy: mergedPolicy(objects),
    subsets: mergedSubsets(objects),
    objects,
  };
});

export function ruleHost(object: RuleObject, settings: LinkSettings): string {
  return resolveShortName(object.spec.host ?? '', object.namespace, settings.domain);
}

/** A rule with a selector is for its own namespace alone. */
export function ruleVisibility(object: RuleObject, settings: LinkSettings): DestinationRule['exportTo'] {
  if (object.spec.workloadSelector !== undefined) return new Set([object.namespace]);
  return visibilityOf(object.spec.exportTo, object.namespace, settings.destinationRuleExportTo);
}

function mergedSubsets(objects: readonly RuleObject[]): readonly Subset[] {
  const byName = new Map<string, Subset>();
  for (const object of objects)
    for (const subset of object.spec.subsets ?? [])
      if (!byName.has(subset.name ?? '')) byName.set(subset.name ?? '', subset);
  return [...byName.values()];
}

function mergedPolicy(objects: readonly RuleObject[]): TrafficPolicy | undefined {
  const users = objects.filter((object) => object.annotations[BACKEND_POLICY_ANNOTATION] === undefined);
  const backends = objects.filter((object) => object.annotations[BACKEND_POLICY_ANNOTATION] !== undefined);
  const user = users.find((object) => object.spec.trafficPolicy !== undefined)?.spec.trafficPolicy;
  const backend = backends.find((object) => object.spec.trafficPolicy !== undefined)?.spec.trafficPolicy;
  if (user === undefined) return backend;
  return backend === undefined ? user : overBackend(user, backend);
}

/** Fields that the user set win; the rest comes from the backend policy. */
function overBackend(user: TrafficPolicy, backend: TrafficPolicy): TrafficPolicy {
  return {
    connectionPool: user.connectionPool ?? backend.connectionPool,
    loadBalancer: user.loadBalancer ?? backend.loadBalancer,
    outlierDetection: user.outlierDetection ?? backend.outlierDetection,
    tls: user.tls ?? backend.tls,
    tunnel: user.tunnel ?? backend.tunnel,
    proxyProtocol: user.proxyProtocol ?? backend.proxyProtocol,
    retryBudget: user.retryBudget ?? backend.retryBudget,
    portLevelSettings: portsOverBackend(user.portLevelSettings ?? [], backend.portLevelSettings ?? []),
  };
}

function portsOverBackend(
  user: readonly PortTrafficPolicy[],
  backend: readonly PortTrafficPolicy[],
): readonly PortTrafficPolicy[] | undefined {
  if (user.length === 0 && backend.length === 0) return undefined;
  const own = user.map((entry): PortTrafficPolicy => {
    const below = backend.find((each) => each.port?.number === entry.port?.number);
    return below === undefined ? entry : { ...below, ...entry };
  });
  return [...own, ...backend.filter((each) => !user.some((entry) => entry.port?.number === each.port?.number))];
}

/** What the later objects of a merge lose. */
export function mergeFindings(rule: DestinationRule): readonly Finding[] {
  const findings: Finding[] = [];
  const subsets = new Set<string>();
  let policyOf: RuleObject | undefined;
  for (const object of rule.objects) {
    for (const [index, subset] of (object.spec.subsets ?? []).entries()) {
      const name = subset.name ?? '';
      if (subsets.has(name))
        findings.push(
          lost(object, `spec.subsets[${index}]`, `subset ${name} of ${rule.host} is defined by an older rule`),
        );
      subsets.add(name);
    }
    if (object.spec.trafficPolicy === undefined) continue;
    if (policyOf !== undefined && object.annotations[BACKEND_POLICY_ANNOTATION] === undefined)
      findings.push(lost(object, 'spec.trafficPolicy', `${policyOf.name} already gives ${rule.host} a traffic policy`));
    policyOf ??= object;
  }
  return findings;
}

function lost(object: RuleObject, path: string, message: string): Finding {
  const { kind, namespace, name, origin } = object;
  return { severity: 'warning', code: 'MEL0200', ref: { kind, namespace, name }, origin, path, message };
}
