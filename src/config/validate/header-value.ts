// Header values that Envoy's formatter accepts: `%COMMAND(ARGS):LENGTH%`, and `%%` for a percent sign.

import type { Report } from './report.ts';

/** Control characters but the tab. */
function isControl(code: number): boolean {
  return (code < 0x20 && code !== 9) || code === 0x7f;
}

export function checkHeaderValue(report: Report, path: string, value: string): void {
  for (let i = 0; i < value.length; i++) {
    if (isControl(value.charCodeAt(i))) return report.error(path, 'has a control character', 'printable text');
  }
  const problem = formatProblem(value);
  if (problem !== undefined) report.error(path, problem, '%COMMAND%, or %% for a percent sign');
}

/** What is wrong with the percent signs of a value. */
export function formatProblem(value: string): string | undefined {
  let i = 0;
  while (i < value.length) {
    if (value[i] !== '%') {
      i++;
      continue;
    }
    if (value[i + 1] === '%') {
      i += 2;
      continue;
    }
    const end = commandEnd(value, i + 1);
    if (end === undefined) return `has a % that begins no command at character ${i + 1}`;
    i = end;
  }
  return undefined;
}

/** The index behind the closing percent sign. */
function commandEnd(value: string, start: number): number | undefined {
  const name = /[A-Z0-9_]+/y;
  name.lastIndex = start;
  if (!name.test(value)) return undefined;
  let at = name.lastIndex;
  if (value[at] === '(') {
    const close = value.indexOf(')', at);
    if (close < 0) return undefined;
    at = close + 1;
  }
  const length = /:\d+/y;
  length.lastIndex = at;
  if (length.test(value)) at = length.lastIndex;
  return value[at] === '%' ? at + 1 : undefined;
}
