// Findings as istioctl writes messages: `Level [CODE] (Kind name.ns file:line) text`.

import type { Finding, Severity } from '../config/object.ts';

const LEVELS: Readonly<Record<Severity, string>> = { error: 'Error', warning: 'Warning', info: 'Info' };

export function levelOf({ severity }: Finding): string {
  return LEVELS[severity];
}

/** `Kind namespace/name file:line`, as far as it is known. */
export function placeOf({ ref, origin }: Finding): string {
  const object = ref === undefined ? '' : `${ref.kind} ${ref.namespace === '' ? '' : `${ref.namespace}/`}${ref.name}`;
  return [object, origin ?? ''].filter((part) => part !== '').join(' ');
}

export function findingLine(finding: Finding): string {
  const { code, path, message, expected } = finding;
  const place = placeOf(finding);
  const text = [path === undefined ? '' : `${path}:`, message].filter((part) => part !== '').join(' ');
  return [
    `${levelOf(finding)} [${code}]`,
    ...(place === '' ? [] : [`(${place})`]),
    expected === undefined ? text : `${text} (expected: ${expected})`,
  ].join(' ');
}
