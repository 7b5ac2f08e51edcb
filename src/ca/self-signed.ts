// The self-signed root: made once, kept in a store, renewed with the same key when little of its life remains.
// In: a store and an organization; out: the root's texts. Called by the authority at start and at its periodic check.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { rootCertificate } from './certificate.ts';
import { newKeyPair } from './csr-request.ts';
import { CaError, reasonOf } from './errors.ts';
import type { KeyChoice } from './keys.ts';
import type { RootMaterial, RootStore } from './root-store.ts';

export interface RootPolicy {
  readonly organization: string;
  readonly key: KeyChoice;
  readonly lifetimeDays: number;
}

const DAY_MS = 24 * 3600_000;
/** Renewal starts when this part of the root's life is left. */
const RENEW_BELOW = 0.2;
/** The leaves are backdated by two minutes; a root must not be younger than what it signs. */
const BACKDATE_MS = 5 * 60_000;

/** The stored root, or a new one if there is none; of two processes that start together both get the first one's. */
export async function openRoot(store: RootStore, policy: RootPolicy, now: number): Promise<RootMaterial> {
  const stored = await store.load();
  if (stored !== undefined) return stored;
  const { privateKey } = await newKeyPair(policy.key);
  const certificate = await rootCertificate(privateKey, policy.organization, validityFrom(now, policy));
  return store.create({ certificate, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() });
}

/** The root to use from now on: the store's (another replica may have renewed it), renewed if it is about to end. */
export async function refreshRoot(
  store: RootStore,
  policy: RootPolicy,
  now: number,
): Promise<RootMaterial | undefined> {
  const stored = await store.load();
  if (stored === undefined || !isNearEnd(stored.certificate, now)) return stored;
  const key = createPrivateKey(stored.key);
  const certificate = await rootCertificate(key, policy.organization, validityFrom(now, policy));
  const renewed = { certificate, key: stored.key };
  await store.replace(renewed);
  return renewed;
}

function validityFrom(now: number, policy: RootPolicy): { notBefore: number; notAfter: number } {
  return { notBefore: now - BACKDATE_MS, notAfter: now + policy.lifetimeDays * DAY_MS };
}

function isNearEnd(certificatePem: string, now: number): boolean {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certificatePem);
  } catch (error) {
    throw new CaError('STATE_DAMAGED', `the stored root certificate does not parse: ${reasonOf(error)}`, error);
  }
  const end = Date.parse(certificate.validTo);
  const life = end - Date.parse(certificate.validFrom);
  return end - now < life * RENEW_BELOW;
}
