import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareSpecificity,
  hostIndex,
  hostIntersection,
  hostMatches,
  hostSubsetOf,
  resolveShortName,
} from '../../src/lib/hosts.ts';

const HOST = fc
  .tuple(fc.boolean(), fc.array(fc.constantFrom('a', 'b', '.'), { minLength: 0, maxLength: 5 }))
  .map(([wild, parts]) => (wild ? '*' : '') + parts.join(''))
  .filter((host) => host !== '');

describe('hostMatches', () => {
  it.each([
    ['*', 'a.example.com', true],
    ['*.example.com', 'a.example.com', true],
    ['*.example.com', 'b.a.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*example.com', 'example.com', true],
    ['a.example.com', 'a.example.com', true],
    ['a.example.com', 'b.example.com', false],
    ['*.example.com', '*.a.example.com', true],
    ['*.a.example.com', '*.example.com', false],
    ['a.example.com', '*.example.com', false],
    ['a*.com', 'ab.com', false],
    ['*', '*', true],
  ])('%s covers %s: %s', (pattern, host, expected) => {
    expect(hostMatches(pattern, host)).toBe(expected);
    expect(hostSubsetOf(host, pattern)).toBe(expected);
  });
});

describe('hostIntersection', () => {
  it.each([
    ['*.example.com', 'a.example.com', 'a.example.com'],
    ['*', '*.com', '*.com'],
    ['*.a.com', '*.b.com', undefined],
    ['x.com', 'y.com', undefined],
  ])('%s and %s give %s', (a, b, expected) => {
    expect(hostIntersection(a, b)).toBe(expected);
    expect(hostIntersection(b, a)).toBe(expected);
  });
});

describe('compareSpecificity', () => {
  it('puts names before wildcards, longer before shorter, then by code unit', () => {
    const hosts = ['*', '*.com', 'b.com', 'a.com', '*.a.com', 'long.a.com', '*.b.com'];
    expect(hosts.sort(compareSpecificity)).toEqual([
      'long.a.com',
      'a.com',
      'b.com',
      '*.a.com',
      '*.b.com',
      '*.com',
      '*',
    ]);
  });

  it('is a total order', () => {
    fc.assert(
      fc.property(HOST, HOST, HOST, (a, b, c) => {
        expect(Math.sign(compareSpecificity(a, b)) + Math.sign(compareSpecificity(b, a))).toBe(0);
        if (compareSpecificity(a, b) === 0) expect(a).toBe(b);
        if (compareSpecificity(a, b) < 0 && compareSpecificity(b, c) < 0) {
          expect(compareSpecificity(a, c)).toBeLessThan(0);
        }
      }),
    );
  });
});

describe('resolveShortName', () => {
  it.each([
    ['reviews', 'reviews.shop.svc.cluster.local'],
    ['reviews.other', 'reviews.other'],
    ['2001:db8::1', '2001:db8::1'],
    ['*', '*'],
    ['', ''],
  ])('%s becomes %s', (name, expected) => {
    expect(resolveShortName(name, 'shop', 'cluster.local')).toBe(expected);
  });
});

describe('hostIndex', () => {
  const index = hostIndex([
    ['*.com', 1],
    ['*.a.com', 2],
    ['x.a.com', 3],
    ['x.a.com', 4],
    ['*.a.com', 5],
    ['*', 6],
  ]);

  it.each([
    ['x.a.com', 3],
    ['y.a.com', 2],
    ['y.b.com', 1],
    ['*.a.com', 2],
    ['*.b.a.com', 2],
    ['*.org', 6],
    ['com', 6],
    ['*', 6],
  ])('looks up %s', (host, expected) => {
    expect(index.lookup(host)).toBe(expected);
  });

  it('lists all that cover a host and all within a wildcard', () => {
    expect(index.all('x.a.com')).toEqual([3, 4, 2, 5, 1, 6]);
    expect(index.within('*.a.com')).toEqual([2, 3, 4, 5]);
    expect(index.within('x.a.com')).toEqual([3, 4]);
    expect(hostIndex<number>([]).lookup('a')).toBeUndefined();
  });

  it('agrees with a scan', () => {
    fc.assert(
      fc.property(fc.array(HOST, { maxLength: 12 }), HOST, (hosts, host) => {
        const entries = hosts.map((h, i) => [h, i] as const);
        const covering = entries.filter(([h]) => hostMatches(h, host));
        covering.sort((a, b) => compareSpecificity(a[0], b[0]) || a[1] - b[1]);
        expect(hostIndex(entries).all(host)).toEqual(covering.map((e) => e[1]));
        expect(hostIndex(entries).lookup(host)).toBe(covering[0]?.[1]);
      }),
      { numRuns: 500 },
    );
  });
});
