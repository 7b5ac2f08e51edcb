// Rules and matches of a VirtualService that can never apply, since earlier ones take all that they would match.

import { deepEqual } from '../../lib/equal.ts';
import type { HTTPMatchRequest, HTTPRoute, VirtualServiceSpec } from '../generated/types.ts';
import type { Report } from './report.ts';

export function checkReachable(report: Report, spec: VirtualServiceSpec): void {
  checkHttp(report, spec.http ?? []);
  checkPlain(report, 'spec.tls', spec.tls ?? []);
  checkPlain(report, 'spec.tcp', spec.tcp ?? []);
}

interface Seen {
  readonly rule: number;
  readonly match: HTTPMatchRequest;
}

function checkHttp(report: Report, routes: readonly HTTPRoute[]): void {
  const seen: Seen[] = [];
  let catchAll: number | undefined;
  for (const [rule, route] of routes.entries()) {
    const path = `spec.http[${rule}]`;
    const matches = route.match ?? [];
    if (catchAll !== undefined) {
      report.warn(path, `is never reached: rule ${catchAll} takes all requests`, 'the catch-all rule last', 'IST0130');
      continue;
    }
    if (matches.length === 0) catchAll = rule;
    let useless = 0;
    for (const [index, match] of matches.entries()) {
      const cover = seen.find((earlier) => covers(earlier.match, match));
      if (cover === undefined) seen.push({ rule, match });
      else {
        useless++;
        report.info(
          `${path}.match[${index}]`,
          `never applies: rule ${cover.rule} has taken these requests`,
          undefined,
          'IST0131',
        );
      }
    }
    if (matches.length > 0 && useless === matches.length) {
      report.warn(path, 'is never reached: earlier rules take all that it matches', undefined, 'IST0130');
    }
  }
}

/** True when every request of `later` also fits `earlier`, as far as one can tell without reading regular expressions. */
function covers(earlier: HTTPMatchRequest, later: HTTPMatchRequest): boolean {
  const { uri: wide, name: _a, statPrefix: _b, ...rest } = earlier;
  const { uri: narrow, name: _c, statPrefix: _d, ...restLater } = later;
  if (!deepEqual(rest, restLater)) return false;
  if (deepEqual(wide, narrow)) return true;
  if (wide?.prefix === undefined) return wide === undefined;
  const text = narrow?.exact ?? narrow?.prefix;
  return text !== undefined && text.startsWith(wide.prefix);
}

/** TLS and TCP rules: only literal repetitions are found. */
function checkPlain(
  report: Report,
  path: string,
  routes: readonly { readonly match?: readonly object[] | undefined }[],
): void {
  const seen: { readonly rule: number; readonly match: object }[] = [];
  let catchAll: number | undefined;
  for (const [rule, route] of routes.entries()) {
    const matches = route.match ?? [];
    if (catchAll !== undefined) {
      report.warn(
        `${path}[${rule}]`,
        `is never reached: rule ${catchAll} takes all connections`,
        'the catch-all rule last',
        'IST0130',
      );
      continue;
    }
    if (matches.length === 0) catchAll = rule;
    for (const [index, match] of matches.entries()) {
      const cover = seen.find((earlier) => deepEqual(earlier.match, match));
      if (cover === undefined) seen.push({ rule, match });
      else
        report.info(`${path}[${rule}].match[${index}]`, `repeats a match of rule ${cover.rule}`, undefined, 'IST0131');
    }
  }
}
