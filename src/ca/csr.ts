// A certificate signing request as it arrives: PEM in, public key and asked-for names out, or a CaError that says why not.
// The steps are in `readCsr`, one function each. Nothing a stranger sends may crash this or be believed unverified.
// Called by the authority for every CreateCertificate call.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { bitsOf, type Der, isTagged, itemsOf, objectIdOf, readDer, writeDer } from './der.ts';
import { CaError, reasonOf } from './errors.ts';
import { checkKeyStrength, checkSignature } from './keys.ts';
import { type AltName, commonNameOf, OID, readExtensions, readGeneralNames } from './names.ts';
import { readPem } from './pem.ts';

/** RSA 8192 with a few names is under 4 KiB; what is larger is no honest request. */
export const MAX_CSR_BYTES = 16 * 1024;

export interface Csr {
  readonly publicKey: KeyObject;
  readonly commonName: string | undefined;
  readonly altNames: readonly AltName[];
}

interface CsrParts {
  readonly info: Der;
  readonly algorithm: string;
  readonly signature: Buffer;
}

/** Reads and verifies a PEM PKCS#10 request (RFC 2986). Throws CaError. */
export function readCsr(pem: string): Csr {
  const der = decodePem(pem);
  const parts = malformedUnlessRead(() => splitRequest(der));
  const [, subject, spki, attributes] = malformedUnlessRead(() => itemsOf(parts.info, 'request info'));
  const publicKey = malformedUnlessRead(() => readPublicKey(spki));
  checkKeyStrength(publicKey);
  checkSignature(parts.algorithm, publicKey, writeDer(parts.info), parts.signature);
  return malformedUnlessRead(() => ({
    publicKey,
    commonName: subject === undefined ? undefined : commonNameOf(subject),
    altNames: requestedNames(attributes),
  }));
}

function decodePem(pem: string): Buffer {
  if (Buffer.byteLength(pem) > MAX_CSR_BYTES) {
    throw new CaError('CSR_TOO_LARGE', `request of more than ${MAX_CSR_BYTES} bytes`);
  }
  const blocks = readPem(pem);
  const block = blocks[0];
  if (block === undefined) throw new CaError('CSR_MALFORMED', 'no PEM block in the request');
  if (blocks.length > 1) throw new CaError('CSR_MALFORMED', `${blocks.length} PEM blocks in the request, one expected`);
  if (block.label !== 'CERTIFICATE REQUEST' && block.label !== 'NEW CERTIFICATE REQUEST') {
    throw new CaError('CSR_MALFORMED', `PEM block is a ${block.label}, not a CERTIFICATE REQUEST`);
  }
  return block.der;
}

/** ASN.1 readers throw plain errors; on bytes of strangers they all mean the same. */
function malformedUnlessRead<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CaError) throw error;
    throw new CaError('CSR_MALFORMED', `not a PKCS#10 request: ${reasonOf(error)}`, error);
  }
}

function splitRequest(der: Buffer): CsrParts {
  const parts = itemsOf(readDer(der), 'request');
  const [info, algorithm, signature] = parts;
  if (info === undefined || parts.length !== 3) throw new Error('request is not made of three parts');
  return {
    info,
    algorithm: objectIdOf(itemsOf(algorithm, 'signature algorithm')[0], 'signature algorithm'),
    signature: bitsOf(signature, 'signature'),
  };
}

function readPublicKey(spki: Der | undefined): KeyObject {
  if (spki === undefined) throw new Error('no public key');
  return createPublicKey({ key: writeDer(spki), format: 'der', type: 'spki' });
}

/** Names come in the extensionRequest attribute (RFC 2985 5.4.2). */
function requestedNames(attributes: Der | undefined): AltName[] {
  if (attributes === undefined || !isTagged(attributes, 0)) return [];
  const names: AltName[] = [];
  for (const attribute of itemsOf(attributes, 'attributes', 'tagged')) {
    const [type, values] = itemsOf(attribute, 'attribute');
    if (objectIdOf(type, 'attribute type') !== OID.extensionRequest) continue;
    for (const extensions of itemsOf(values, 'extension requests', 'set')) {
      const san = readExtensions(extensions).get(OID.subjectAltName);
      if (san !== undefined) names.push(...readGeneralNames(san));
    }
  }
  return names;
}
