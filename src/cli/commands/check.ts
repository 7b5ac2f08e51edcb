// `meltemi check`: what is amiss with a cluster before an install or with an install, and how to mend it.

import { type ClusterFlags, withCluster } from '../cluster/cluster.ts';
import { installedRevisions } from '../cluster/revisions.ts';
import { problemsOf } from '../check/checks.ts';
import { type ClusterFacts, readFacts } from '../check/facts.ts';
import { LEVELS, type Problem } from '../check/problem.ts';
import { outputFormat, structured } from '../output.ts';
import { type CommandContext, UsageError } from '../program.ts';

export interface CheckFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly output: string;
  readonly failureThreshold: string;
}

export async function check(flags: CheckFlags, { out }: CommandContext): Promise<number> {
  const format = outputFormat(flags.output, ['table', 'json', 'yaml']);
  const threshold = LEVELS.findIndex((level) => level.toLowerCase() === flags.failureThreshold.toLowerCase());
  if (threshold < 0)
    throw new UsageError(`--failure-threshold ${flags.failureThreshold}: expected ${LEVELS.join(', ')}`, 64);
  const request = { systemNamespace: flags.istioNamespace, namespace: flags.namespace };
  const facts = await withCluster(flags, (cluster) => readFacts(cluster, request));
  const problems = problemsOf(facts);
  out(format === 'table' ? report(facts, problems) : await structured(problems, format));
  return problems.some(({ level }) => LEVELS.indexOf(level) <= threshold) ? 1 : 0;
}

export function report(facts: ClusterFacts, problems: readonly Problem[]): string {
  const lines = problems.flatMap(({ level, subject, message, mend }) => [
    `${level}: ${subject} ${message}`,
    ...(mend === undefined ? [] : [`    ${mend}`]),
  ]);
  return [...lines, ...(lines.length === 0 ? [] : ['']), summary(facts, problems)].join('\n');
}

function summary(facts: ClusterFacts, problems: readonly Problem[]): string {
  const counts = LEVELS.map((level) => problems.filter((problem) => problem.level === level).length);
  const [errors = 0, warnings = 0] = counts;
  const revisions = installedRevisions(facts.revisions);
  if (facts.deployments.length === 0 && revisions.length === 0) {
    const place = `No control plane is installed in ${facts.systemNamespace}`;
    return errors === 0 ? `${place}; the cluster is fit for one.` : `${place}, and the cluster is not fit for one yet.`;
  }
  const what = `Revisions: ${revisions.join(', ')}. ${facts.pods.length} pods, ${facts.config.length} objects of Istio's kinds.`;
  return errors + warnings === 0 ? `${what} Nothing is amiss.` : `${what} ${errors} errors, ${warnings} warnings.`;
}
