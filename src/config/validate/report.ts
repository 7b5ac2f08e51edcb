// What validators write to and how a validator looks. A validator is a chain of small checks that only ever report.

import type { FindingCode } from '../codes.ts';
import { type ConfigObject, type Finding, type ObjectRef, refKey, type Severity } from '../object.ts';

/** RE2's verdict on a pattern: what is wrong with it, or undefined. Native code comes in as a function. */
export type RegexChecker = (pattern: string) => string | undefined;

export interface Report {
  readonly regex: RegexChecker;
  /** The object can't be served: its last good version stays in force. */
  error(path: string, message: string, expected?: string, code?: FindingCode): void;
  /**
   * Serving it does no harm, and it does what it says or nothing; yet admission refuses it as a mistake. An error where
   * objects are judged before they are applied (webhook, `validate`), a warning where they are loaded.
   */
  strict(path: string, message: string, expected?: string, code?: FindingCode): void;
  /** The object is served all the same. */
  warn(path: string, message: string, expected?: string, code?: FindingCode): void;
  info(path: string, message: string, expected?: string, code?: FindingCode): void;
}

export type KindValidator<Spec> = (object: ConfigObject<Spec>, report: Report) => void;

/** An object with hundreds of wrong fields is summed up by the first ones. */
const MAX_FINDINGS = 64;

/** A report that collects findings about one object. */
export function collectingReport(
  object: ConfigObject,
  regex: RegexChecker,
  admission: boolean,
): { report: Report; findings: Finding[] } {
  const findings: Finding[] = [];
  const ref: ObjectRef = { kind: object.kind, namespace: object.namespace, name: object.name };
  const add = (severity: Severity, code: FindingCode, path: string, message: string, expected?: string): void => {
    if (findings.length >= MAX_FINDINGS) return;
    findings.push({
      severity,
      code,
      ref,
      ...(object.origin === undefined ? {} : { origin: object.origin }),
      path,
      message,
      ...(expected === undefined ? {} : { expected }),
    });
  };
  const report: Report = {
    regex,
    error: (path, message, expected, code = 'IST0106') => add('error', code, path, message, expected),
    strict: (path, message, expected, code = 'IST0133') =>
      add(admission ? 'error' : 'warning', admission ? 'IST0106' : code, path, message, expected),
    warn: (path, message, expected, code = 'IST0133') => add('warning', code, path, message, expected),
    info: (path, message, expected, code = 'IST0133') => add('info', code, path, message, expected),
  };
  return { report, findings };
}

/** A throw in a validator is a fault of ours: it becomes a finding, and the object is served unvalidated. */
export function faultFinding(object: ConfigObject, error: unknown): Finding {
  const reason = error instanceof Error ? error.message : 'unknown';
  return {
    severity: 'warning',
    code: 'MEL0013',
    ref: { kind: object.kind, namespace: object.namespace, name: object.name },
    ...(object.origin === undefined ? {} : { origin: object.origin }),
    message: `validation of ${refKey(object)} failed: ${reason}`,
  };
}
