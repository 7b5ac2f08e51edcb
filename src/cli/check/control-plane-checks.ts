// Do the control plane's pods run, and can the API server reach its webhooks? Pure. Called by checks.ts.

import type { V1Deployment, V1Pod } from '@kubernetes/client-node';
import { installedRevisions } from '../cluster/revisions.ts';
import { DEFAULT_VALIDATOR, REV, revisionOf, serviceName, type Webhook } from '../cluster/webhooks.ts';
import type { ClusterFacts } from './facts.ts';
import { error, info, type Problem, warning } from './problem.ts';

export function replicaProblems(facts: ClusterFacts): readonly Problem[] {
  return facts.deployments.flatMap((deployment) => {
    const { name = '' } = deployment.metadata ?? {};
    const wanted = deployment.spec?.replicas ?? 1;
    const ready = deployment.status?.readyReplicas ?? 0;
    if (ready >= wanted) return [];
    const why = podReason(podsOf(deployment, facts.pods));
    const subject = `deployment/${name}`;
    const mend = `kubectl --namespace ${facts.systemNamespace} describe deployment ${name}`;
    const text = `${ready} of ${wanted} replicas are ready${why === undefined ? '' : `: ${why}`}`;
    return [ready === 0 ? error(subject, text, mend) : warning(subject, text, mend)];
  });
}

function podsOf(deployment: V1Deployment, pods: readonly V1Pod[]): readonly V1Pod[] {
  const wanted = Object.entries(deployment.spec?.selector.matchLabels ?? {});
  return pods.filter(
    ({ metadata }) =>
      metadata?.namespace === deployment.metadata?.namespace &&
      wanted.every(([key, value]) => metadata?.labels?.[key] === value),
  );
}

/** Why a pod isn't ready, from what the kubelet and the scheduler say of it. */
export function podReason(pods: readonly V1Pod[]): string | undefined {
  for (const { metadata, status } of pods) {
    const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    const waiting = statuses.find(
      ({ state }) => state?.waiting?.reason !== undefined && state.waiting.reason !== 'PodInitializing',
    );
    const { reason, message } = waiting?.state?.waiting ?? {};
    if (reason !== undefined && reason !== 'ContainerCreating')
      return `${metadata?.name ?? ''}, ${waiting?.name ?? ''}: ${reason}${message === undefined ? '' : `, ${message}`}`;
    const unscheduled = status?.conditions?.find(
      ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
    );
    if (unscheduled !== undefined)
      return `${metadata?.name ?? ''}: ${unscheduled.message ?? unscheduled.reason ?? 'not scheduled'}`;
  }
  return undefined;
}

export function webhookProblems(facts: ClusterFacts): readonly Problem[] {
  const { injectors, validators } = facts.revisions;
  const roots = certificatesIn(
    facts.configMaps.find(({ metadata }) => metadata?.name === 'istio-ca-root-cert')?.data?.['root-cert.pem'] ?? '',
  );
  const ours = validators.filter(
    ({ metadata }) =>
      metadata?.labels?.[REV] !== undefined && /^istio(-validator|d-default-validator)/.test(metadata.name ?? ''),
  );
  return [
    ...injectors.map((each) => ({ kind: 'mutatingwebhookconfiguration', ...each })),
    ...ours.map((each) => ({ kind: 'validatingwebhookconfiguration', ...each })),
  ].flatMap(({ kind, metadata, webhooks }) => {
    const subject = `${kind}/${metadata?.name ?? ''}`;
    // Entries of one configuration are wrong together: one line says it.
    const [first] = webhooks ?? [];
    return first === undefined ? [] : hookProblems(subject, first, facts, roots);
  });
}

function hookProblems(
  subject: string,
  { clientConfig, failurePolicy }: Webhook,
  facts: ClusterFacts,
  roots: ReadonlySet<string>,
): readonly Problem[] {
  const problems: Problem[] = [];
  const { service } = clientConfig;
  const stops = failurePolicy === 'Ignore' ? 'is passed over' : 'refuses what it is asked about';
  if (service !== undefined) {
    const { namespace } = service;
    const there = facts.revisions.services.find(
      ({ metadata }) => metadata?.name === service.name && metadata.namespace === namespace,
    );
    const wanted = `service ${service.name} in ${namespace}`;
    if (there === undefined)
      problems.push(error(subject, `${wanted} does not exist: the webhook ${stops}`, leftover(subject)));
    else if (!there.spec?.ports?.some(({ port }) => port === (service.port ?? 443)))
      problems.push(error(subject, `${wanted} has no port ${service.port ?? 443}: the webhook ${stops}`));
    else if (namespace === facts.systemNamespace && !hasReadyEndpoint(service.name, facts))
      problems.push(
        error(
          subject,
          `${wanted} has no ready pod: the webhook ${stops}`,
          `kubectl --namespace ${namespace} get pods --selector app=istiod`,
        ),
      );
  }
  const bundle = clientConfig.caBundle ?? '';
  const trusted = certificatesIn(Buffer.from(bundle, 'base64').toString('utf8'));
  if (clientConfig.url === undefined && trusted.size === 0)
    problems.push(
      error(
        subject,
        `has no CA bundle: the webhook ${stops}`,
        'The control plane writes it within a minute; see its log and its ClusterRole.',
      ),
    );
  else if (roots.size > 0 && trusted.size > 0 && ![...trusted].some((certificate) => roots.has(certificate)))
    problems.push(
      error(
        subject,
        `its CA bundle is not the mesh's root (ConfigMap istio-ca-root-cert): the webhook ${stops}`,
        'The control plane mends it within a minute; if not, something else writes it too.',
      ),
    );
  if (failurePolicy === 'Ignore')
    problems.push(
      info(subject, 'failurePolicy is Ignore: while the control plane is away, what it should see passes unseen'),
    );
  return problems;
}

function leftover(subject: string): string {
  return subject.endsWith(DEFAULT_VALIDATOR)
    ? 'Install a control plane, or name another defaultRevision in the chart base.'
    : `A control plane was removed without it: kubectl delete ${subject.replace('/', ' ')}`;
}

function hasReadyEndpoint(service: string, { slices }: ClusterFacts): boolean {
  return slices
    .filter(({ metadata }) => metadata?.labels?.['kubernetes.io/service-name'] === service)
    .some(({ endpoints }) => (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false));
}

function certificatesIn(pem: string): ReadonlySet<string> {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return new Set(found.map((text) => text.replaceAll(/\s/g, '')));
}

export function settingsProblems(facts: ClusterFacts): readonly Problem[] {
  const names = new Set(facts.configMaps.map(({ metadata }) => metadata?.name ?? ''));
  return installedRevisions(facts.revisions).flatMap((revision) => {
    const suffix = serviceName(revision).slice('istiod'.length);
    const wanted = [`istio${suffix}`, `istio-sidecar-injector${suffix}`];
    const injector = facts.revisions.injectors.find((each) => revisionOf(each) === revision);
    const elsewhere = injector?.webhooks?.[0]?.clientConfig.service?.namespace !== facts.systemNamespace;
    if (elsewhere || facts.configMaps.length === 0) return [];
    return wanted
      .filter((name) => !names.has(name))
      .map((name) =>
        warning(
          `configmap/${name}`,
          `revision ${revision} has none: it uses its defaults`,
          'helm upgrade makes it again.',
        ),
      );
  });
}
