// Endpoints (EDS). In: a class's visible services and their endpoints. Out: one ClusterLoadAssignment for every EDS
// cluster, by hostname. What a class doesn't need to tell apart (locality without locality load balancing, networks
// where there is one) is kept out of the inputs, so that classes share the result.

import { featureLabels } from '../../config/features.ts';
import type { Subset } from '../../config/generated/types.ts';
import type { Draft } from '../../ir/draft.ts';
import type { ServiceEndpoints } from '../../ir/endpoint.ts';
import type { IpFamily, ProxyClass } from '../../ir/proxy.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import type { Networks, PeerAuthnIndex, Scope } from '../../ir/snapshot.ts';
import type { ScopedService } from '../../ir/traffic.ts';
import { exact } from '../../lib/exact.ts';
import { memo } from '../../lib/memo.ts';
import type { Steps } from '../../lib/steps.ts';
import { type Derived2, deriveTable2Once, keepList, type Table } from '../../lib/table.ts';
import type { ClusterLoadAssignment } from '../../messages/index.ts';
import { outboundClusterName, sniClusterName } from '../clusters/names.ts';
import { effectivePolicy, tlsModeOf } from '../clusters/policy.ts';
import { draftOf } from '../draft.ts';
import { serviceOrigins } from '../listeners/origins.ts';
import { type AssignmentInputs, assignment } from './assignment.ts';
import { localityRanking, type LocalityRanking } from './locality-setting.ts';

export const ASSIGNMENT = 'envoy.config.endpoint.v3.ClusterLoadAssignment';

export interface EndpointAssignments {
  /** By hostname. */
  readonly table: Table<readonly Draft[]>;
  readonly derived: Derived2<ScopedService, ServiceEndpoints, readonly Draft[]>;
}

/** Where a proxy stands, as far as some assignment depends on it. */
interface Vantage {
  readonly locality: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeName: string;
  readonly clusterId: string;
  readonly network: string;
  readonly networkView: readonly string[];
  readonly family: IpFamily;
}

const NOWHERE: Vantage = {
  locality: '',
  labels: {},
  nodeName: '',
  clusterId: '',
  network: '',
  networkView: [],
  family: 'dual',
};
export const ABSENT: ServiceEndpoints = {
  namespace: '',
  hostname: '',
  endpoints: [],
  identities: [],
  someWithoutTls: false,
};

export function* endpointAssignments(
  scope: Scope,
  previous: EndpointAssignments | undefined,
): Steps<EndpointAssignments> {
  const sniDnat = scope.gateway?.hasAutoPassthrough === true;
  const { mesh, networks, peerAuthn, proxyClass } = scope;
  const shared = [mesh, networks, peerAuthn, proxyClass.type, placed(proxyClass), sniDnat];
  const derived = yield* deriveTable2Once(
    previous?.derived,
    scope.services,
    scope.endpoints,
    shared,
    (scoped, endpoints, _host, before) => keepList(before, serviceAssignments(scope, scoped, endpoints, sniDnat)),
  );
  return derived === previous?.derived ? previous : { table: derived.output, derived };
}

function serviceAssignments(
  scope: Scope,
  scoped: ScopedService,
  endpoints: ServiceEndpoints | undefined,
  sniDnat: boolean,
): readonly Draft[] {
  if (!usesEds(scoped, scope.proxyClass)) return [];
  const drafts: Draft[] = [];
  for (const port of scoped.service.ports) {
    if (port.protocol === 'UDP') continue;
    for (const subset of [undefined, ...(scoped.rule?.subsets ?? [])])
      addAssignment(drafts, scope, scoped, endpoints ?? ABSENT, port, subset, sniDnat);
  }
  return exact(drafts);
}

function addAssignment(
  drafts: Draft[],
  scope: Scope,
  scoped: ScopedService,
  endpoints: ServiceEndpoints,
  port: ServicePort,
  subset: Subset | undefined,
  sniDnat: boolean,
): void {
  const { inputs, passthrough } = renderArguments(scope, scoped, port, subset);
  if (passthrough) return;
  const { service } = scoped;
  drafts.push(assignmentDraft(endpoints, false, service, port, subset, ...inputs));
  if (sniDnat && !service.meshExternal) drafts.push(assignmentDraft(endpoints, true, service, port, subset, ...inputs));
}

function usesEds({ service }: ScopedService, { type }: ProxyClass): boolean {
  return service.resolution === 'ClientSideLB' || (service.resolution === 'Passthrough' && type === 'router');
}

type SharedInputs = readonly [
  mtls: AssignmentInputs['mtls'],
  unhealthy: boolean,
  ranking: LocalityRanking | undefined,
  peerAuthn: PeerAuthnIndex,
  networks: Networks,
  vantage: Vantage,
  drainingLabel: string,
];

function renderArguments(
  scope: Scope,
  scoped: ScopedService,
  port: ServicePort,
  subset: Subset | undefined,
): { readonly inputs: SharedInputs; readonly passthrough: boolean } {
  const { mesh, proxyClass, networks, peerAuthn } = scope;
  const { service, rule } = scoped;
  const policy = effectivePolicy(rule, port.number, subset);
  const ranking = localityRanking(service, policy, mesh);
  const mode = tlsModeOf(rule, port.number, subset);
  const mtls = mode === undefined ? 'auto' : mode === 'ISTIO_MUTUAL' ? 'on' : 'off';
  const unhealthy = (policy.outlierDetection?.minHealthPercent ?? 0) <= 0;
  const inputs: SharedInputs = [
    mtls,
    unhealthy,
    ranking,
    peerAuthn,
    networks,
    vantageOf(proxyClass, service, ranking, networks),
    featureLabels(mesh).draining,
  ];
  return { inputs, passthrough: policy.loadBalancer?.simple === 'PASSTHROUGH' };
}

/** The proxy's place, reduced to what this assignment can depend on; one object for equal places. */
function vantageOf(
  proxy: ProxyClass,
  service: Service,
  ranking: LocalityRanking | undefined,
  networks: Networks,
): Vantage {
  const multi = networks.all.length > 0;
  const local = service.clusterLocal || service.nodeLocal;
  if (ranking === undefined && !multi && !local && proxy.networkView.length === 0) return NOWHERE;
  return ranking === undefined ? placeless(proxy) : placed(proxy);
}

/** One object for all classes that stand in the same place. */
export const placed = memo((proxy: ProxyClass): Vantage => {
  const { locality, labels, nodeName, clusterId, network, networkView, family } = proxy;
  return interned({ locality, labels, nodeName, clusterId, network, networkView, family });
});

const placeless = memo((proxy: ProxyClass): Vantage => {
  const { nodeName, clusterId, network, networkView, family } = proxy;
  return interned({ ...NOWHERE, nodeName, clusterId, network, networkView, family });
});

const byText = memo((_anchor: object, _text: string): { vantage: Vantage | undefined } => ({ vantage: undefined }));

function interned(vantage: Vantage): Vantage {
  const slot = byText(NOWHERE, JSON.stringify(vantage));
  slot.vantage ??= vantage;
  return slot.vantage;
}

export type AssignmentArguments = readonly [
  service: Service,
  port: ServicePort,
  subset: Subset | undefined,
  ...shared: SharedInputs,
];

/** Of a port of a service as it is, whatever rules say. */
export function plainArguments(scope: Scope, service: Service, port: ServicePort): AssignmentArguments {
  const { proxyClass, mesh, networks, peerAuthn } = scope;
  const vantage = vantageOf(proxyClass, service, undefined, networks);
  return [
    service,
    port,
    undefined,
    'auto',
    true,
    undefined,
    peerAuthn,
    networks,
    vantage,
    featureLabels(mesh).draining,
  ];
}

/** One assignment under its name, for a stream (`embedded` false) or for the inside of a DNS cluster. */
export function messageOf(
  name: string,
  endpoints: ServiceEndpoints,
  inputs: AssignmentArguments,
  embedded: boolean,
  sniDnat: boolean,
): ClusterLoadAssignment {
  // By position: an array that is taken apart as an iterable is taken apart one step at a time.
  const { 0: service, 1: port, 2: subset, 3: mtls, 4: unhealthy, 5: ranking } = inputs;
  const { 6: peerAuthn, 7: networks, 8: vantage, 9: drainingLabel } = inputs;
  const { network, family, networkView } = vantage;
  const view = { networks, network, family, dns: embedded };
  const place = { proxy: vantage, networkView, network: view };
  return assignment(name, {
    service,
    port,
    subset,
    endpoints,
    embedded,
    mtls,
    unhealthy,
    peerAuthn,
    ranking,
    ...place,
    drainingLabel,
    sniDnat,
  });
}

export const assignmentDraft = memo(
  (endpoints: ServiceEndpoints, sniDnat: boolean, ...inputs: AssignmentArguments): Draft => {
    const { 0: service, 1: port, 2: subset } = inputs;
    const nameOf = sniDnat ? sniClusterName : outboundClusterName;
    const name = nameOf(port.number, subset?.name ?? '', service.hostname);
    const message = messageOf(name, endpoints, inputs, false, sniDnat);
    return draftOf(ASSIGNMENT, name, message, serviceOrigins(service));
  },
);

/** The endpoints of a DNS cluster, for embedding; undefined when there are none, and so no cluster. */
export function dnsAssignment(
  scope: Scope,
  scoped: ScopedService,
  endpoints: ServiceEndpoints | undefined,
  port: ServicePort,
  subset: Subset | undefined,
  sniDnat: boolean,
): ClusterLoadAssignment | undefined {
  const { inputs } = renderArguments(scope, scoped, port, subset);
  return embeddedAssignment(endpoints ?? ABSENT, sniDnat, scoped.service, port, subset, ...inputs);
}

const embeddedAssignment = memo(
  (
    endpoints: ServiceEndpoints,
    sniDnat: boolean,
    ...inputs: AssignmentArguments
  ): ClusterLoadAssignment | undefined => {
    const { 0: service, 1: port, 2: subset } = inputs;
    const nameOf = sniDnat ? sniClusterName : outboundClusterName;
    const name = nameOf(port.number, subset?.name ?? '', service.hostname);
    const message = messageOf(name, endpoints, inputs, true, sniDnat);
    return message.endpoints === undefined || message.endpoints.length === 0 ? undefined : message;
  },
);
