// StringMatch of the Istio APIs in Envoy's terms, for headers, query parameters and origins.

import type { StringMatch } from '../../config/generated/types.ts';
import type { Messages } from '../../messages/index.ts';

type StringMatcher = Messages['envoy.type.matcher.v3.StringMatcher'];

/**
 * The matcher of a value, or undefined where any value does: no form given, the word `*` (no RE2 expression, but written
 * often), or the empty prefix, which Envoy refuses.
 */
export function stringMatcher(match: StringMatch | undefined): StringMatcher | undefined {
  if (match?.exact !== undefined) return { exact: match.exact };
  if (match?.prefix !== undefined) return match.prefix === '' ? undefined : { prefix: match.prefix };
  if (match?.regex === undefined || match.regex === '*') return undefined;
  // Envoy has no empty expression; under full match it stands for the empty text.
  return match.regex === '' ? { exact: '' } : { safeRegex: { regex: match.regex } };
}
