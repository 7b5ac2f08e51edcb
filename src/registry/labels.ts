// Names of labels and annotations that the registry reads, and matching of selectors.

import type { FeatureLabels } from '../config/features.ts';

export type Labels = Readonly<Record<string, string>>;

export type SessionLabels = Pick<FeatureLabels, 'sessionCookie' | 'sessionHeader'>;

export const LABEL = {
  network: 'topology.istio.io/network',
  cluster: 'topology.istio.io/cluster',
  subzone: 'topology.istio.io/subzone',
  region: 'topology.kubernetes.io/region',
  zone: 'topology.kubernetes.io/zone',
  regionBeta: 'failure-domain.beta.kubernetes.io/region',
  zoneBeta: 'failure-domain.beta.kubernetes.io/zone',
  hostname: 'kubernetes.io/hostname',
  locality: 'topology.istio.io/locality',
  localityShort: 'istio-locality',
  tlsMode: 'security.istio.io/tlsMode',
  gatewayPort: 'networking.istio.io/gatewayPort',
  autoAllocate: 'networking.istio.io/enable-autoallocate-ip',
  workloadName: 'service.istio.io/workload-name',
} as const;

export const ANNOTATION = {
  exportTo: 'networking.istio.io/exportTo',
  trafficDistribution: 'networking.istio.io/traffic-distribution',
  canonicalAccounts: 'alpha.istio.io/canonical-serviceaccounts',
  kubernetesAccounts: 'alpha.istio.io/kubernetes-serviceaccounts',
  nodeSelector: 'traffic.istio.io/nodeSelector',
  healthChecks: 'proxy.istio.io/health-checks-enabled',
  registrationGroup: 'istio.io/autoRegistrationGroup',
} as const;

/** How callers of a service with these labels stay with one endpoint: by a cookie, which wins, or by a header. */
export function sessionOf(labels: Labels, { sessionCookie, sessionHeader }: SessionLabels): string | undefined {
  const [cookie = '', header = ''] = [labels[sessionCookie], labels[sessionHeader]];
  if (cookie !== '') return `cookie:${cookie}`;
  return header === '' ? undefined : `header:${header}`;
}

/** True when every pair of the selector is among the labels. An empty selector matches all: callers decide on those. */
export function labelsMatch(selector: Labels, labels: Labels): boolean {
  for (const name of Object.keys(selector)) if (labels[name] !== selector[name]) return false;
  return true;
}
