// What the checks look at, read once. What may not be read is noted and left out, so that the rest is checked all the same.
// In: a cluster. Out: ClusterFacts. Called by commands/check.ts.

import type {
  V1ConfigMap,
  V1CustomResourceDefinition,
  V1Deployment,
  V1EndpointSlice,
  V1Lease,
  V1Pod,
} from '@kubernetes/client-node';
import { KINDS, OWN_GROUPS } from '../../config/kinds.ts';
import { KubeError } from '../../sources/kube-api.ts';
import type { Cluster, ObjectMeta } from '../cluster/cluster.ts';
import { readRevisions, type Revisions } from '../cluster/revisions.ts';

export interface ConfigRef {
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface ClusterFacts {
  readonly systemNamespace: string;
  /** Kubernetes 1.minor */
  readonly version: { readonly text: string; readonly minor: number };
  readonly revisions: Revisions;
  readonly definitions: readonly V1CustomResourceDefinition[];
  /** Of the control plane's namespace, as are the next three. */
  readonly deployments: readonly V1Deployment[];
  readonly slices: readonly V1EndpointSlice[];
  readonly configMaps: readonly V1ConfigMap[];
  readonly leases: readonly V1Lease[];
  /** Namespaces that have the root certificate. */
  readonly rootCertificates: ReadonlySet<string>;
  readonly pods: readonly V1Pod[];
  /** Objects of Istio's kinds. */
  readonly config: readonly ConfigRef[];
  /** What the user may not read. */
  readonly denied: readonly string[];
  /** What the user may not make, of what an install makes; empty where that was not asked. */
  readonly forbidden: readonly string[];
}

export interface FactsRequest {
  readonly systemNamespace: string;
  /** Pods of this namespace alone. */
  readonly namespace?: string | undefined;
}

const ROOT_CERT = 'istio-ca-root-cert';
const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

export async function readFacts(cluster: Cluster, request: FactsRequest): Promise<ClusterFacts> {
  const { systemNamespace, namespace } = request;
  const denied: string[] = [];
  const list = <T>(path: string, query?: Record<string, string>): Promise<readonly T[]> =>
    readable(cluster.list<T>(path, query), path, denied, []);
  const inSystem = (group: string, plural: string): string => `${group}/namespaces/${systemNamespace}/${plural}`;
  const none: Revisions = { injectors: [], validators: [], services: [], namespaces: [] };
  const version = await cluster.get<{ readonly gitVersion: string; readonly minor: string }>('/version');
  const [revisions, definitions, deployments, slices, configMaps, leases, roots, pods] = await Promise.all([
    readable(readRevisions(cluster), 'webhook configurations, services and namespaces', denied, none),
    list<V1CustomResourceDefinition>(CRD_PATH),
    list<V1Deployment>(inSystem('/apis/apps/v1', 'deployments'), { labelSelector: 'app=istiod' }),
    list<V1EndpointSlice>(inSystem('/apis/discovery.k8s.io/v1', 'endpointslices')),
    list<V1ConfigMap>(inSystem('/api/v1', 'configmaps')),
    list<V1Lease>(inSystem('/apis/coordination.k8s.io/v1', 'leases')),
    list<V1ConfigMap>('/api/v1/configmaps', { fieldSelector: `metadata.name=${ROOT_CERT}` }),
    list<V1Pod>(namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${namespace}/pods`),
  ]);
  const own = definitions.filter(({ spec }) => OWN_GROUPS.includes(spec.group));
  const config = await Promise.all(own.map((definition) => configOf(definition, list)));
  return {
    systemNamespace,
    version: { text: version?.gitVersion ?? '', minor: Number.parseInt(version?.minor ?? '0', 10) },
    revisions,
    definitions: own,
    deployments,
    slices,
    configMaps,
    leases,
    rootCertificates: new Set(roots.map(({ metadata }) => metadata?.namespace ?? '')),
    pods,
    config: config.flat(),
    denied,
    forbidden: deployments.length === 0 ? await forbiddenToInstall(cluster, systemNamespace) : [],
  };
}

async function configOf(
  { spec }: V1CustomResourceDefinition,
  list: <T>(path: string) => Promise<readonly T[]>,
): Promise<readonly ConfigRef[]> {
  const { kind } = spec.names;
  const version = spec.versions.find((each) => each.served);
  if (version === undefined || !KINDS.some((known) => known.kind === kind)) return [];
  const items = await list<{ readonly metadata: ObjectMeta }>(
    `/apis/${spec.group}/${version.name}/${spec.names.plural}`,
  );
  return items.map(({ metadata }) => ({ kind, metadata }));
}

async function readable<T>(answer: Promise<T>, what: string, denied: string[], otherwise: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 403) throw error;
    denied.push(what);
    return otherwise;
  }
}

/** What the charts make. */
const INSTALLED = [
  ['apiextensions.k8s.io', 'customresourcedefinitions', false],
  ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations', false],
  ['admissionregistration.k8s.io', 'validatingwebhookconfigurations', false],
  ['rbac.authorization.k8s.io', 'clusterroles', false],
  ['rbac.authorization.k8s.io', 'clusterrolebindings', false],
  ['rbac.authorization.k8s.io', 'roles', true],
  ['rbac.authorization.k8s.io', 'rolebindings', true],
  ['apps', 'deployments', true],
  ['', 'services', true],
  ['', 'serviceaccounts', true],
  ['', 'configmaps', true],
  ['', 'secrets', true],
  ['autoscaling', 'horizontalpodautoscalers', true],
  ['policy', 'poddisruptionbudgets', true],
] as const;

async function forbiddenToInstall(cluster: Cluster, systemNamespace: string): Promise<readonly string[]> {
  const answers = await Promise.all(
    INSTALLED.map(async ([group, resource, namespaced]) => {
      const resourceAttributes = {
        verb: 'create',
        group,
        resource,
        ...(namespaced ? { namespace: systemNamespace } : {}),
      };
      const answer = (await cluster.send({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes },
        },
      })) as { readonly status?: { readonly allowed?: boolean } };
      return answer.status?.allowed === true ? [] : [`${resource}${group === '' ? '' : `.${group}`}`];
    }),
  );
  return answers.flat();
}
