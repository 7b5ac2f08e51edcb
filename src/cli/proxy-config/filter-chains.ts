// What the filter chains of a listener match, and where they lead.

import { at, isJson, type Json, listAt, numberAt, textAt, textsAt } from './json.ts';
import { matchText } from './route-match.ts';

export const HTTP_FILTER = 'envoy.filters.network.http_connection_manager';
export const TCP_FILTER = 'envoy.filters.network.tcp_proxy';

/** All chains of a listener, the default one last. */
export function filterChains(listener: Json): readonly Json[] {
  const fallback = listener['defaultFilterChain'];
  return [...listAt(listener, 'filterChains'), ...(isJson(fallback) ? [fallback] : [])];
}

/** True for filters that lead nowhere. */
export function isBlackHole(filter: Json): boolean {
  return JSON.stringify(filter['typedConfig'] ?? '').includes('BlackHoleCluster');
}

/** Sets of application protocols that occur together, by what they stand for. */
const APPLICATIONS: Readonly<Record<string, string>> = {
  'http/1.0,http/1.1,h2c': 'HTTP',
  'istio,istio-http/1.0,istio-http/1.1,istio-h2': 'Istio HTTP Plain',
  'http/1.0,http/1.1,h2c,istio-http/1.0,istio-http/1.1,istio-h2': 'HTTP TLS',
  'istio-peer-exchange,istio': 'TCP TLS',
};

/** The conditions of an envoy.config.listener.v3.FilterChainMatch; `ALL` when there are none. */
export function matchOf(match: unknown): string {
  const names = textsAt(match, 'serverNames');
  const transport = textAt(match, 'transportProtocol');
  const applications = textsAt(match, 'applicationProtocols').join(',');
  const ranges = listAt(match, 'prefixRanges').map(
    (range) => `${textAt(range, 'addressPrefix')}/${numberAt(range, 'prefixLen')}`,
  );
  const port = at(match, 'destinationPort') === undefined ? '' : `:${numberAt(match, 'destinationPort')}`;
  const conditions = [
    names.length === 0 ? '' : `SNI: ${names.join(',')}`,
    transport === '' ? '' : `Trans: ${transport}`,
    applications === '' ? '' : `App: ${APPLICATIONS[applications] ?? applications}`,
    ranges.length > 0 || port !== '' ? `Addr: ${ranges.length === 0 ? '*' : ranges.join(',')}${port}` : '',
  ].filter((condition) => condition !== '');
  return conditions.length === 0 ? 'ALL' : conditions.join('; ');
}

/** Where a chain leads: a route configuration, a cluster, or routes of its own. */
export function destinationText(chain: Json): string {
  for (const filter of listAt(chain, 'filters')) {
    const name = textAt(filter, 'name');
    const config = filter['typedConfig'];
    if (name === HTTP_FILTER) return httpDestination(config);
    if (name === TCP_FILTER && !isBlackHole(filter)) return clusterText(textAt(config, 'cluster'));
  }
  return 'Non-HTTP/Non-TCP';
}

function httpDestination(config: unknown): string {
  const inline = at(config, 'routeConfig');
  if (inline !== undefined) return inlineText(inline);
  const name = textAt(config, 'rds', 'routeConfigName');
  return name === '' ? 'HTTP' : `Route: ${name}`;
}

/** Clusters such as PassthroughCluster speak for themselves. */
function clusterText(cluster: string): string {
  return cluster.includes('Cluster') ? cluster : `Cluster: ${cluster}`;
}

function inlineText(routeConfig: unknown): string {
  const only = catchAllCluster(routeConfig);
  if (only !== '') return clusterText(only);
  const hosts = listAt(routeConfig, 'virtualHosts').map((host) => {
    const domains = textsAt(host, 'domains').join('/');
    const matches = listAt(host, 'routes').map((route) => matchText(route['match']));
    return `${domains === '*' ? '' : `${domains} `}${matches.join(', ')}`;
  });
  return `Inline Route: ${hosts.join('; ')}`;
}

/** The one cluster to which a route configuration sends everything. */
function catchAllCluster(routeConfig: unknown): string {
  const [host, anotherHost] = listAt(routeConfig, 'virtualHosts');
  const [route, anotherRoute] = listAt(host, 'routes');
  const domains = textsAt(host, 'domains').join();
  if (anotherHost !== undefined || anotherRoute !== undefined || domains !== '*') return '';
  return textAt(route, 'match', 'prefix') === '/' ? textAt(route, 'route', 'cluster') : '';
}
