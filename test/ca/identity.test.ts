import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIdentity, parseIdentity } from '../../src/ca/identity.ts';

describe('identities', () => {
  it('writes and reads the one form', () => {
    const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };
    expect(formatIdentity(identity)).toBe('spiffe://cluster.local/ns/shop/sa/web');
    expect(parseIdentity('spiffe://cluster.local/ns/shop/sa/web')).toEqual(identity);
    expect(formatIdentity({ ...identity, trustDomain: 'a@b.example' })).toBe('spiffe://a.b.example/ns/shop/sa/web');
  });

  it.each([
    'spiffe://cluster.local/ns/shop/sa',
    'spiffe://cluster.local/ns/shop/sa/web/more',
    'spiffe://cluster.local/ns/shop/sa/web/',
    'spiffe://cluster.local/namespace/shop/sa/web',
    'spiffe:///ns/shop/sa/web',
    'spiffe://cluster.local/ns//sa/web',
    'https://cluster.local/ns/shop/sa/web',
    '',
  ])('does not take %s for one', (uri) => {
    expect(parseIdentity(uri)).toBeUndefined();
  });

  it('reads back what it wrote', () => {
    const part = fc.stringMatching(/^[a-z0-9.-]+$/);
    fc.assert(
      fc.property(part, part, part, (trustDomain, namespace, serviceAccount) => {
        const identity = { trustDomain, namespace, serviceAccount };
        expect(parseIdentity(formatIdentity(identity))).toEqual(identity);
      }),
    );
  });
});
