// RequestAuthentication as the jwt_authn filter.
// In: the policies that select the workload, with the key sets fetched so far in their rules. Out: the filter, or nothing without rules.

import type { LinkedJwtRule, RequestAuthentication } from '../../ir/policy.ts';
import { protoDuration } from '../../lib/duration.ts';
import { compareStrings } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { extension } from '../envoy.ts';
import { usableKeys } from './jwks.ts';
import { JWT_FILTER, JWT_PAYLOAD } from './matchers.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type JwtProvider = Messages['envoy.extensions.filters.http.jwt_authn.v3.JwtProvider'];
type JwtRequirement = Messages['envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement'];

export interface JwtInputs {
  readonly policies: readonly RequestAuthentication[];
  /** Gateways choose routes by claims, so the route is looked up again once they are known. */
  readonly clearRouteCache: boolean;
}

/**
 * Until the real keys were fetched, or while there are none, no token is good. Envoy refuses a set without keys, so this one holds a P-256 key that
 * nobody can sign for: its x is the SHA-256 of UNKNOWN_KEY_SEED, its y the even one of the two that go with it.
 */
export const UNKNOWN_KEY_SEED = 'meltemi: no private key exists 1';
export const UNKNOWN_KEYS = JSON.stringify({
  keys: [
    {
      kty: 'EC',
      crv: 'P-256',
      alg: 'ES256',
      kid: 'not-fetched',
      x: 'uRuxZz_U7VeI2Obdp354UnXGJs8x5r5LEDYHWqpjgCE',
      y: 'qBgonz2Ex-hLSTqrRQBLH92794IdX9pOB0nyaL3Mw9o',
    },
  ],
});

/** Claims that hold several values in one text. */
const SPACE_DELIMITED: readonly string[] = ['permission', 'scope'];

export function jwtFilter({ policies, clearRouteCache }: JwtInputs): readonly HttpFilter[] {
  const rules = policies
    .flatMap(({ spec }) => spec.jwtRules ?? [])
    .map((rule, index) => ({ rule, index }))
    .sort((a, b) => compareStrings(a.rule.issuer ?? '', b.rule.issuer ?? '') || a.index - b.index)
    .map(({ rule }) => rule);
  if (rules.length === 0) return [];
  const names = rules.map((_, index) => `origins-${index}`);
  const providers = rules.map((rule, index) => [names[index] ?? '', provider(rule, clearRouteCache)] as const);
  return [
    extension(JWT_FILTER, 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
      providers: Object.fromEntries(providers),
      rules: [{ match: { prefix: '/' }, requires: requirement(names) }],
      bypassCorsPreflight: true,
    }),
  ];
}

function provider(rule: LinkedJwtRule, clearRouteCache: boolean): JwtProvider {
  const headers = (rule.fromHeaders ?? []).map(({ name, prefix }) => ({ name, valuePrefix: prefix }));
  const claims = (rule.outputClaimToHeaders ?? []).map(({ header, claim }) => ({
    headerName: header,
    claimName: claim,
  }));
  const spaced = [...new Set([...SPACE_DELIMITED, ...(rule.spaceDelimitedClaims ?? [])])].sort(compareStrings);
  return {
    issuer: rule.issuer,
    audiences: orUndefined(rule.audiences),
    ...keySource(rule),
    forward: rule.forwardOriginalToken === true ? true : undefined,
    forwardPayloadHeader: rule.outputPayloadToHeader,
    fromHeaders: orUndefined(headers),
    fromParams: orUndefined(rule.fromParams),
    fromCookies: orUndefined(rule.fromCookies),
    claimToHeaders: orUndefined(claims),
    payloadInMetadata: JWT_PAYLOAD,
    normalizePayloadInMetadata: { spaceDelimitedClaims: spaced },
    clearRouteCache: clearRouteCache ? true : undefined,
  };
}

/** How long Envoy keeps what it fetched by itself. */
const REMOTE_CACHE = '300s';
const FETCH_TIMEOUT = '5s';

function keySource({ remote, jwks, timeout }: LinkedJwtRule): Pick<JwtProvider, 'localJwks' | 'remoteJwks'> {
  if (remote === undefined) {
    const document = (jwks === undefined ? undefined : usableKeys(jwks)) ?? UNKNOWN_KEYS;
    return { localJwks: { inlineString: document } };
  }
  const cluster = outboundClusterName(remote.port, '', remote.hostname);
  const httpUri = { uri: remote.uri, cluster, timeout: protoDuration(timeout) ?? FETCH_TIMEOUT };
  return { remoteJwks: { httpUri, cacheDuration: REMOTE_CACHE } };
}

/** A token that is there has to be good; none is as good as one. */
function requirement(names: readonly string[]): JwtRequirement {
  const orMissing = (name: string): JwtRequirement => ({
    requiresAny: { requirements: [{ providerName: name }, { allowMissing: {} }] },
  });
  const [first] = names;
  if (names.length === 1 && first !== undefined) return orMissing(first);
  const any: readonly JwtRequirement[] = names.map((providerName) => ({ providerName }));
  return { requiresAny: { requirements: [...any, { requiresAll: { requirements: names.map(orMissing) } }] } };
}

function orUndefined<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}
