// Everything that can be wrong between objects and is no reason to refuse one: one file for each subject, one table.
// In: a linked mesh. Out: findings, in order. Called by `meltemi analyze`, the debug pages and previews; what concerns
// routes, rules and Gateways of one proxy is found while linking (snapshot/findings.ts) and not repeated here.

import { type Finding, refKey } from '../config/object.ts';
import { compareStrings, orderBy } from '../lib/order.ts';
import type { Analysis, Analyzer } from './analysis.ts';
import { annotations } from './annotations.ts';
import { negativeConditions } from './conditions.ts';
import { emptySubsets } from './destination-rules.ts';
import { filterOperations } from './envoy-filters.ts';
import { gatewayConflicts, gatewayWorkloads, sharedCertificates } from './gateways.ts';
import { applicationUsers, autoImages, namespaceLabels, podsWithoutProxy } from './injection.ts';
import { proxyImages } from './injector.ts';
import { networkRegistries, providers, sourceNamespaces } from './mesh-settings.ts';
import { gatewaySelectors, sidecarConflicts, telemetryConflicts, unmatchedSelectors } from './selectors.ts';
import { entryProtocols, portNames, sharedPorts } from './services.ts';
import {
  claimRouting,
  destinationPorts,
  gatewayHosts,
  internalGateways,
  lostSubsets,
  sharedHosts,
} from './virtual-services.ts';
import { injectors, outsideAddresses } from './webhooks.ts';

export { type Analysis, analysisOf, type WrittenDocument } from './analysis.ts';

/** By the name that `analyze --analyzer` takes. */
export const ANALYZERS: Readonly<Record<string, Analyzer>> = {
  'annotations.k8s': annotations,
  'authz.namespaces': sourceNamespaces,
  'conditions.negative': negativeConditions,
  'conditions.subsets': emptySubsets,
  'envoyfilter.operations': filterOperations,
  'extensionprovider.references': providers,
  'gateway.certificates': sharedCertificates,
  'gateway.conflicts': gatewayConflicts,
  'gateway.workloads': gatewayWorkloads,
  'injection.images': autoImages,
  'injection.namespaces': namespaceLabels,
  'injection.pods': podsWithoutProxy,
  'injection.proxies': proxyImages,
  'injection.users': applicationUsers,
  'meshnetworks.registries': networkRegistries,
  'selectors.gateways': gatewaySelectors,
  'selectors.matches': unmatchedSelectors,
  'service.portnames': portNames,
  'service.ports': sharedPorts,
  'serviceentry.protocols': entryProtocols,
  'sidecar.selectors': sidecarConflicts,
  'telemetry.selectors': telemetryConflicts,
  'virtualservice.claims': claimRouting,
  'virtualservice.destinationports': destinationPorts,
  'virtualservice.gatewayhosts': gatewayHosts,
  'virtualservice.hosts': sharedHosts,
  'virtualservice.internalgateways': internalGateways,
  'virtualservice.lostsubsets': lostSubsets,
  'webhooks.addresses': outsideAddresses,
  'webhooks.injectors': injectors,
};

const inOrder = orderBy<Finding>(
  (a, b) => compareStrings(a.ref === undefined ? '' : refKey(a.ref), b.ref === undefined ? '' : refKey(b.ref)),
  (a, b) => compareStrings(a.path ?? '', b.path ?? ''),
  (a, b) => compareStrings(a.code, b.code),
  (a, b) => compareStrings(a.message, b.message),
);

/** What the analyzers find, all of them or those named, together with what is known already; each thing once. */
export function analyze(analysis: Analysis, known: readonly Finding[], names?: readonly string[]): readonly Finding[] {
  const chosen = names ?? Object.keys(ANALYZERS);
  const found = [...known, ...chosen.flatMap((name) => [...(ANALYZERS[name]?.(analysis) ?? [])])];
  const once = new Map(found.map((finding) => [keyOf(finding), finding]));
  return [...once.values()].sort(inOrder);
}

/** One mistake may be found twice: by an analyzer, and while linking. */
function keyOf({ code, ref, path, message, origin }: Finding): string {
  return ref === undefined
    ? `${code} ${origin ?? ''} ${path ?? ''} ${message}`
    : `${code} ${refKey(ref)} ${path ?? ''} ${message}`;
}
