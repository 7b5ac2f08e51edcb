// HTTPMatchRequest to RouteMatch.

import { constantTemplate, lasting, slot } from '../../codec/index.ts';
import type { HTTPMatchRequest, StringMatch } from '../../config/generated/types.ts';
import { compareStrings, sortedEntries, sortedKeys } from '../../lib/order.ts';
import type { Encoded, Messages } from '../../messages/index.ts';
import { JWT_METADATA_FILTER, routingClaim } from './claims.ts';
import { stringMatcher } from './string-match.ts';
import { TextPairs } from './text-pairs.ts';

export type RouteMatch = Messages['envoy.config.route.v3.RouteMatch'];
type HeaderMatcher = Messages['envoy.config.route.v3.HeaderMatcher'];
type QueryParameterMatcher = Messages['envoy.config.route.v3.QueryParameterMatcher'];
type MetadataMatcher = Messages['envoy.type.matcher.v3.MetadataMatcher'];

/** How `uri.prefix` reads: by characters, or by path elements as the Gateway API and Ingress want it. */
export type PrefixForm = 'characters' | 'elements';

/** Of every route that takes all requests. */
export const ANY_PATH: RouteMatch = lasting({ prefix: '/' });

/** Undefined where the path can not be expressed: an empty regular expression. */
export function routeMatch(match: HTTPMatchRequest | undefined, prefixes: PrefixForm): RouteMatch | undefined {
  if (match === undefined) return ANY_PATH;
  const path = pathMatch(match.uri, prefixes);
  if (path === undefined) return undefined;
  const headed = match.headers !== undefined || match.withoutHeaders !== undefined;
  const selected = headed || match.method !== undefined || match.authority !== undefined || match.scheme !== undefined;
  // Written out field by field: routes are made by the thousand, and spreading objects is what costs most.
  return {
    prefix: path.prefix,
    path: path.path,
    caseSensitive: match.ignoreUriCase !== true,
    headers: selected ? filled(headerMatchers(match)) : undefined,
    queryParameters: match.queryParams === undefined ? undefined : filled(queryMatchers(match.queryParams)),
    safeRegex: path.safeRegex,
    dynamicMetadata: headed ? filled(claimMatchers(match)) : undefined,
    pathSeparatedPrefix: path.pathSeparatedPrefix,
  };
}

function filled<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function pathMatch(uri: StringMatch | undefined, prefixes: PrefixForm): RouteMatch | undefined {
  if (uri?.exact !== undefined) return { path: uri.exact };
  if (uri?.regex !== undefined) return uri.regex === '' ? undefined : { safeRegex: { regex: uri.regex } };
  if (uri?.prefix === undefined) return ANY_PATH;
  if (prefixes === 'characters' || uri.prefix === '/') return { prefix: uri.prefix };
  const elements = uri.prefix.replace(/\/$/, '');
  return elements === '' ? ANY_PATH : { pathSeparatedPrefix: elements };
}

type Matchers = (HeaderMatcher | Encoded)[];

function headerMatchers(match: HTTPMatchRequest): Matchers {
  const matchers: Matchers = match.withoutHeaders === undefined ? [] : mixedMatchers(match);
  if (match.withoutHeaders === undefined && match.headers !== undefined) {
    for (const name of sortedKeys(match.headers))
      if (routingClaim(name) === undefined) matchers.push(headerMatcher(name, match.headers[name]));
  }
  if (match.method !== undefined) matchers.push(headerMatcher(':method', match.method));
  if (match.authority !== undefined) matchers.push(headerMatcher(':authority', match.authority));
  if (match.scheme !== undefined) matchers.push(headerMatcher(':scheme', match.scheme));
  return matchers;
}

/** Headers that have to be there and those that must not be, in the order of their names. */
function mixedMatchers(match: HTTPMatchRequest): HeaderMatcher[] {
  const matchers: HeaderMatcher[] = [];
  addMatchers(matchers, match.headers, false);
  addMatchers(matchers, match.withoutHeaders, true);
  return matchers.sort((a, b) => compareStrings(a.name ?? '', b.name ?? ''));
}

function addMatchers(matchers: HeaderMatcher[], values: HTTPMatchRequest['headers'], absent: boolean): void {
  if (values === undefined) return;
  for (const name of sortedKeys(values)) {
    if (routingClaim(name) === undefined) matchers.push(composedMatcher(name, values[name], absent));
  }
}

/** What most rules match by are two texts, which are filled in. */
function headerMatcher(name: string, value: StringMatch | undefined): HeaderMatcher | Encoded {
  if (name === '') return composedMatcher(name, value, false);
  if (value?.exact !== undefined && value.exact !== '') return EXACT.of(name, value.exact);
  if (value?.exact === undefined && value?.prefix) return PREFIX.of(name, value.prefix);
  return composedMatcher(name, value, false);
}

const EXACT = matchersBy({ exact: slot(1) });
const PREFIX = matchersBy({ prefix: slot(1) });

function matchersBy(value: StringMatch): TextPairs {
  const message = (): HeaderMatcher => composedMatcher(slot(0), value, false);
  return new TextPairs(constantTemplate('envoy.config.route.v3.HeaderMatcher', message));
}

function composedMatcher(name: string, value: StringMatch | undefined, absent: boolean): HeaderMatcher {
  const matcher = stringMatcher(value);
  const what = matcher === undefined ? { presentMatch: true } : { stringMatch: matcher };
  if (!absent) return { name, ...what };
  // A request without the header must pass; a presence match says that by itself and excludes the other field.
  return { name, ...what, invertMatch: true, treatMissingHeaderAsEmpty: matcher === undefined ? undefined : true };
}

function queryMatchers(params: NonNullable<HTTPMatchRequest['queryParams']>): QueryParameterMatcher[] {
  return sortedEntries(params).map(([name, value]) => queryMatcher(name, value));
}

function queryMatcher(name: string, value: StringMatch | undefined): QueryParameterMatcher {
  const matcher = stringMatcher(value);
  return matcher === undefined ? { name, presentMatch: true } : { name, stringMatch: matcher };
}

function claimMatchers(match: HTTPMatchRequest): readonly MetadataMatcher[] {
  if (!namesClaims(match.headers) && !namesClaims(match.withoutHeaders)) return NO_CLAIMS;
  return [
    ...sortedEntries(match.headers).flatMap(([name, value]) => claimMatcher(name, value, false)),
    ...sortedEntries(match.withoutHeaders).flatMap(([name, value]) => claimMatcher(name, value, true)),
  ];
}

const NO_CLAIMS: readonly MetadataMatcher[] = [];

function namesClaims(headers: HTTPMatchRequest['headers']): boolean {
  for (const name in headers) if (routingClaim(name) !== undefined) return true;
  return false;
}

function claimMatcher(name: string, value: StringMatch | undefined, absent: boolean): MetadataMatcher[] {
  const claims = routingClaim(name);
  if (claims === undefined) return [];
  const matcher = stringMatcher(value);
  // A claim is a text or a list of texts.
  const text = matcher === undefined ? { presentMatch: true } : { stringMatch: matcher };
  const matched = matcher === undefined ? text : { orMatch: { valueMatchers: [{ listMatch: { oneOf: text } }, text] } };
  return [
    {
      filter: JWT_METADATA_FILTER,
      path: ['payload', ...claims].map((key) => ({ key })),
      value: matched,
      invert: absent ? true : undefined,
    },
  ];
}

/** True when the match takes every request: routes after it can never be reached. */
export function isCatchAll(match: RouteMatch): boolean {
  if (match.headers !== undefined || match.queryParameters !== undefined || match.dynamicMetadata !== undefined) {
    return false;
  }
  if (match.prefix !== undefined) return match.prefix === '/';
  const regex = match.safeRegex;
  return regex !== undefined && 'regex' in regex && regex.regex === '.*';
}
