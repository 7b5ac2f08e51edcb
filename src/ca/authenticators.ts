// Who is calling: a chain of authenticators, the first that accepts decides.
// In: the credentials a peer showed; out: a Caller with its identities, or why not. Asked by authenticate.ts.

import { type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Clock } from '../lib/ports.ts';
import type { PeerCredentials } from './credentials.ts';
import { reasonOf } from './errors.ts';
import { formatIdentity, parseIdentity, parseServiceAccountSubject } from './identity.ts';
import { OID, readGeneralNames } from './names.ts';
import { extensionsOf } from './signer.ts';

export interface Caller {
  readonly identities: readonly string[];
  readonly source: 'client-certificate' | 'jwt' | 'kubernetes';
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The pod that the token was made for, where the cluster says so. */
  readonly pod?: string | undefined;
}

export type AuthOutcome =
  | { readonly kind: 'accepted'; readonly caller: Caller }
  /** The peer showed nothing that this authenticator looks at. */
  | { readonly kind: 'absent' }
  /** `temporary`: nobody could tell; the peer may well be who it says. */
  | { readonly kind: 'rejected'; readonly reason: string; readonly temporary?: boolean | undefined };

export interface Authenticator {
  readonly name: string;
  authenticate(credentials: PeerCredentials): Promise<AuthOutcome>;
}

export type AuthDecision =
  | { readonly kind: 'accepted'; readonly caller: Caller }
  /** `temporary`: it is worth trying again. */
  | { readonly kind: 'refused'; readonly reason: string; readonly temporary?: boolean | undefined };

const ABSENT: AuthOutcome = { kind: 'absent' };
const rejected = (reason: string): AuthOutcome => ({ kind: 'rejected', reason });

/**
 * Accepts a certificate that TLS has verified against the mesh's roots. A root may also sign for others than the mesh, hence
 * exactly one URI SAN is wanted, a workload's of an own trust domain.
 */
export function clientCertAuthenticator(trustDomains: readonly string[]): Authenticator {
  return {
    name: 'client certificate',
    authenticate: async ({ certificate }) => {
      if (certificate === undefined) return ABSENT;
      try {
        const san = extensionsOf(certificate).get(OID.subjectAltName);
        const names = san === undefined ? [] : readGeneralNames(san);
        const [uri, ...more] = names.filter((name) => name.kind === 'uri');
        const identity = uri === undefined ? undefined : parseIdentity(uri.value);
        if (identity === undefined || more.length > 0) return rejected('not exactly one workload identity in it');
        if (!trustDomains.includes(identity.trustDomain))
          return rejected(`foreign trust domain ${identity.trustDomain}`);
        const identities = names.filter((name) => name.kind !== 'other').map((name) => name.value);
        const { namespace, serviceAccount } = identity;
        return { kind: 'accepted', caller: { identities, source: 'client-certificate', namespace, serviceAccount } };
      } catch (error) {
        return rejected(`unreadable: ${reasonOf(error)}`);
      }
    },
  };
}

export interface JwtRule {
  readonly trustDomain: string;
  readonly audiences: readonly string[];
  /** Undefined accepts any issuer that signs with the known keys. */
  readonly issuer: string | undefined;
  readonly keys: JWTVerifyGetKey;
  readonly clock: Clock;
}

/** Asymmetric signatures only: with a shared secret every verifier could mint. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];

/** Accepts a bearer token whose subject is a service account. */
export function jwtAuthenticator(rule: JwtRule, name = 'jwt'): Authenticator {
  return {
    name,
    authenticate: async ({ bearer }) => {
      if (bearer === undefined || bearer === '') return ABSENT;
      try {
        const { payload } = await jwtVerify(bearer, rule.keys, {
          algorithms: ALGORITHMS,
          audience: [...rule.audiences],
          currentDate: new Date(rule.clock.now()),
          requiredClaims: ['exp', 'sub'],
          ...(rule.issuer === undefined ? {} : { issuer: rule.issuer }),
        });
        const account = parseServiceAccountSubject(payload.sub ?? '');
        if (account === undefined) return rejected('the subject is not a service account');
        return { kind: 'accepted', caller: serviceAccountCaller(rule.trustDomain, account, 'jwt') };
      } catch (error) {
        return rejected(tokenReason(error));
      }
    },
  };
}

function serviceAccountCaller(
  trustDomain: string,
  account: { readonly namespace: string; readonly serviceAccount: string },
  source: Caller['source'],
): Caller {
  return { identities: [formatIdentity({ trustDomain, ...account })], source, ...account };
}

/** jose's messages say which check failed and never quote the token. */
function tokenReason(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'ERR_UNKNOWN';
  return `${code} (${reasonOf(error)})`;
}

export interface TokenReview {
  readonly authenticated: boolean;
  readonly username: string;
  readonly groups: readonly string[];
  /** The pod that the token is bound to. */
  readonly pod?: string;
  readonly error?: string;
}

/** Asks a cluster's API server about a token; undefined for a cluster that is not known. */
export type TokenReviewer = (
  clusterId: string | undefined,
  token: string,
  audiences: readonly string[],
) => Promise<TokenReview | undefined>;

export interface KubernetesRule {
  readonly trustDomain: string;
  readonly audiences: readonly string[];
  readonly review: TokenReviewer;
}

const SERVICE_ACCOUNTS = 'system:serviceaccounts';

/** Accepts a token that the API server of the peer's cluster confirms to be a service account's. */
export function kubernetesAuthenticator(rule: KubernetesRule): Authenticator {
  return {
    name: 'kubernetes',
    authenticate: async ({ bearer, clusterId }) => {
      if (bearer === undefined || bearer === '') return ABSENT;
      try {
        const review = await rule.review(clusterId, bearer, rule.audiences);
        if (review === undefined) return rejected(`unknown cluster ${clusterId ?? ''}`);
        if (!review.authenticated) return rejected(`not authenticated: ${review.error ?? 'no reason given'}`);
        if (!review.groups.includes(SERVICE_ACCOUNTS)) return rejected(`${review.username} is no service account`);
        const account = parseServiceAccountSubject(review.username);
        if (account === undefined) return rejected(`${review.username} is no service account`);
        const caller = serviceAccountCaller(rule.trustDomain, account, 'kubernetes');
        return { kind: 'accepted', caller: review.pod === undefined ? caller : { ...caller, pod: review.pod } };
      } catch (error) {
        return { kind: 'rejected', reason: `token review failed: ${reasonOf(error)}`, temporary: true };
      }
    },
  };
}
