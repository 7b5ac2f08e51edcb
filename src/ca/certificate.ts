// X.509 v3 certificates: the root's and the leaves' contents, written in DER and signed.
// In: who, until when, for which key; out: PEM. Serial numbers come from node:crypto, time from the caller.
// Called by self-signed (roots) and sign (leaves).

import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import {
  bits,
  bitsOf,
  boolean,
  type Der,
  integer,
  integerBytes,
  itemsOf,
  objectId,
  octets,
  readDer,
  sequence,
  tagged,
  time,
  writeDer,
} from './der.ts';
import { signingFor } from './keys.ts';
import { type AltName, distinguishedName, extension, generalNames, OID } from './names.ts';
import { writePem } from './pem.ts';

export interface Issuer {
  readonly name: Der;
  readonly keyId: Buffer;
  readonly key: KeyObject;
}

export interface Validity {
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface LeafContents {
  readonly publicKey: KeyObject;
  readonly altNames: readonly AltName[];
  readonly commonName: string | undefined;
  readonly validity: Validity;
}

/** A workload's or server's certificate. The subject is empty unless a common name is given, hence the critical SAN. */
export function leafCertificate(issuer: Issuer, leaf: LeafContents): Promise<string> {
  const extensions = [
    keyUsage(DIGITAL_SIGNATURE | KEY_ENCIPHERMENT),
    extension(OID.extendedKeyUsage, false, sequence(objectId(OID.serverAuth), objectId(OID.clientAuth))),
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.subjectKeyId, false, octets(keyIdOf(leaf.publicKey))),
    extension(OID.authorityKeyId, false, sequence(tagged(0, issuer.keyId))),
    extension(OID.subjectAltName, true, generalNames(leaf.altNames)),
  ];
  const subject = distinguishedName(leaf.commonName === undefined ? [] : [[OID.commonName, leaf.commonName]]);
  return signed(issuer, { subject, publicKey: leaf.publicKey, validity: leaf.validity, extensions });
}

/** A self-signed root whose organization is the trust domain. */
export function rootCertificate(key: KeyObject, organization: string, validity: Validity): Promise<string> {
  const publicKey = createPublicKey(key);
  const name = distinguishedName([[OID.organization, organization]]);
  const keyId = keyIdOf(publicKey);
  const extensions = [
    keyUsage(KEY_CERT_SIGN | CRL_SIGN),
    extension(OID.basicConstraints, true, sequence(boolean(true))),
    extension(OID.subjectKeyId, false, octets(keyId)),
  ];
  return signed({ name, keyId, key }, { subject: name, publicKey, validity, extensions });
}

/** RFC 5280 4.2.1.2 method 1: SHA-1 of the key's bits, an identifier and not a safeguard. */
export function keyIdOf(publicKey: KeyObject): Buffer {
  const spki = readDer(publicKey.export({ type: 'spki', format: 'der' }));
  const keyBits = bitsOf(itemsOf(spki, 'public key')[1], 'public key bits');
  return createHash('sha1').update(keyBits).digest();
}

// RFC 5280 4.2.1.3, bit 0 being the highest of the first byte.
const DIGITAL_SIGNATURE = 0x80;
const KEY_ENCIPHERMENT = 0x20;
const KEY_CERT_SIGN = 0x04;
const CRL_SIGN = 0x02;

function keyUsage(flags: number): Der {
  // DER writes named bits without trailing zeros, and says how many of the byte's bits those were.
  const unused = 31 - Math.clz32(flags & -flags);
  return extension(OID.keyUsage, true, bits(Uint8Array.of(flags), unused));
}

interface Body {
  readonly subject: Der;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Der[];
}

async function signed(issuer: Issuer, body: Body): Promise<string> {
  const signing = signingFor(issuer.key);
  const tbs = sequence(
    tagged(0, [integer(2)]),
    integerBytes(newSerial()),
    signing.identifier,
    issuer.name,
    sequence(time(body.validity.notBefore), time(body.validity.notAfter)),
    body.subject,
    readDer(body.publicKey.export({ type: 'spki', format: 'der' })),
    tagged(3, [sequence(...body.extensions)]),
  );
  const signature = await signing.sign(writeDer(tbs));
  return writePem('CERTIFICATE', writeDer(sequence(tbs, signing.identifier, bits(signature))));
}

/** 128 random bits, kept positive and of constant length by fixing the top two. */
function newSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}
