// The asking side: a fresh key and the PKCS#10 request for it, with one subject alternative name.
// In: an identity and a key choice; out: both as PEM. Called by the agent (and by tests); the authority never needs it.

import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { bits, integer, objectId, readDer, sequence, set, tagged, writeDer } from './der.ts';
import { type KeyChoice, signingFor } from './keys.ts';
import { altNameOf, distinguishedName, extension, generalNames, OID } from './names.ts';
import { writePem } from './pem.ts';

export interface CsrRequest {
  readonly csrPem: string;
  readonly keyPem: string;
}

const generate = promisify(generateKeyPair);

/** A new key pair, generated off the main thread. */
export async function newKeyPair(choice: KeyChoice): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  if (choice.kind === 'rsa') return generate('rsa', { modulusLength: choice.bits });
  return generate('ec', { namedCurve: 'P-256' });
}

/** Makes a key and asks for `identity` in it. Subject stays empty: the name is in the SAN alone. */
export async function newCsr(identity: string, choice: KeyChoice): Promise<CsrRequest> {
  const { publicKey, privateKey } = await newKeyPair(choice);
  return {
    csrPem: await csrFor(identity, publicKey, privateKey),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

async function csrFor(identity: string, publicKey: KeyObject, privateKey: KeyObject): Promise<string> {
  const names = extension(OID.subjectAltName, true, generalNames([altNameOf(identity)]));
  const request = sequence(objectId(OID.extensionRequest), set(sequence(names)));
  const spki = readDer(publicKey.export({ type: 'spki', format: 'der' }));
  const info = sequence(integer(0), distinguishedName([]), spki, tagged(0, [request]));
  const signing = signingFor(privateKey);
  const signature = await signing.sign(writeDer(info));
  return writePem('CERTIFICATE REQUEST', writeDer(sequence(info, signing.identifier, bits(signature))));
}
