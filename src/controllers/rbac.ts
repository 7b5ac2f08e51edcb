// What the control plane must be allowed in a cluster, and nothing more. The chart's roles say the same; a test runs a server
// with exactly this. docs/reference/rbac.md explains each rule.

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const READ = ['get', 'list', 'watch'] as const;
const ISTIO = ['networking.istio.io', 'security.istio.io', 'telemetry.istio.io', 'extensions.istio.io'] as const;
/** Every kind whose `status.conditions` is written. */
const WITH_STATUS = [
  ...['virtualservices', 'destinationrules', 'gateways', 'serviceentries', 'sidecars', 'envoyfilters'],
  ...['peerauthentications', 'requestauthentications', 'authorizationpolicies'],
  ...['telemetries', 'wasmplugins', 'trafficextensions'],
] as const;

/** Of a ClusterRole. */
export const CLUSTER_RULES: readonly Rule[] = [
  {
    apiGroups: [''],
    resources: ['namespaces', 'nodes', 'pods', 'services', 'serviceaccounts', 'secrets', 'configmaps'],
    verbs: READ,
  },
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create', 'patch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
  { apiGroups: ISTIO, resources: ['*'], verbs: READ },
  { apiGroups: ['gateway.networking.k8s.io', 'gateway.networking.x-k8s.io'], resources: ['*'], verbs: READ },
  { apiGroups: ['multicluster.x-k8s.io'], resources: ['serviceexports', 'serviceimports'], verbs: READ },
  // Which of these kinds there are.
  { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: READ },
  { apiGroups: ISTIO, resources: WITH_STATUS.map((plural) => `${plural}/status`), verbs: ['patch'] },
  { apiGroups: ['networking.istio.io'], resources: ['workloadentries'], verbs: ['create', 'patch', 'delete'] },
  { apiGroups: ['networking.istio.io'], resources: ['workloadentries/status'], verbs: ['patch'] },
  {
    apiGroups: ['admissionregistration.k8s.io'],
    resources: ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
    verbs: [...READ, 'patch'],
  },
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
];

/** Of a Role in the namespace of the control plane. */
export const SYSTEM_RULES: readonly Rule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['create', 'update'] },
  { apiGroups: [''], resources: ['configmaps'], verbs: ['delete'] },
];
