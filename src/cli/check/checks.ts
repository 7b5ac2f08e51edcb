// All checks, in the order in which one would mend what they find. Pure but for the clock. Called by commands/check.ts.

import { clusterProblems, definitionProblems } from './cluster-checks.ts';
import { replicaProblems, settingsProblems, webhookProblems } from './control-plane-checks.ts';
import type { ClusterFacts } from './facts.ts';
import { LEVELS, type Problem } from './problem.ts';
import { namespaceProblems, overlapProblems, ownershipProblems, tagProblems } from './revision-checks.ts';
import { workloadProblems } from './workload-checks.ts';

const CHECKS: readonly ((facts: ClusterFacts) => readonly Problem[])[] = [
  clusterProblems,
  definitionProblems,
  replicaProblems,
  webhookProblems,
  settingsProblems,
  tagProblems,
  overlapProblems,
  namespaceProblems,
  ownershipProblems,
  workloadProblems,
];

/** Errors first. */
export function problemsOf(facts: ClusterFacts): readonly Problem[] {
  const found = CHECKS.flatMap((check) => check(facts));
  return LEVELS.flatMap((level) => found.filter((problem) => problem.level === level));
}
