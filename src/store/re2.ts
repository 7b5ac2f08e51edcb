// RE2 syntax for validation: patterns are compiled as Envoy would, in a library that has RE2's grammar.

import { RE2JS } from 're2js';
import type { RegexChecker } from '../config/validate/index.ts';

/** Verdicts are remembered: configurations repeat few patterns many times. */
const MAX_REMEMBERED = 4096;

export function re2Checker(): RegexChecker {
  const verdicts = new Map<string, string | undefined>();
  return (pattern) => {
    if (verdicts.has(pattern)) return verdicts.get(pattern);
    const verdict = compileProblem(pattern);
    if (verdicts.size >= MAX_REMEMBERED) verdicts.clear();
    verdicts.set(pattern, verdict);
    return verdict;
  };
}

function compileProblem(pattern: string): string | undefined {
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
