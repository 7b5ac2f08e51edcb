// Header operations of routes and destinations.

import type { Headers } from '../generated/types.ts';
import { member } from './common.ts';
import { checkHeaderValue } from './header-value.ts';
import type { Report } from './report.ts';

function isInternal(name: string): boolean {
  return name.startsWith(':') || name.toLowerCase() === 'host';
}

/** Its change becomes a host rewrite. */
export function isAuthority(name: string): boolean {
  return name.toLowerCase() === ':authority' || name.toLowerCase() === 'host';
}

export function checkHeaders(report: Report, path: string, headers: Headers | undefined): void {
  for (const side of ['request', 'response'] as const) {
    for (const operation of ['set', 'add'] as const) {
      for (const [name, value] of Object.entries(headers?.[side]?.[operation] ?? {})) {
        const at = member(`${path}.${side}.${operation}`, name);
        checkChangedHeader(report, at, name, side === 'request');
        checkHeaderValue(report, at, value);
      }
    }
    for (const [index, name] of (headers?.[side]?.remove ?? []).entries()) {
      checkChangedHeader(report, `${path}.${side}.remove[${index}]`, name, false);
    }
  }
}

/** Envoy refuses changes of pseudo headers; on requests the authority becomes a host rewrite. */
function checkChangedHeader(report: Report, path: string, name: string, authorityAllowed: boolean): void {
  if (name === '') report.error(path, 'has an empty header name', 'a header name');
  else if (isInternal(name) && !(authorityAllowed && isAuthority(name))) {
    report.error(
      path,
      `${JSON.stringify(name)} can not be changed here`,
      'a header that is neither Host nor begins with ":"',
    );
  }
}
