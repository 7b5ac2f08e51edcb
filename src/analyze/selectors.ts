// Selectors of policies and Sidecars: those that fit nothing, and those that meet on one workload where one object counts.

import type { SidecarSpec, TelemetrySpec } from '../config/generated/types.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { type Analysis, type Labels, on, selects } from './analysis.ts';

interface Selecting {
  readonly selector?: { readonly matchLabels?: Labels | undefined } | undefined;
  readonly workloadSelector?: { readonly labels?: Labels | undefined } | undefined;
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[] | undefined;
}

const POLICIES: readonly Kind[] = [
  'AuthorizationPolicy',
  'RequestAuthentication',
  'PeerAuthentication',
  'Telemetry',
  'WasmPlugin',
  'TrafficExtension',
  'EnvoyFilter',
  'ProxyConfig',
];

export function* unmatchedSelectors(analysis: Analysis): Iterable<Finding> {
  if (analysis.workloads.length === 0) return;
  for (const kind of [...POLICIES, 'Sidecar'] as const) {
    for (const object of analysis.list<Selecting>(kind)) {
      const [path, labels] = selectorOf(object);
      if (labels === undefined || matched(analysis, object, labels)) continue;
      const code = kind === 'Sidecar' ? 'IST0101' : 'IST0127';
      yield on(object, code, path, 'selects no workload');
    }
  }
}

function selectorOf({ spec, kind }: ConfigObject<Selecting>): readonly [path: string, labels: Labels | undefined] {
  const inner = kind === 'ProxyConfig' || spec.selector !== undefined;
  const labels = inner ? spec.selector?.matchLabels : spec.workloadSelector?.labels;
  return [
    inner ? 'spec.selector' : 'spec.workloadSelector',
    Object.keys(labels ?? {}).length === 0 ? undefined : labels,
  ];
}

function matched(analysis: Analysis, { namespace }: ConfigObject, labels: Labels): boolean {
  const { workloads, snapshot } = analysis;
  const everywhere = namespace === snapshot.settings.rootNamespace;
  const fits = (each: { readonly namespace: string; readonly labels: Labels }): boolean =>
    (everywhere || each.namespace === namespace) && selects(labels, each.labels);
  return workloads.some(fits) || analysis.list('WorkloadEntry').some(fits);
}

export function* sidecarConflicts(analysis: Analysis): Iterable<Finding> {
  yield* meetings(analysis, analysis.list<SidecarSpec>('Sidecar'), 'IST0110');
}

export function* telemetryConflicts(analysis: Analysis): Iterable<Finding> {
  const all = analysis.list<TelemetrySpec>('Telemetry');
  yield* meetings(analysis, all, 'IST0159');
  const wide = new Map<string, ConfigObject>();
  for (const object of oldestFirst(all)) {
    const { spec } = object;
    if (
      Object.keys(spec.selector?.matchLabels ?? {}).length > 0 ||
      spec.targetRef !== undefined ||
      (spec.targetRefs ?? []).length > 0
    )
      continue;
    const first = wide.get(object.namespace);
    if (first === undefined) wide.set(object.namespace, object);
    else
      yield on(
        object,
        'IST0160',
        'spec.selector',
        `${first.name} is the default of namespace ${object.namespace} already`,
      );
  }
}

/** Two objects that select one workload; the older one counts. */
function* meetings(
  analysis: Analysis,
  objects: readonly ConfigObject<Selecting>[],
  code: 'IST0110' | 'IST0159',
): Iterable<Finding> {
  const told = new Set<string>();
  for (const { title, namespace, labels } of analysis.workloads) {
    const selecting = oldestFirst(objects).filter(
      (object) => object.namespace === namespace && selects(selectorOf(object)[1], labels),
    );
    const [first, ...others] = selecting;
    for (const object of others) {
      if (told.has(`${object.namespace}/${object.name}`)) continue;
      told.add(`${object.namespace}/${object.name}`);
      yield on(object, code, selectorOf(object)[0], `${first?.name} selects ${title} as well, and is in force`);
    }
  }
}

function oldestFirst<O extends ConfigObject>(objects: readonly O[]): readonly O[] {
  return objects.toSorted((a, b) => a.created - b.created);
}

const GATEWAY_NAME = 'gateway.networking.k8s.io/gateway-name';

/** Pods of a Kubernetes Gateway take policies by reference. */
export function* gatewaySelectors(analysis: Analysis): Iterable<Finding> {
  for (const kind of POLICIES) {
    for (const object of analysis.list<Selecting>(kind)) {
      const [path, labels] = selectorOf(object);
      if (labels?.[GATEWAY_NAME] === undefined) continue;
      yield on(
        object,
        'IST0166',
        path,
        'selects the pods of a Kubernetes Gateway, where references are meant',
        'targetRefs',
      );
    }
  }
}
