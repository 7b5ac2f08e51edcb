// The traffic policy in force for one port of one subset: DestinationRule levels laid over each other.

import type { ClientTLSSettings, PortTrafficPolicy, Subset, TrafficPolicy } from '../../config/generated/types.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import type { MeshSettings } from '../mesh.ts';

const NOTHING: TrafficPolicy = {};

/** As `effectivePolicy`, once per rule: the same inputs give the same object, so it may be a memo input itself. */
const linked = memo((rule: DestinationRule, port: number, subset: Subset | undefined): TrafficPolicy => {
  const base = levelOf(rule.trafficPolicy, port);
  return subset === undefined ? base.policy : overlay(base.policy, levelOf(subset.trafficPolicy, port));
});

/**
 * DestinationRule policy of a port and subset, before mesh defaults. A port-level entry replaces the level's connection
 * pool, load balancer, outlier detection and TLS as a whole: what it leaves unset falls to defaults, not to the level.
 */
export function effectivePolicy(
  rule: DestinationRule | undefined,
  port: number,
  subset: Subset | undefined,
): TrafficPolicy {
  return rule === undefined ? NOTHING : linked(rule, port, subset);
}

type TlsMode = NonNullable<ClientTLSSettings['mode']>;

/**
 * The TLS mode that a rule gives to endpoints, undefined where it says nothing. Other than for clusters, a level's own
 * mode holds for ports whose entry is silent about TLS, and a subset without one has the mode of the rule.
 */
export function tlsModeOf(
  rule: DestinationRule | undefined,
  port: number,
  subset: Subset | undefined,
): TlsMode | undefined {
  const levels = subset === undefined ? [rule?.trafficPolicy] : [subset.trafficPolicy, rule?.trafficPolicy];
  for (const level of levels) {
    const entry = level?.portLevelSettings?.find(
      (settings) => settings.port?.number === port && settings.tls !== undefined,
    );
    const tls = entry?.tls ?? level?.tls;
    if (tls !== undefined) return tls.mode ?? 'DISABLE';
  }
  return undefined;
}

/** The subset of that name; undefined where the rule has none. */
export function subsetOf(rule: DestinationRule | undefined, name: string): Subset | undefined {
  return name === '' ? undefined : rule?.subsets.find((subset) => subset.name === name);
}

/** The policy with the mesh's defaults in place of what neither level gave. */
export function withMeshDefaults(policy: TrafficPolicy, mesh: MeshSettings): TrafficPolicy {
  const defaults = mesh.defaultTrafficPolicy;
  if (defaults === undefined) return policy;
  return {
    ...policy,
    connectionPool: policy.connectionPool ?? defaults.connectionPool,
    outlierDetection: policy.outlierDetection ?? defaults.outlierDetection,
  };
}

interface Level {
  readonly policy: TrafficPolicy;
  readonly fromPort: boolean;
}

function levelOf(policy: TrafficPolicy | undefined, port: number): Level {
  if (policy === undefined) return { policy: NOTHING, fromPort: false };
  const entry = policy.portLevelSettings?.find((settings: PortTrafficPolicy) => settings.port?.number === port);
  if (entry === undefined) return { policy, fromPort: false };
  const { connectionPool, loadBalancer, outlierDetection, tls } = entry;
  return { policy: { connectionPool, loadBalancer, outlierDetection, tls }, fromPort: true };
}

function overlay(base: TrafficPolicy, { policy, fromPort }: Level): TrafficPolicy {
  const rest = {
    proxyProtocol: policy.proxyProtocol ?? base.proxyProtocol,
    retryBudget: policy.retryBudget ?? base.retryBudget,
    tunnel: policy.tunnel ?? base.tunnel,
  };
  const { connectionPool, loadBalancer, outlierDetection, tls } = policy;
  if (fromPort) return { connectionPool, loadBalancer, outlierDetection, tls, ...rest };
  return {
    connectionPool: connectionPool ?? base.connectionPool,
    loadBalancer: loadBalancer ?? base.loadBalancer,
    outlierDetection: outlierDetection ?? base.outlierDetection,
    tls: tls ?? base.tls,
    ...rest,
  };
}
