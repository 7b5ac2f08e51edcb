// Do names of revisions lead somewhere, does exactly one control plane inject each pod, and who owns which object? Pure.
// Called by checks.ts.

import type { V1Namespace } from '@kubernetes/client-node';
import {
  chosenBy,
  defaultRevision,
  defaultValidator,
  installedRevisions,
  revisionBehind,
  tagsOf,
} from '../cluster/revisions.ts';
import {
  DEFAULT,
  DEFAULT_VALIDATOR,
  entryKind,
  INJECTION,
  isDeactivated,
  type WebhookConfiguration,
  REV,
  revisionOf,
  tagOf,
} from '../cluster/webhooks.ts';
import type { ClusterFacts } from './facts.ts';
import { error, type Problem, someOf, warning } from './problem.ts';

export function tagProblems({ revisions }: ClusterFacts): readonly Problem[] {
  const installed = installedRevisions(revisions);
  return tagsOf(revisions).flatMap(({ tag, revision, namespaces }) => {
    if (!installed.includes(revision)) {
      const users = namespaces.length === 0 ? '' : `; used by ${someOf(namespaces)}`;
      return [
        error(
          `tag/${tag}`,
          `stands for revision ${revision}, which is not installed${users}`,
          `meltemi tag set ${tag} --overwrite --revision ${installed[0] ?? 'REVISION'}, or meltemi tag remove ${tag}`,
        ),
      ];
    }
    if (tag !== DEFAULT && installed.includes(tag))
      return [error(`tag/${tag}`, 'is the name of a revision too', `meltemi tag remove ${tag}`)];
    return [];
  });
}

/** Two configurations that would inject the same pods. */
export function overlapProblems({ revisions }: ClusterFacts): readonly Problem[] {
  const claims = new Map<string, string>();
  const problems: Problem[] = [];
  for (const configuration of revisions.injectors) {
    const name = configuration.metadata?.name ?? '';
    for (const claim of claimsOf(configuration)) {
      const other = claims.get(claim);
      if (other === undefined) claims.set(claim, name);
      else
        problems.push(
          error(
            `mutatingwebhookconfiguration/${name}`,
            `injects ${claim}, and so does ${other}`,
            'Keep one: remove a tag, or move the tag default with `meltemi tag set default --overwrite`, which turns the other off.',
          ),
        );
    }
  }
  return problems;
}

function claimsOf(configuration: WebhookConfiguration): readonly string[] {
  const claims = (configuration.webhooks ?? []).flatMap((webhook) => {
    if (isDeactivated(webhook)) return [];
    const kind = entryKind(webhook);
    if (kind === 'namespace') return [`namespaces with ${INJECTION}=enabled`];
    if (kind !== 'rev.namespace') return [];
    const names = webhook.namespaceSelector?.matchExpressions?.find(({ key }) => key === REV)?.values ?? [];
    return names.map((name) => `namespaces with ${REV}=${name}`);
  });
  return [...new Set(claims)];
}

export function namespaceProblems({ revisions }: ClusterFacts): readonly Problem[] {
  return revisions.namespaces.flatMap((namespace) => {
    const name = namespace.metadata?.name ?? '';
    const rev = namespace.metadata?.labels?.[REV];
    const injection = namespace.metadata?.labels?.[INJECTION];
    const problems: Problem[] = [];
    if (rev !== undefined && injection !== undefined)
      problems.push(
        warning(
          `namespace/${name}`,
          `has both ${INJECTION}=${injection} and ${REV}=${rev}: pods go by ${INJECTION}`,
          `kubectl label namespace ${name} ${INJECTION}-`,
        ),
      );
    const chosen = chosenBy(namespace);
    if (chosen !== undefined && !isInjected(chosen, revisions.injectors))
      problems.push(
        error(
          `namespace/${name}`,
          `chooses ${chosen}, by which nothing is injected`,
          offer(name, namespace, revisions),
        ),
      );
    return problems;
  });
}

function isInjected(chosen: string, injectors: readonly WebhookConfiguration[]): boolean {
  return injectors.some(
    (each) => (tagOf(each) ?? revisionOf(each)) === chosen && !(each.webhooks ?? []).every(isDeactivated),
  );
}

function offer(name: string, { metadata }: V1Namespace, revisions: ClusterFacts['revisions']): string {
  const choices = [...tagsOf(revisions).map(({ tag }) => tag), ...installedRevisions(revisions)];
  if (choices.length === 0) return 'Install a control plane.';
  const drop = metadata?.labels?.[INJECTION] === undefined ? '' : ` ${INJECTION}-`;
  return `kubectl label namespace ${name}${drop} --overwrite ${REV}=${choices[0]}`;
}

/** Objects that no control plane of the cluster reads, or none answers for. */
export function ownershipProblems(facts: ClusterFacts): readonly Problem[] {
  const { revisions, config } = facts;
  const problems: Problem[] = [];
  const owner = defaultRevision(revisions);
  const validator = defaultValidator(revisions);
  const installed = installedRevisions(revisions);
  if (validator !== undefined && installed.length > 0 && !installed.includes(revisionOf(validator)))
    problems.push(
      error(
        `validatingwebhookconfiguration/${DEFAULT_VALIDATOR}`,
        `asks revision ${revisionOf(validator)}, which is not installed`,
        `meltemi tag set default --revision ${installed[0]}, or the value defaultRevision of the chart base`,
      ),
    );
  else if (validator === undefined && installed.length > 0)
    problems.push(
      warning(
        'admission',
        `nobody checks objects that name no revision: there is no ${DEFAULT_VALIDATOR}`,
        'The chart base makes it, with its value defaultRevision.',
      ),
    );
  const labels = new Map(revisions.namespaces.map(({ metadata }) => [metadata?.name ?? '', metadata?.labels?.[REV]]));
  const ineffective = new Map<string, string[]>();
  const unanswered = new Map<string, string[]>();
  for (const { kind, metadata } of config) {
    const own = metadata.labels?.[REV] ?? '';
    const named = own === '' ? (labels.get(metadata.namespace ?? '') ?? '') : own;
    const owned =
      named === '' ? owner !== undefined && installed.includes(owner) : revisionBehind(named, revisions) !== undefined;
    if (owned) continue;
    const lists = own === '' ? unanswered : ineffective;
    const why =
      named === '' ? 'name no revision, and none is the default' : `belong to revision ${named}, which is not there`;
    lists.set(why, [...(lists.get(why) ?? []), `${kind} ${metadata.namespace ?? ''}/${metadata.name}`]);
  }
  if (installed.length === 0) return problems;
  for (const [why, names] of ineffective)
    problems.push(
      error(
        'configuration',
        `${names.length} objects ${why}: they have no effect (${someOf(names)})`,
        `Take the label ${REV} from them, or let it name a revision or a tag that is there: ${someOf(installed)}`,
      ),
    );
  for (const [why, names] of unanswered)
    problems.push(
      warning(
        'configuration',
        `${names.length} objects ${why}: they are in force, and no revision writes their status (${someOf(names)})`,
        'Label their namespaces, or choose a default: meltemi tag set default --revision REVISION',
      ),
    );
  return problems;
}
