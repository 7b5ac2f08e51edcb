// String values of authorization rules as Envoy matchers: exact, `prefix*`, `*suffix`, and `*` for anything that is there.

import type { Messages } from '../../messages/index.ts';
import { escapeRegex } from '../envoy.ts';

type StringMatcher = Messages['envoy.type.matcher.v3.StringMatcher'];
type HeaderMatcher = Messages['envoy.config.route.v3.HeaderMatcher'];
type MetadataMatcher = Messages['envoy.type.matcher.v3.MetadataMatcher'];
type ValueMatcher = Messages['envoy.type.matcher.v3.ValueMatcher'];

export function regexMatcher(regex: string): StringMatcher {
  return { safeRegex: { regex } };
}

/** Envoy refuses an empty prefix or suffix, so `*` needs a form of its own. */
export function stringMatcher(value: string, ignoreCase?: true): StringMatcher {
  if (value === '*') return regexMatcher('.+');
  if (value.startsWith('*')) return { suffix: value.slice(1), ignoreCase };
  if (value.endsWith('*')) return { prefix: value.slice(0, -1), ignoreCase };
  return { exact: value, ignoreCase };
}

export const SPIFFE_SCHEME = 'spiffe://';

/** A principal without its scheme: a suffix can't be one of Envoy's any more once the scheme stands before it. */
export function principalMatcher(value: string): StringMatcher {
  if (value === '*') return regexMatcher('.+');
  if (value.startsWith('*')) return regexMatcher(`${SPIFFE_SCHEME}.*${escapeRegex(value.slice(1))}`);
  if (value.endsWith('*')) return { prefix: SPIFFE_SCHEME + value.slice(0, -1) };
  return { exact: SPIFFE_SCHEME + value };
}

export function headerMatcher(name: string, value: string, ignoreCase?: true): HeaderMatcher {
  if (value === '*') return { name, presentMatch: true };
  return { name, stringMatch: stringMatcher(value, ignoreCase) };
}

/** Where jwt_authn leaves the claims of a verified token. */
export const JWT_FILTER = 'envoy.filters.http.jwt_authn';
export const JWT_PAYLOAD = 'payload';

export function claimMatcher(path: readonly string[], value: ValueMatcher): MetadataMatcher {
  return { filter: JWT_FILTER, path: [JWT_PAYLOAD, ...path].map((key) => ({ key })), value };
}

/** A claim that is one of the values, or a list that holds one of them. */
export function claimValues(values: readonly string[]): ValueMatcher {
  const matchers = values.map((value) => ({ stringMatch: stringMatcher(value) }));
  const [only] = matchers;
  const any: ValueMatcher =
    matchers.length === 1 && only !== undefined ? only : { orMatch: { valueMatchers: matchers } };
  return { orMatch: { valueMatchers: [{ listMatch: { oneOf: any } }, any] } };
}
