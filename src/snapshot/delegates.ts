// Merging of a root VirtualService's route with the routes of the VirtualService to which it delegates.
// Settings of the delegate win where it has any; matches have to agree.

import type { HTTPMatchRequest, HTTPRoute, StringMatch } from '../config/generated/types.ts';

/**
 * The delegate's routes as they apply under one route of the root. A delegate route of which one match agrees with no
 * match of the root is left out as a whole.
 */
export function mergeDelegateRoutes(root: HTTPRoute, delegate: readonly HTTPRoute[]): readonly HTTPRoute[] {
  return delegate.flatMap((route) => {
    const match = mergeMatches(root.match ?? [], route.match ?? []);
    return match === undefined ? [] : [mergeRoute(root, route, match)];
  });
}

function mergeRoute(root: HTTPRoute, route: HTTPRoute, match: readonly HTTPMatchRequest[]): HTTPRoute {
  return {
    ...route,
    ...(match.length === 0 ? {} : { match }),
    name: joinNames(root.name, route.name),
    rewrite: route.rewrite ?? root.rewrite,
    directResponse: route.directResponse ?? root.directResponse,
    timeout: route.timeout ?? root.timeout,
    retries: route.retries ?? root.retries,
    fault: route.fault ?? root.fault,
    mirror: route.mirror ?? root.mirror,
    mirrorPercent: route.mirrorPercent ?? root.mirrorPercent,
    mirror_percent: route.mirror_percent ?? root.mirror_percent,
    mirrorPercentage: route.mirrorPercentage ?? root.mirrorPercentage,
    mirrors: route.mirrors ?? root.mirrors,
    corsPolicy: route.corsPolicy ?? root.corsPolicy,
    headers: route.headers ?? root.headers,
  };
}

function joinNames(root: string | undefined, child: string | undefined): string | undefined {
  if (child === undefined || child === '') return root;
  return root === undefined || root === '' ? child : `${root}-${child}`;
}

/** Undefined when the two can not be reconciled. */
function mergeMatches(
  root: readonly HTTPMatchRequest[],
  delegate: readonly HTTPMatchRequest[],
): readonly HTTPMatchRequest[] | undefined {
  if (root.length === 0) return delegate;
  if (delegate.length === 0) return root;
  const out: HTTPMatchRequest[] = [];
  for (const child of delegate) {
    const agreeing = root.filter((parent) => !conflicts(parent, child));
    if (agreeing.length === 0) return undefined;
    for (const parent of agreeing) out.push(mergeMatch(parent, child));
  }
  return out;
}

function mergeMatch(root: HTTPMatchRequest, child: HTTPMatchRequest): HTTPMatchRequest {
  return {
    ...child,
    name: joinNames(root.name, child.name),
    uri: child.uri ?? root.uri,
    scheme: child.scheme ?? root.scheme,
    method: child.method ?? root.method,
    authority: child.authority ?? root.authority,
    headers: mergeMaps(root.headers, child.headers),
    withoutHeaders: mergeMaps(root.withoutHeaders, child.withoutHeaders),
    queryParams: mergeMaps(root.queryParams, child.queryParams),
    port: given(child.port) ?? root.port,
    sourceLabels: mergeMaps(root.sourceLabels, child.sourceLabels),
    sourceNamespace: given(child.sourceNamespace) ?? root.sourceNamespace,
    gateways: child.gateways !== undefined && child.gateways.length > 0 ? child.gateways : root.gateways,
    statPrefix: given(child.statPrefix) ?? root.statPrefix,
  };
}

/** Zero values count as not given. */
function given<T extends string | number>(value: T | undefined): T | undefined {
  return value === '' || value === 0 ? undefined : value;
}

type StringMap<T> = { readonly [key: string]: T };

function mergeMaps<T>(root: StringMap<T> | undefined, child: StringMap<T> | undefined): StringMap<T> | undefined {
  if (root === undefined) return child;
  return child === undefined ? root : { ...root, ...child };
}

/** True when no request could be meant by both. */
function conflicts(root: HTTPMatchRequest, child: HTTPMatchRequest): boolean {
  return (
    stringConflict(root.uri, child.uri) ||
    stringConflict(root.scheme, child.scheme) ||
    stringConflict(root.method, child.method) ||
    stringConflict(root.authority, child.authority) ||
    mapConflict(root.headers, child.headers, stringConflict) ||
    mapConflict(root.withoutHeaders, child.withoutHeaders, stringConflict) ||
    mapConflict(root.queryParams, child.queryParams, stringConflict) ||
    (root.ignoreUriCase ?? false) !== (child.ignoreUriCase ?? false) ||
    differ(given(root.port), given(child.port)) ||
    (given(root.sourceNamespace) !== undefined && root.sourceNamespace !== child.sourceNamespace) ||
    mapConflict(root.sourceLabels, child.sourceLabels, differ) ||
    gatewayConflict(root.gateways ?? [], child.gateways ?? [])
  );
}

function differ<T>(root: T | undefined, child: T | undefined): boolean {
  return root !== undefined && child !== undefined && root !== child;
}

function mapConflict<T>(
  root: StringMap<T> | undefined,
  child: StringMap<T> | undefined,
  conflict: (a: T | undefined, b: T | undefined) => boolean,
): boolean {
  return Object.entries(child ?? {}).some(([key, value]) => conflict(root?.[key], value));
}

function gatewayConflict(root: readonly string[], child: readonly string[]): boolean {
  return root.length > 0 && child.some((name) => !root.includes(name));
}

/** Regular expressions can not be compared with anything; a prefix has to be kept, an exact value repeated. */
function stringConflict(root: StringMatch | undefined, child: StringMatch | undefined): boolean {
  if (root === undefined || child === undefined) return false;
  if (given(root.regex) !== undefined || given(child.regex) !== undefined) return hasValue(root) && hasValue(child);
  const exact = given(root.exact);
  if (exact !== undefined) return given(child.prefix) !== undefined || child.exact !== exact;
  const prefix = given(root.prefix);
  if (prefix === undefined) return true;
  const value = given(child.prefix) ?? given(child.exact);
  return value === undefined || !value.startsWith(prefix);
}

function hasValue(match: StringMatch): boolean {
  return given(match.regex) !== undefined || given(match.exact) !== undefined || given(match.prefix) !== undefined;
}
