// What decides the inbound configuration of a proxy, as one value that the pods of a Deployment share.

import type { PolicySet } from '../ir/policy.ts';
import type { Proxy, ProxyClass, ServiceTarget, Workload } from '../ir/proxy.ts';
import { sameList } from '../lib/table.ts';
import { inNamespace, type NamespacedIndex } from './by-namespace.ts';
import { type ClassInput, placelessClass, sharedLabels, stableText, type WorkloadIdentity } from './classes.ts';
import type { InternTable } from './intern.ts';
import { policiesFor } from './policies.ts';
import { namesOf } from './proxy.ts';
import { sidecarFor } from './scope.ts';
import type { LinkedSnapshot, SidecarObject } from './snapshot.ts';

/** What workloads of a namespace depend on, beside what is a proxy's own. */
export function inboundInputs(snapshot: LinkedSnapshot, namespace: string): readonly unknown[] {
  const { policies, sidecars } = snapshot.index;
  const root = snapshot.settings.rootNamespace;
  const indexes: readonly NamespacedIndex<unknown>[] = [
    sidecars,
    policies.peerAuthn,
    policies.authorization,
    policies.requestAuthn,
    policies.telemetry,
    policies.envoyFilters,
    policies.wasmPlugins,
    policies.trafficExtensions,
  ];
  return indexes.flatMap((index) => [inNamespace(index, namespace), inNamespace(index, root)]);
}

export interface WorkloadTables {
  readonly classes: InternTable<ProxyClass>;
  readonly workloads: InternTable<Workload>;
}

/** The class of this content that is in use, or the given one from now on. */
export function internedClass(classes: InternTable<ProxyClass>, proxyClass: ProxyClass): ProxyClass {
  const known = classes.find(proxyClass.key);
  if (known !== undefined) {
    if (known.placeless !== undefined) classes.find(known.placeless.key);
    return known;
  }
  const placeless = placelessClass(proxyClass);
  const made =
    placeless === undefined ? proxyClass : { placeless: classes.keep(placeless.key, placeless, always), ...proxyClass };
  return classes.keep(proxyClass.key, made, always);
}

/** Equal keys mean equal classes. */
const always = (): boolean => true;

/** The workload of this content that is in use, or a new one from now on. */
export function internedWorkload(
  tables: WorkloadTables,
  { snapshot, proxy, identity, targets }: ClassInput,
  proxyClass: ProxyClass,
  previous: Workload | undefined,
): Workload {
  const subject = { namespace: proxy.namespace, labels: identity.labels };
  const policies = policiesFor(snapshot.index.policies, subject, previous?.policies);
  const sidecar = proxy.type === 'router' ? undefined : sidecarFor(snapshot, subject);
  const ingress = ingressOf(sidecar);
  const named = namedClass(tables.classes, proxyClass, proxy, identity);
  const content: Omit<Workload, 'key'> = {
    proxyClass: named,
    labels: sharedLabels(identity.labels),
    targets,
    policies,
    ...(ingress.length === 0 ? {} : { ingress }),
    ...(sidecar === undefined ? {} : { sidecar }),
    addresses: bindsOwnAddress(proxyClass, ingress) ? proxy.addresses : [],
  };
  const key = workloadKey(content);
  return tables.workloads.keep(key, { key, ...content }, sameWorkload);
}

/** The class as the workload's own listeners need it: with the names by which telemetry calls the workload. */
function namedClass(
  classes: InternTable<ProxyClass>,
  proxyClass: ProxyClass,
  proxy: Proxy,
  identity: WorkloadIdentity,
): ProxyClass {
  if (proxyClass.type === 'router') return proxyClass;
  const names = namesOf(proxy, identity.labels);
  const key = `${proxyClass.key} ${stableText(names)}`;
  const { placeless: _placeless, ...own } = proxyClass;
  return (
    classes.find(key) ?? classes.keep(key, { ...own, key, settings: Object.assign({}, own.settings, names) }, always)
  );
}

function ingressOf(sidecar: SidecarObject | undefined): NonNullable<Workload['ingress']> {
  return (sidecar?.spec.ingress ?? []).map((spec, index) => ({ spec, index }));
}

function bindsOwnAddress(proxyClass: ProxyClass, ingress: NonNullable<Workload['ingress']>): boolean {
  if (proxyClass.interception === 'NONE') return true;
  return ingress.some(
    ({ spec }) => (spec.bind ?? '') === '' || /^(0\.0\.0\.0|\[::\]):/.test(spec.defaultEndpoint ?? ''),
  );
}

/** Within one snapshot equal text means equal content: objects are told apart by their names. */
function workloadKey(content: Omit<Workload, 'key'>): string {
  return stableText([
    content.proxyClass.key,
    content.labels,
    content.targets.map(({ service, port, targetPort }) => [
      service.hostname,
      service.namespace,
      service.defaultAddress,
      port.number,
      targetPort,
    ]),
    policyNames(content.policies),
    content.sidecar === undefined ? '' : `${content.sidecar.namespace}/${content.sidecar.name}`,
    content.addresses,
  ]);
}

function policyNames(policies: PolicySet): readonly string[] {
  const { mesh, namespace, workload } = policies.telemetry;
  return [
    ...policies.peerAuthn.sources,
    ...policies.authorization,
    ...policies.requestAuthn,
    ...[mesh, namespace, workload].filter((each) => each !== undefined),
    ...policies.envoyFilters,
    ...policies.wasmPlugins,
    ...policies.trafficExtensions,
  ].map((object) => `${object.kind}/${object.namespace}/${object.name}`);
}

function sameWorkload(a: Workload, b: Workload): boolean {
  return (
    a.proxyClass === b.proxyClass &&
    a.sidecar === b.sidecar &&
    a.targets.length === b.targets.length &&
    a.targets.every((target, at) => sameTarget(target, b.targets[at] ?? target)) &&
    samePolicies(a.policies, b.policies)
  );
}

function samePolicies(a: PolicySet, b: PolicySet): boolean {
  return (
    a === b ||
    (a.peerAuthn === b.peerAuthn &&
      sameList(a.authorization, b.authorization) &&
      sameList(a.requestAuthn, b.requestAuthn) &&
      a.telemetry.mesh === b.telemetry.mesh &&
      a.telemetry.namespace === b.telemetry.namespace &&
      a.telemetry.workload === b.telemetry.workload &&
      sameList(a.envoyFilters, b.envoyFilters) &&
      sameList(a.wasmPlugins, b.wasmPlugins) &&
      sameList(a.trafficExtensions, b.trafficExtensions))
  );
}

/** True when both are the same port of the same service. */
export function sameTarget(a: ServiceTarget, b: ServiceTarget): boolean {
  return (
    a.service === b.service &&
    a.port === b.port &&
    a.targetPort === b.targetPort &&
    a.besideHeadless === b.besideHeadless
  );
}
