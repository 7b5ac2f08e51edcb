// The operation name that spans get from a route.

import type { RouteMatch } from './match.ts';

const OUTBOUND = 'outbound|';

/** Whether operations are named by the service that a cluster leads to. */
export function isServiceCluster(cluster: string): boolean {
  return cluster.startsWith(OUTBOUND) && cluster.length > cluster.lastIndexOf('|') + 1;
}

/** `HOST:PORT` of the only destination, or `NAME:PORT` of the VirtualService where there are several. The path follows. */
export function operationBase(cluster: string | undefined, owner: string, port: number): string {
  if (cluster === undefined || !isServiceCluster(cluster)) return `${owner}:${port}`;
  const number = cluster.slice(OUTBOUND.length, cluster.indexOf('|', OUTBOUND.length));
  return `${cluster.slice(cluster.lastIndexOf('|') + 1)}:${number}`;
}

/** The path that a route takes, as operations show it. */
export function matchedPath(match: RouteMatch): string {
  if (match.path !== undefined) return match.path;
  if (match.prefix !== undefined) return `${match.prefix}*`;
  const regex = match.safeRegex;
  return regex !== undefined && 'regex' in regex ? (regex.regex ?? '') : '/*';
}

/** `HOST:PORT/*`: a route without a match of its own. */
export function serviceOperation(host: string, port: number | string): string {
  return `${host}:${port}/*`;
}
