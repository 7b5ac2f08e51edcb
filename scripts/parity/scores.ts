// What is recorded, and what counts as a loss.

/** Resources that are equal, of all that either side has. */
export interface Score {
  readonly equal: number;
  readonly union: number;
}

export type Scores = Readonly<Record<string, Score>>;

/** Why `now` is worse than what was recorded; `whole`: every recorded scenario must be there. */
export function compareScores(recorded: Scores, now: Scores, whole: boolean): readonly string[] {
  const problems: string[] = [];
  for (const [name, { equal, union }] of Object.entries(now)) {
    const before = recorded[name];
    if (before === undefined) problems.push(`${name}: ${equal}/${union} is not recorded (--update)`);
    // Exact: equal/union < before.equal/before.union without rounding.
    else if (equal * before.union < before.equal * union)
      problems.push(`${name}: ${equal}/${union} equal, ${before.equal}/${before.union} before`);
  }
  if (whole)
    for (const name of Object.keys(recorded)) if (now[name] === undefined) problems.push(`${name}: was not compared`);
  return problems;
}
