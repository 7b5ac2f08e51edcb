// Have the pods that should have a proxy got one, of the revision that their namespace chooses? Pure. Called by checks.ts.

import type { V1Namespace, V1Pod } from '@kubernetes/client-node';
import { chosenBy, defaultRevision, revisionBehind } from '../cluster/revisions.ts';
import { INJECT, REV } from '../cluster/webhooks.ts';
import { podReason } from './control-plane-checks.ts';
import type { ClusterFacts } from './facts.ts';
import { error, info, type Problem, someOf, warning } from './problem.ts';

const PROXY = 'istio-proxy';

export function workloadProblems(facts: ClusterFacts): readonly Problem[] {
  const byNamespace = new Map<string, V1Pod[]>();
  for (const pod of facts.pods) {
    const name = pod.metadata?.namespace ?? '';
    const pods = byNamespace.get(name);
    if (pods === undefined) byNamespace.set(name, [pod]);
    else pods.push(pod);
  }
  return facts.revisions.namespaces.flatMap((namespace) =>
    namespaceWorkloads(facts, namespace, byNamespace.get(namespace.metadata?.name ?? '') ?? []),
  );
}

function namespaceWorkloads(facts: ClusterFacts, namespace: V1Namespace, all: readonly V1Pod[]): readonly Problem[] {
  const name = namespace.metadata?.name ?? '';
  const pods = all.filter(
    ({ status, spec, metadata }) =>
      isAlive(status?.phase) && spec?.hostNetwork !== true && metadata?.deletionTimestamp === undefined,
  );
  const subject = `namespace/${name}`;
  const restart = `kubectl --namespace ${name} rollout restart deployment`;
  const problems: Problem[] = [];
  const waiting = pods.filter((pod) => proxyOf(pod)?.image === 'auto');
  if (waiting.length > 0)
    problems.push(
      error(
        subject,
        `gateways were made but not injected: ${namesOf(waiting)}`,
        'Their label sidecar.istio.io/inject=true and the revision must lead to a control plane; then delete the pods.',
      ),
    );
  const chosen = chosenBy(namespace);
  const bare = pods.filter((pod) => proxyOf(pod) === undefined && isWanted(pod, chosen));
  if (bare.length > 0)
    problems.push(
      warning(subject, `${bare.length} pods have no proxy though the namespace wants it: ${namesOf(bare)}`, restart),
    );
  const stale = pods.filter((pod) => isOfOtherRevision(pod, chosen, facts));
  if (stale.length > 0)
    problems.push(
      info(
        subject,
        `${stale.length} pods have a proxy of another revision than they would get now: ${namesOf(stale)}`,
        restart,
      ),
    );
  const injected = pods.filter((pod) => proxyOf(pod) !== undefined);
  if (injected.length > 0 && facts.rootCertificates.size > 0 && !facts.rootCertificates.has(name))
    problems.push(
      error(
        subject,
        'lacks the ConfigMap istio-ca-root-cert: its proxies can trust nobody',
        'The control plane writes it; see its log and its ClusterRole.',
      ),
    );
  const broken = injected.filter((pod) => !isProxyReady(pod));
  if (broken.length > 0) {
    const why = podReason(broken);
    problems.push(
      warning(
        subject,
        `the proxies of ${broken.length} pods are not ready: ${namesOf(broken)}${why === undefined ? '' : ` (${why})`}`,
        `kubectl --namespace ${name} logs ${broken[0]?.metadata?.name ?? ''} --container ${PROXY}`,
      ),
    );
  }
  return problems;
}

function namesOf(pods: readonly V1Pod[]): string {
  return someOf(pods.map(({ metadata }) => metadata?.name ?? ''));
}

function isAlive(phase: string | undefined): boolean {
  return phase === 'Running' || phase === 'Pending';
}

function proxyOf({ spec }: V1Pod): { readonly image?: string } | undefined {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find(({ name }) => name === PROXY);
}

function isWanted({ metadata }: V1Pod, chosen: string | undefined): boolean {
  const wish = metadata?.labels?.[INJECT] ?? metadata?.annotations?.[INJECT];
  if (wish === 'false') return false;
  return chosen !== undefined || wish === 'true';
}

function isOfOtherRevision(pod: V1Pod, chosen: string | undefined, { revisions }: ClusterFacts): boolean {
  const has = pod.metadata?.annotations?.[REV];
  if (has === undefined || proxyOf(pod) === undefined) return false;
  const name = chosen ?? pod.metadata?.labels?.[REV];
  const now = name === undefined ? defaultRevision(revisions) : revisionBehind(name, revisions);
  return now !== undefined && now !== has;
}

/** A pod that is starting is not broken yet. */
function isProxyReady({ status, metadata }: V1Pod): boolean {
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const proxy = statuses.find(({ name }) => name === PROXY);
  const age = Date.now() - new Date(metadata?.creationTimestamp ?? 0).getTime();
  return proxy?.ready === true || age < STARTING_MS;
}

const STARTING_MS = 60_000;
