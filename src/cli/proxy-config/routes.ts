// `proxy-config route`.

import { compareNumbers } from '../../lib/order.ts';
import { type Dump, resourcesOf } from './dump.ts';
import { type Json, listAt, textAt, textsAt } from './json.ts';
import { managedBy } from './names.ts';
import { matchText } from './route-match.ts';

/** The route configurations of a dump, of that name only unless it is empty. Those named by ports come first. */
export function routes(dump: Dump, name: string): readonly Json[] {
  return resourcesOf(dump, 'RoutesConfigDump', [
    ['dynamicRouteConfigs', 'routeConfig'],
    ['staticRouteConfigs', 'routeConfig'],
  ])
    .filter((route) => name === '' || textAt(route, 'name') === name)
    .sort((a, b) => compareNumbers(rank(a), rank(b)));
}

function rank(route: Json): number {
  const name = textAt(route, 'name');
  return /^\d+$/.test(name) ? Number(name) : Number.MAX_SAFE_INTEGER;
}

/** One row for each route of each virtual host; without `verbose`, one for each configuration. */
export function routeTable(
  found: readonly Json[],
  how: { readonly prefix: boolean; readonly verbose: boolean },
): readonly (readonly string[])[] {
  const nameOf = (route: Json): string => (how.prefix ? 'route/' : '') + textAt(route, 'name');
  if (!how.verbose) {
    const rows = found.map((route) => [nameOf(route), `${listAt(route, 'virtualHosts').length}`]);
    return [['NAME', 'VIRTUAL HOSTS'], ...rows];
  }
  const rows = found.flatMap((route) =>
    listAt(route, 'virtualHosts').flatMap((host) => hostRows(host).map((cells) => [nameOf(route), ...cells])),
  );
  return [['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'VIRTUAL SERVICE'], ...rows];
}

function hostRows(host: Json): readonly (readonly string[])[] {
  const about = [textAt(host, 'name'), domainsText(textsAt(host, 'domains'))];
  const all = listAt(host, 'routes');
  if (all.length === 0) return [[...about, '/*', '404']];
  return all
    .filter((route) => textAt(route, 'route', 'cluster') !== 'PassthroughCluster')
    .map((route) => [...about, matchText(route['match']), managedBy(route)]);
}

const SHOWN_DOMAINS = 2;

/** The domains that say most: without ports, the short form of a host in place of its long one. */
export function domainsText(domains: readonly string[]): string {
  const [first = '', second] = domains;
  if (second === undefined) return first;
  const bare = domains.filter((domain) => !domain.includes(':') || domain.endsWith(']'));
  const shown = withoutLongForms(bare);
  const rest = shown.length - SHOWN_DOMAINS;
  const text = shown.slice(0, SHOWN_DOMAINS).join(', ');
  return rest > 0 ? `${text} + ${rest} more...` : text;
}

function withoutLongForms(domains: readonly string[]): readonly string[] {
  const known = new Set(domains);
  return domains.filter((domain) => {
    const shorter = ['.svc.cluster.local', '.svc'].filter((suffix) => domain.endsWith(suffix));
    return !shorter.some((suffix) => known.has(domain.slice(0, -suffix.length)));
  });
}
