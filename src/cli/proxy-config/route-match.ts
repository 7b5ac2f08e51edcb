import { textAt } from './json.ts';

/** The path condition of an envoy.config.route.v3.RouteMatch. */
export function matchText(match: unknown): string {
  const prefix = textAt(match, 'prefix');
  const separated = textAt(match, 'pathSeparatedPrefix');
  const path = textAt(match, 'path');
  const regex = textAt(match, 'safeRegex', 'regex');
  return [
    prefix === '' ? '' : `${prefix}*`,
    separated === '' ? '' : `PathPrefix:${separated}`,
    path,
    regex === '' ? '' : `regex ${regex}`,
  ]
    .filter((condition) => condition !== '')
    .join(' ');
}
