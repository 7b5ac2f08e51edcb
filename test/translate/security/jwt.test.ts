import { createHash, createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { LinkedJwtRule } from '../../../src/ir/policy.ts';
import { jwksSource } from '../../../src/config/jwks-source.ts';
import { jwtFilter, UNKNOWN_KEY_SEED, UNKNOWN_KEYS } from '../../../src/translate/security/jwt.ts';
import { requestAuthentication } from '../../support/builders.ts';

function made(rules: readonly LinkedJwtRule[], clearRouteCache = false) {
  const [filter] = jwtFilter({ policies: [requestAuthentication('r', { jwtRules: rules })], clearRouteCache });
  return filter?.typedConfig as unknown as {
    providers: Record<string, Record<string, unknown>>;
    rules: { requires: unknown }[];
  };
}

describe('requirements', () => {
  const orMissing = (name: string) => ({
    requiresAny: { requirements: [{ providerName: name }, { allowMissing: {} }] },
  });

  it('of one issuer admit a good token and none', () => {
    expect(made([{ issuer: 'a' }]).rules[0]?.requires).toEqual(orMissing('origins-0'));
  });

  it('of several admit a good token of any, and none', () => {
    expect(made([{ issuer: 'a' }, { issuer: 'b' }]).rules[0]?.requires).toEqual({
      requiresAny: {
        requirements: [
          { providerName: 'origins-0' },
          { providerName: 'origins-1' },
          { requiresAll: { requirements: [orMissing('origins-0'), orMissing('origins-1')] } },
        ],
      },
    });
  });

  it('are numbered by issuer', () => {
    const { providers } = made([{ issuer: 'b' }, { issuer: 'a' }]);
    expect([providers['origins-0']?.['issuer'], providers['origins-1']?.['issuer']]).toEqual(['a', 'b']);
  });
});

describe('keys', () => {
  const keySet = (kid: string): string => JSON.stringify({ keys: [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', kid }] });

  it('come from the rule, or are fetched by Envoy through a cluster of its own', () => {
    const remote = { uri: 'https://b:8443/keys', hostname: 'b', port: 8443 };
    const rules: readonly LinkedJwtRule[] = [
      { issuer: 'a', jwks: keySet('A') },
      { issuer: 'b', remote, timeout: '2s' },
    ];
    const { providers } = made(rules);
    expect(providers['origins-0']?.['localJwks']).toEqual({ inlineString: keySet('A') });
    expect(providers['origins-1']?.['localJwks']).toBeUndefined();
    expect(providers['origins-1']?.['remoteJwks']).toEqual({
      httpUri: { uri: 'https://b:8443/keys', cluster: 'outbound|8443||b', timeout: '2s' },
      cacheDuration: '300s',
    });
  });

  it.each([
    ['nonsense', 'no JSON'],
    ['[]', 'no object'],
    ['{"keys":[]}', 'an empty set'],
    ['{"keys":[{"kty":"EC","crv":"P-256","x":"AQAB"}]}', 'half a key'],
    ['{"keys":[{"kty":"unheard-of"}]}', 'a key of a type that Envoy lacks'],
  ])('that Envoy can not use are replaced: %s is %s', (jwks) => {
    const { providers } = made([{ issuer: 'a', jwks }]);
    expect(providers['origins-0']?.['localJwks']).toEqual({ inlineString: UNKNOWN_KEYS });
  });

  it('may be one key without a set', () => {
    const key = { kty: 'OKP', crv: 'Ed25519', x: 'AQAB' };
    const { providers } = made([{ issuer: 'a', jwks: JSON.stringify(key) }]);
    expect(providers['origins-0']?.['localJwks']).toEqual({ inlineString: JSON.stringify({ keys: [key] }) });
  });

  it('that were never fetched are replaced by one that nobody has', () => {
    const { providers } = made([{ issuer: 'a', jwksUri: 'https://a/keys' }]);
    expect(providers['origins-0']?.['localJwks']).toEqual({ inlineString: UNKNOWN_KEYS });
    const { keys } = JSON.parse(UNKNOWN_KEYS) as { keys: [{ kty: string; crv: string; x: string; y: string }] };
    const x = createHash('sha256').update(UNKNOWN_KEY_SEED).digest('base64url');
    expect(keys[0].x).toBe(x);
    // Throws for points that are not on the curve.
    expect(createPublicKey({ key: { ...keys[0] }, format: 'jwk' }).asymmetricKeyType).toBe('ec');
    expect((Buffer.from(keys[0].y, 'base64url').at(-1) ?? 1) % 2).toBe(0);
  });

  it('are named for whoever fetches them', () => {
    expect(jwksSource({ jwks: '{}' })).toEqual({ kind: 'inline', document: '{}' });
    expect(jwksSource({ issuer: 'https://i', jwksUri: 'https://k' })).toEqual({ kind: 'jwks', uri: 'https://k' });
    expect(jwksSource({ issuer: 'https://i' })).toEqual({
      kind: 'discovery',
      uri: 'https://i/.well-known/openid-configuration',
    });
  });
});

it('passes on every setting of a rule', () => {
  const { providers } = made(
    [
      {
        issuer: 'a',
        audiences: ['x'],
        fromHeaders: [{ name: 'x-jwt', prefix: 'Token ' }],
        fromParams: ['t'],
        fromCookies: ['c'],
        forwardOriginalToken: true,
        outputPayloadToHeader: 'x-payload',
        outputClaimToHeaders: [{ header: 'x-sub', claim: 'sub' }],
        spaceDelimitedClaims: ['roles', 'scope'],
      },
    ],
    true,
  );
  expect(providers['origins-0']).toMatchObject({
    audiences: ['x'],
    fromHeaders: [{ name: 'x-jwt', valuePrefix: 'Token ' }],
    fromParams: ['t'],
    fromCookies: ['c'],
    forward: true,
    forwardPayloadHeader: 'x-payload',
    claimToHeaders: [{ headerName: 'x-sub', claimName: 'sub' }],
    payloadInMetadata: 'payload',
    normalizePayloadInMetadata: { spaceDelimitedClaims: ['permission', 'roles', 'scope'] },
    clearRouteCache: true,
  });
});

it('is not there without rules', () => {
  expect(jwtFilter({ policies: [requestAuthentication('r', {})], clearRouteCache: false })).toEqual([]);
});
