import { describe, expect, it } from 'vitest';
import { decode, Encoded } from '../../../src/codec/index.ts';
import type { HTTPMatchRequest } from '../../../src/config/generated/types.ts';
import { isCatchAll, type PrefixForm, type RouteMatch, routeMatch } from '../../../src/translate/routes/match.ts';

/** Without fields that hold undefined, and with what is encoded already in words. */
function clean(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, each: unknown) =>
      each instanceof Encoded ? decode('envoy.config.route.v3.HeaderMatcher', each.bytes) : each,
    ),
  );
}

interface Case {
  readonly name: string;
  readonly match: HTTPMatchRequest | undefined;
  readonly prefixes?: PrefixForm;
  readonly want: unknown;
}

const CASES: readonly Case[] = [
  { name: 'no match', match: undefined, want: { prefix: '/' } },
  { name: 'empty match', match: {}, want: { prefix: '/', caseSensitive: true } },
  { name: 'exact path', match: { uri: { exact: '/a' } }, want: { path: '/a', caseSensitive: true } },
  { name: 'prefix', match: { uri: { prefix: '/a' } }, want: { prefix: '/a', caseSensitive: true } },
  {
    name: 'regex, any case',
    match: { uri: { regex: '/a.*' }, ignoreUriCase: true },
    want: { safeRegex: { regex: '/a.*' }, caseSensitive: false },
  },
  {
    name: 'prefix by elements loses its last slash',
    match: { uri: { prefix: '/a/' } },
    prefixes: 'elements',
    want: { pathSeparatedPrefix: '/a', caseSensitive: true },
  },
  {
    name: 'prefix / by elements is everything',
    match: { uri: { prefix: '/' } },
    prefixes: 'elements',
    want: { prefix: '/', caseSensitive: true },
  },
  {
    name: 'headers in order of names, pseudo headers last',
    match: {
      headers: { 'x-b': { exact: '1' }, 'x-a': { regex: '*' } },
      method: { exact: 'GET' },
      scheme: { prefix: 'h' },
    },
    want: {
      prefix: '/',
      caseSensitive: true,
      headers: [
        { name: 'x-a', presentMatch: true },
        { name: 'x-b', stringMatch: { exact: '1' } },
        { name: ':method', stringMatch: { exact: 'GET' } },
        { name: ':scheme', stringMatch: { prefix: 'h' } },
      ],
    },
  },
  {
    name: 'a header that must not be so: a request without it passes',
    match: { withoutHeaders: { 'x-a': { exact: '1' }, 'x-b': {} } },
    want: {
      prefix: '/',
      caseSensitive: true,
      headers: [
        { name: 'x-a', stringMatch: { exact: '1' }, invertMatch: true, treatMissingHeaderAsEmpty: true },
        { name: 'x-b', presentMatch: true, invertMatch: true },
      ],
    },
  },
  {
    name: 'query parameters',
    match: { queryParams: { b: { regex: '[0-9]+' }, a: {} } },
    want: {
      prefix: '/',
      caseSensitive: true,
      queryParameters: [
        { name: 'a', presentMatch: true },
        { name: 'b', stringMatch: { safeRegex: { regex: '[0-9]+' } } },
      ],
    },
  },
  {
    name: 'a claim is a text or a list of texts',
    match: { headers: { '@request.auth.claims[group][id]': { exact: 'x' } } },
    want: {
      prefix: '/',
      caseSensitive: true,
      dynamicMetadata: [
        {
          filter: 'envoy.filters.http.jwt_authn',
          path: [{ key: 'payload' }, { key: 'group' }, { key: 'id' }],
          value: {
            orMatch: {
              valueMatchers: [
                { listMatch: { oneOf: { stringMatch: { exact: 'x' } } } },
                { stringMatch: { exact: 'x' } },
              ],
            },
          },
        },
      ],
    },
  },
  {
    name: 'a claim that must not be so, by the dotted form',
    match: { withoutHeaders: { '@request.auth.claims.sub': { prefix: 'x' } } },
    want: {
      prefix: '/',
      caseSensitive: true,
      dynamicMetadata: [
        {
          filter: 'envoy.filters.http.jwt_authn',
          path: [{ key: 'payload' }, { key: 'sub' }],
          invert: true,
          value: {
            orMatch: {
              valueMatchers: [
                { listMatch: { oneOf: { stringMatch: { prefix: 'x' } } } },
                { stringMatch: { prefix: 'x' } },
              ],
            },
          },
        },
      ],
    },
  },
];

describe('routeMatch', () => {
  for (const { name, match, prefixes, want } of CASES) {
    it(name, () => expect(clean(routeMatch(match, prefixes ?? 'characters'))).toEqual(want));
  }

  it('can not express an empty regular expression', () => {
    expect(routeMatch({ uri: { regex: '' } }, 'characters')).toBeUndefined();
  });
});

describe('isCatchAll', () => {
  const cases: readonly (readonly [HTTPMatchRequest | undefined, boolean])[] = [
    [undefined, true],
    [{ uri: { prefix: '/' } }, true],
    [{ uri: { regex: '.*' } }, true],
    [{ uri: { regex: '/.*' } }, false],
    [{ uri: { prefix: '/a' } }, false],
    [{ headers: { a: {} } }, false],
    [{ queryParams: { a: {} } }, false],
    [{ headers: { '@request.auth.claims.a': { exact: 'x' } } }, false],
  ];
  for (const [match, want] of cases) {
    it(`${JSON.stringify(match)} ${want}`, () => {
      expect(isCatchAll(routeMatch(match, 'characters') as RouteMatch)).toBe(want);
    });
  }
});
