// Routes of which texts are filled in are, byte for byte, those that are put together.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HTTPRoute } from '../../../src/config/generated/types.ts';
import { outboundRoutes } from '../../../src/translate/routes/index.ts';
import { virtualService } from '../../support/builders.ts';
import { draftNamed, proxyClass, type Route, routesOf, services, world } from './support.ts';

const text = fc.constantFrom('/', '/a', '/a/longer-one', 'ü', 'x'.repeat(300), '');
const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const without = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;

const retries = fc
  .record({
    attempts: fc.constantFrom(0, 1, 3, 1.5, -1),
    perTryTimeout: some(fc.constantFrom('1s', '20ms')),
    retryOn: some(fc.constantFrom('5xx', '503,reset')),
    retryIgnorePreviousHosts: some(fc.boolean()),
    retryRemoteLocalities: some(fc.boolean()),
    backoff: some(fc.constant('1s')),
  })
  .map(without);
const value = fc.oneof(
  text.map((exact) => ({ exact })),
  text.map((prefix) => ({ prefix })),
  fc.constantFrom('a.*', '', '*').map((regex) => ({ regex })),
  fc.constant({}),
);
const named = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> =>
  fc.dictionary(fc.constantFrom('x-a', 'x-b', 'Host', ':authority', '@request.auth.claims.sub', 'ü'), values, {
    maxKeys: 3,
  });
const operations = fc.record({ set: some(named(text)), add: some(named(text)) }).map(without);
const match = fc
  .record({
    uri: some(
      fc.oneof(
        text.map((prefix) => ({ prefix })),
        text.map((exact) => ({ exact })),
      ),
    ),
    headers: some(named(value)),
    method: some(value),
    authority: some(value),
    scheme: some(value),
  })
  .map(without);
const rule = fc
  .record({
    match: some(fc.array(match, { minLength: 1, maxLength: 2 })),
    timeout: some(fc.constantFrom('0s', '3s', '90m')),
    retries: some(retries),
    rewrite: some(fc.record({ uri: some(text), authority: some(text) }).map(without)),
    headers: some(fc.record({ request: some(operations), response: some(operations) }).map(without)),
    to: fc.constantFrom('web', 'other', 'nowhere'),
    own: some(operations),
  })
  .map(({ to, own, ...rest }) => ({
    ...without(rest),
    route: [{ destination: { host: to }, ...(own === undefined ? {} : { headers: { request: own } }) }],
  }));

function rendered(rules: readonly HTTPRoute[], dialect: 'classic' | 'latest', forwardedHost: boolean): unknown {
  const mesh = world([
    ...services(['http:80'], 'web', 'other'),
    virtualService('vs', { hosts: ['web'], http: [...rules] }),
  ]);
  const settings = forwardedHost ? { proxyConfig: { proxyHeaders: { xForwardedHost: { enabled: true } } } } : {};
  const { drafts } = outboundRoutes(mesh.scope(proxyClass({ dialect, settings })), undefined);
  return draftNamed(drafts, '80')?.bytes;
}

/** The same rule, in a form in which nothing is filled in: no mirrors, no headers that must be absent. */
function composed(each: HTTPRoute): HTTPRoute {
  const matches = each.match?.map((one) => ({ ...one, ...(one.headers === undefined ? {} : { withoutHeaders: {} }) }));
  return { ...each, ...(matches === undefined ? {} : { match: matches }), mirrors: [] };
}

describe('routes of which texts are filled in', () => {
  it('are those that are put together', () => {
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('classic' as const, 'latest' as const),
        fc.boolean(),
        (rules, dialect, forwardedHost) => {
          const filled = rendered(rules, dialect, forwardedHost);
          expect(filled).toBeDefined();
          expect(filled).toEqual(rendered(rules.map(composed), dialect, forwardedHost));
        },
      ),
      { numRuns: 400 },
    );
  }, 60_000);

  it('have the headers that are written, in the order of their names', () => {
    const edits = fc.record({ set: named(text), add: named(text) });
    fc.assert(
      fc.property(fc.array(edits, { minLength: 2, maxLength: 4 }), (list) => {
        const rules = list.map((request, i) => ({
          match: [{ uri: { exact: `/${i}` } }],
          headers: { request },
          route: [{ destination: { host: 'web' } }],
        }));
        const mesh = world([...services(['http:80'], 'web'), virtualService('vs', { hosts: ['web'], http: rules })]);
        const { drafts } = outboundRoutes(mesh.scope(proxyClass()), undefined);
        const routes = routesOf(draftNamed(drafts, '80'), 'web.default.svc.cluster.local:80');
        expect(routes.map(headersOf)).toEqual(
          list.map(({ set, add }) => [...written(set, 'OVERWRITE_IF_EXISTS_OR_ADD'), ...written(add, undefined)]),
        );
      }),
    );
  });
});

function headersOf({ requestHeadersToAdd = [] }: Route): readonly unknown[] {
  return requestHeadersToAdd.map((each) => {
    const { header, appendAction } = each as { header: { key?: string; value?: string }; appendAction?: string };
    return [header.key, header.value ?? '', appendAction];
  });
}

function written(values: Readonly<Record<string, string>>, appendAction: string | undefined): readonly unknown[] {
  return Object.keys(values)
    .filter((key) => key !== 'Host' && key !== ':authority')
    .sort()
    .map((key) => [key, values[key], appendAction]);
}
