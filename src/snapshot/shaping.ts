// Which objects shape a proxy as a whole, rather than one resource of it. In: a snapshot, what was linked for the proxy.
// Out: origins. Called for people who ask (explain).

import type { ConfigObject, Kind } from '../config/object.ts';
import { type Origin, originOf } from '../ir/draft.ts';
import type { PolicySet } from '../ir/policy.ts';
import type { Workload } from '../ir/proxy.ts';
import { sidecarFor } from './scope.ts';
import type { LinkedSnapshot } from './snapshot.ts';

/** Of these one object counts for a namespace: findings say which ones lost. */
const EXCLUSIVE: ReadonlySet<Kind> = new Set(['Sidecar', 'PeerAuthentication', 'Telemetry']);

/** The proxy's Sidecar, Gateways and policies, and those of its namespaces that lost against them. */
export function shapingObjects(snapshot: LinkedSnapshot, workload: Workload, outbound: PolicySet): readonly Origin[] {
  const { proxyClass } = workload;
  const isRouter = proxyClass.type === 'router';
  const sidecar = isRouter ? undefined : sidecarFor(snapshot, proxyClass);
  const objects = new Set<ConfigObject>([
    ...(sidecar === undefined ? [] : [sidecar]),
    ...policyObjects(workload.policies),
    ...policyObjects(outbound),
  ]);
  return [...[...objects].map((object) => originOf(object)), ...losers(snapshot, proxyClass.namespace)];
}

function policyObjects({ telemetry, ...policies }: PolicySet): readonly ConfigObject[] {
  return [
    ...policies.peerAuthn.sources,
    ...policies.requestAuthn,
    ...policies.authorization,
    ...[telemetry.mesh, telemetry.namespace, telemetry.workload].filter((object) => object !== undefined),
    ...policies.wasmPlugins,
    ...policies.trafficExtensions,
    ...policies.envoyFilters,
  ];
}

function losers({ findings, settings }: LinkedSnapshot, namespace: string): readonly Origin[] {
  return findings.flatMap(({ code, ref, path, message }) => {
    if (ref === undefined || !EXCLUSIVE.has(ref.kind) || !LOST.has(code)) return [];
    if (ref.namespace !== namespace && ref.namespace !== settings.rootNamespace) return [];
    return [{ ...ref, generation: 0, field: path, lost: message }];
  });
}

/** Findings that mean: another object of the kind is in force. */
const LOST: ReadonlySet<string> = new Set(['IST0111', 'MEL0201', 'MEL0202']);
