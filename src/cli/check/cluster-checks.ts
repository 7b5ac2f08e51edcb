// Is the cluster fit for a control plane, and are the definitions there that it reads? Pure. Called by checks.ts.

import type { V1CustomResourceDefinition } from '@kubernetes/client-node';
import { type ConfigSchema, ISTIO_SCHEMAS } from '../../config/generated/schemas.ts';
import { KINDS, type KindInfo, OWN_GROUPS } from '../../config/kinds.ts';
import type { ClusterFacts } from './facts.ts';
import { error, info, type Problem, someOf, warning } from './problem.ts';

/** Oldest Kubernetes that the charts accept, and the first one with native sidecars in every cluster. */
const OLDEST_MINOR = 28;
const NATIVE_SIDECAR_MINOR = 33;

export function clusterProblems({ version, denied, forbidden }: ClusterFacts): readonly Problem[] {
  const problems: Problem[] = [];
  const subject = `Kubernetes ${version.text}`;
  if (version.minor < OLDEST_MINOR)
    problems.push(error(subject, `is older than 1.${OLDEST_MINOR}`, 'Upgrade the cluster.'));
  else if (version.minor < NATIVE_SIDECAR_MINOR)
    problems.push(
      info(subject, 'sidecars are ordinary containers here: they may start after and stop before the application'),
    );
  if (forbidden.length > 0)
    problems.push(
      error(
        'permissions',
        `you may not create ${someOf(forbidden)}`,
        'Install as a cluster administrator: kubectl auth can-i create clusterroles',
      ),
    );
  for (const what of denied)
    problems.push(warning('permissions', `you may not list ${what}: what depends on it was not checked`));
  return problems;
}

export function definitionProblems(facts: ClusterFacts): readonly Problem[] {
  const own = KINDS.filter(({ group }) => OWN_GROUPS.includes(group));
  const byName = new Map(facts.definitions.map((definition) => [definition.metadata?.name ?? '', definition]));
  const nameOf = ({ plural, group }: KindInfo): string => `${plural}.${group}`;
  const missing = own.filter((info) => !byName.has(nameOf(info)));
  const problems: Problem[] = own.flatMap((kind) => {
    const definition = byName.get(nameOf(kind));
    return definition === undefined ? [] : definitionProblem(kind, definition);
  });
  const foreign = facts.definitions.filter(
    ({ metadata }) => metadata?.labels?.['app.kubernetes.io/part-of'] !== 'meltemi',
  );
  if (foreign.length > 0)
    problems.push(
      info(
        'definitions',
        `${foreign.length} are not of the chart base: ${someOf(foreign.map(({ metadata }) => metadata?.name ?? ''))}`,
        'To take them over: helm upgrade --install istio-base charts/base --set crds.existing=take --take-ownership',
      ),
    );
  if (missing.length === 0) return problems;
  const installed = facts.deployments.length > 0;
  const text = `${missing.length} of ${own.length} are missing: ${someOf(missing.map(nameOf))}`;
  const mend = 'helm install istio-base charts/base --namespace istio-system --create-namespace';
  return [installed ? error('definitions', text, mend) : info('definitions', text, mend), ...problems];
}

function definitionProblem(kind: KindInfo, definition: V1CustomResourceDefinition): readonly Problem[] {
  const subject = `crd/${definition.metadata?.name ?? ''}`;
  const refused = definition.status?.conditions?.find(
    ({ type, status }) => (type === 'Established' || type === 'NamesAccepted') && status !== 'True',
  );
  if (refused !== undefined) return [error(subject, `is not in force: ${refused.message ?? refused.reason ?? ''}`)];
  const served = definition.spec.versions.filter((version) => version.served);
  const readable = kind.versions
    .map((name) => served.find((version) => version.name === name))
    .find((each) => each !== undefined);
  if (readable === undefined)
    return [
      error(subject, `serves ${someOf(served.map(({ name }) => name))}; expected one of ${kind.versions.join(', ')}`),
    ];
  const schema = ISTIO_SCHEMAS[kind.kind];
  const has = readable.schema?.openAPIV3Schema?.properties?.['spec'] as JsonSchema | undefined;
  const lacking = schema === undefined ? [] : fieldsLacking(schema, has, '');
  if (lacking.length === 0) return [];
  return [
    warning(
      subject,
      `does not know ${someOf(lacking)}: the API server drops them from objects`,
      'helm upgrade --install istio-base charts/base --set crds.existing=take --take-ownership',
    ),
  ];
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly [extension: `x-${string}`]: unknown;
}

/** Paths of fields that we read and the definition prunes; not of what is below one that is missing itself. */
function fieldsLacking(ours: ConfigSchema, theirs: JsonSchema | undefined, path: string): readonly string[] {
  if (theirs === undefined || theirs['x-kubernetes-preserve-unknown-fields'] === true) return [];
  const lacking: string[] = [];
  for (const [name, property] of Object.entries(ours.properties ?? {})) {
    const at = path === '' ? name : `${path}.${name}`;
    const found = theirs.properties?.[name];
    if (found === undefined) lacking.push(at);
    else lacking.push(...fieldsLacking(property, found, at));
  }
  if (ours.items !== undefined) lacking.push(...fieldsLacking(ours.items, theirs.items, `${path}[]`));
  const values = theirs.additionalProperties;
  if (typeof ours.additionalProperties === 'object' && typeof values === 'object')
    lacking.push(...fieldsLacking(ours.additionalProperties, values, `${path}{}`));
  return lacking;
}
