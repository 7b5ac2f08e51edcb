import { expect, it } from 'vitest';
import { keyedRules, NO_KEYS } from '../../src/snapshot/jwks.ts';
import type { Service } from '../../src/ir/service.ts';
import { emptyTable, tableFrom, tableGet } from '../../src/lib/table.ts';
import { requestAuthentication } from '../support/builders.ts';

const object = requestAuthentication('r', {
  jwtRules: [{ issuer: 'a', jwksUri: 'https://keys.test/a' }, { issuer: 'https://b' }, { issuer: 'c', jwks: '{}' }],
});
const other = requestAuthentication('other', { jwtRules: [{ issuer: 'd', jwksUri: 'http://d.test:8080/d' }] });
const table = tableFrom([
  ['default/r', object],
  ['default/other', other],
]);
const services = tableFrom([['keys.test', [{ ports: [{ number: 443 }] } as unknown as Service]]]);

it('lays fetched keys into the rules that ask for them, and leaves other objects as they are', () => {
  const none = keyedRules(undefined, table, NO_KEYS, 'istiod', services);
  expect(tableGet(none.output, 'default/r')).toBe(object);
  const keys = new Map([
    ['https://keys.test/a', 'A'],
    ['https://b/.well-known/openid-configuration', 'B'],
  ]);
  const some = keyedRules(none, table, keys, 'istiod', services);
  expect(tableGet(some.output, 'default/r')?.spec.jwtRules?.map(({ jwks }) => jwks)).toEqual(['A', 'B', '{}']);
  expect(tableGet(some.output, 'default/other')).toBe(other);
  const more = keyedRules(some, table, new Map([...keys, ['https://unasked', 'X']]), 'istiod', emptyTable());
  expect(tableGet(more.output, 'default/r')).toBe(tableGet(some.output, 'default/r'));
});

it('leaves fetching to the proxies as far as the mode says', () => {
  const remotes = (mode: 'hybrid' | 'envoy') => {
    const { output } = keyedRules(undefined, table, NO_KEYS, mode, services);
    return ['default/r', 'default/other'].flatMap((key) =>
      tableGet(output, key)?.spec.jwtRules?.map(({ remote }) => remote),
    );
  };
  const known = { uri: 'https://keys.test/a', hostname: 'keys.test', port: 443 };
  const unknown = { uri: 'http://d.test:8080/d', hostname: 'd.test', port: 8080 };
  expect(remotes('hybrid')).toEqual([known, undefined, undefined, undefined]);
  expect(remotes('envoy')).toEqual([known, undefined, undefined, unknown]);
});
