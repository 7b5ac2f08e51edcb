// What signs: a CA certificate with its key, its chain and the roots it leads to, verified once when loaded.
// In: PEM texts; out: an immutable Signer, or a CaError naming the first check that failed.
// Called by the authority at start and at every reload.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { keyIdOf } from './certificate.ts';
import { bytesOf, type Der, isTagged, itemsOf, readDer } from './der.ts';
import { CaError, reasonOf } from './errors.ts';
import { checkKeyStrength } from './keys.ts';
import { OID, readExtensions } from './names.ts';
import { bundleOf, splitCertificates } from './pem.ts';

export interface SignerTexts {
  readonly certificate: string;
  readonly key: string;
  readonly chain: string;
  readonly roots: string;
}

export interface Signer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  /** Subject of the CA certificate, as it must appear in what it issues. */
  readonly name: Der;
  readonly keyId: Buffer;
  /** From the signing certificate upwards, roots left out; one PEM each. Empty when the signer is itself a root. */
  readonly intermediates: readonly string[];
  readonly rootBundle: string;
  readonly notAfter: number;
}

/** Verifies the parts against each other. Throws CaError with code BUNDLE_INVALID. */
export function loadSigner(texts: SignerTexts): Signer {
  const key = readKey(texts.key);
  const [certificate] = readCertificates(texts.certificate, 'signing certificate');
  const roots = readCertificates(texts.roots, 'root bundle');
  const chain = splitCertificates(texts.chain).map((pem) => new X509Certificate(pem));
  if (certificate === undefined || roots.length === 0) throw invalid('no certificate found');
  checkIsAuthority(certificate);
  checkKeyMatches(certificate, key);
  const path = pathToRoot(certificate, chain, roots);
  const parts = certificateParts(certificate);
  return {
    certificate,
    key,
    ...parts,
    intermediates: path.map((each) => bundleOf(each.toString())),
    rootBundle: bundleOf(texts.roots),
    notAfter: Date.parse(certificate.validTo),
  };
}

function invalid(message: string, cause?: unknown): CaError {
  return new CaError('BUNDLE_INVALID', message, cause);
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause may quote what it read: only the fact is kept.
    throw invalid('the signing key is not a PEM private key without passphrase');
  }
}

function readCertificates(pem: string, what: string): X509Certificate[] {
  const certificates = splitCertificates(pem);
  if (certificates.length === 0) throw invalid(`the ${what} holds no PEM certificate`);
  try {
    return certificates.map((each) => new X509Certificate(each));
  } catch (error) {
    throw invalid(`the ${what} does not parse: ${reasonOf(error)}`, error);
  }
}

function checkIsAuthority(certificate: X509Certificate): void {
  if (!certificate.ca) throw invalid('the signing certificate is not a CA certificate (basicConstraints CA is false)');
  try {
    checkKeyStrength(certificate.publicKey);
  } catch (error) {
    throw invalid(`the signing certificate has a weak key: ${reasonOf(error)}`, error);
  }
}

function checkKeyMatches(certificate: X509Certificate, key: KeyObject): void {
  if (!certificate.checkPrivateKey(key)) throw invalid('the signing key does not belong to the signing certificate');
}

/** The certificates to hand out below a root, the signer first. Each link is checked by issuer name, usage and signature. */
function pathToRoot(
  signer: X509Certificate,
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): X509Certificate[] {
  const path: X509Certificate[] = [];
  let current = signer;
  while (!roots.some((root) => root.raw.equals(current.raw))) {
    path.push(current);
    if (roots.some((root) => issuedBy(current, root))) return path;
    const next = chain.find((each) => !path.some((seen) => seen.raw.equals(each.raw)) && issuedBy(current, each));
    if (next === undefined) {
      throw invalid(
        `no chain from the signing certificate to a root: issuer of "${oneLine(current.subject)}" not found`,
      );
    }
    current = next;
  }
  return path;
}

function issuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

const oneLine = (text: string): string => text.replaceAll('\n', ', ');

function certificateParts(certificate: X509Certificate): { name: Der; keyId: Buffer } {
  try {
    const [tbs] = itemsOf(readDer(certificate.raw), 'certificate');
    const fields = itemsOf(tbs, 'certificate body');
    const first = fields[0] !== undefined && isTagged(fields[0], 0) ? 1 : 0;
    const name = fields[first + 4];
    const keyId = extensionsOf(certificate.raw).get(OID.subjectKeyId);
    if (name === undefined) throw new Error('no subject');
    return { name, keyId: keyId === undefined ? keyIdOf(certificate.publicKey) : bytesOf(readDer(keyId), 'key id') };
  } catch (error) {
    throw invalid(`the signing certificate is not canonical DER: ${reasonOf(error)}`, error);
  }
}

/** The extension values of a certificate by object id. */
export function extensionsOf(der: Uint8Array): Map<string, Buffer> {
  const [tbs] = itemsOf(readDer(der), 'certificate');
  const wrapped = itemsOf(tbs, 'certificate body').find((field) => isTagged(field, 3));
  const [list] = wrapped === undefined ? [] : itemsOf(wrapped, 'extensions', 'tagged');
  return list === undefined ? new Map<string, Buffer>() : readExtensions(list);
}
