// From a verified request and a known caller to a signed leaf: which names, how long, by which signer.
// The steps are in `issue`; each refusal is a CaError whose code the service maps to gRPC.
// Called by the authority.

import type { KeyObject } from 'node:crypto';
import { leafCertificate } from './certificate.ts';
import type { Csr } from './csr.ts';
import { CaError } from './errors.ts';
import { altNameOf, sameName } from './names.ts';
import type { Signer } from './signer.ts';

export interface LifetimePolicy {
  readonly defaultSeconds: number;
  readonly maxSeconds: number;
}

export const DEFAULT_LIFETIME: LifetimePolicy = { defaultSeconds: 24 * 3600, maxSeconds: 90 * 24 * 3600 };

export interface LeafRequest {
  readonly publicKey: KeyObject;
  readonly identities: readonly string[];
  /** Whether the requester wants a common name; its text is never taken from the request. */
  readonly wantsCommonName: boolean;
  readonly lifetimeSeconds: number;
}

/** Clocks of proxies may be behind: certificates are valid a little before they are made. */
const BACKDATE_MS = 2 * 60_000;

/** X.520 bounds a common name to 64 characters. */
const MAX_COMMON_NAME = 64;

/** Refuses a request that names anybody but the caller. A request without names asks for the caller's own. */
export function checkNames(csr: Csr, identities: readonly string[]): void {
  const own = identities.map(altNameOf);
  for (const name of csr.altNames) {
    if (!own.some((each) => sameName(each, name))) {
      throw new CaError(
        'SAN_NOT_ALLOWED',
        `SAN not allowed: ${name.kind} "${name.value}" is not an identity of the caller`,
      );
    }
  }
}

/** The lifetime to grant for the seconds asked for: none asked means the default, too many is an error. */
export function lifetimeFor(requestedSeconds: number, policy: LifetimePolicy): number {
  if (!(requestedSeconds > 0)) return policy.defaultSeconds;
  if (requestedSeconds > policy.maxSeconds) {
    throw new CaError(
      'TTL_TOO_LONG',
      `lifetime of ${requestedSeconds} s asked for, at most ${policy.maxSeconds} s granted`,
    );
  }
  return requestedSeconds;
}

/** Signs a leaf, PEM. Its end is never after the signer's own. */
export async function issue(signer: Signer, request: LeafRequest, now: number): Promise<string> {
  checkSignerValid(signer, now);
  const altNames = request.identities.map(altNameOf);
  if (altNames.length === 0) throw new CaError('IDENTITY_INVALID', 'the caller has no identity');
  const name = request.identities.find((identity) => identity.length <= MAX_COMMON_NAME);
  const notAfter = Math.min(now + request.lifetimeSeconds * 1000, signer.notAfter);
  try {
    return await leafCertificate(signer, {
      publicKey: request.publicKey,
      altNames,
      commonName: request.wantsCommonName ? name : undefined,
      validity: { notBefore: now - BACKDATE_MS, notAfter },
    });
  } catch (error) {
    throw new CaError('SIGNING_FAILED', 'signing failed', error);
  }
}

function checkSignerValid(signer: Signer, now: number): void {
  if (now < signer.notAfter) return;
  throw new CaError('SIGNER_EXPIRED', `the signing certificate expired at ${new Date(signer.notAfter).toISOString()}`);
}
