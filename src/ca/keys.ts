// Which keys and signatures are acceptable, and how signatures are named in ASN.1.
// Called by csr (keys of others), certificate and csr-request (own signatures).

import { type KeyObject, sign, verify } from 'node:crypto';
import { type Der, nothing, objectId, sequence } from './der.ts';
import { CaError } from './errors.ts';

export type KeyChoice = { readonly kind: 'ecdsa' } | { readonly kind: 'rsa'; readonly bits: number };

const MIN_RSA_BITS = 2048;
/** Verifying and encoding huge keys costs time that a stranger should not be able to order. */
const MAX_RSA_BITS = 8192;

const CURVES: ReadonlyMap<string, Hash> = new Map([
  ['prime256v1', 'sha256'],
  ['secp384r1', 'sha384'],
  ['secp521r1', 'sha512'],
]);

type Hash = 'sha256' | 'sha384' | 'sha512';

interface SignatureAlgorithm {
  readonly oid: string;
  readonly keyType: 'ec' | 'rsa';
  readonly hash: Hash;
}

const ALGORITHMS: readonly SignatureAlgorithm[] = [
  { oid: '1.2.840.10045.4.3.2', keyType: 'ec', hash: 'sha256' },
  { oid: '1.2.840.10045.4.3.3', keyType: 'ec', hash: 'sha384' },
  { oid: '1.2.840.10045.4.3.4', keyType: 'ec', hash: 'sha512' },
  { oid: '1.2.840.113549.1.1.11', keyType: 'rsa', hash: 'sha256' },
  { oid: '1.2.840.113549.1.1.12', keyType: 'rsa', hash: 'sha384' },
  { oid: '1.2.840.113549.1.1.13', keyType: 'rsa', hash: 'sha512' },
];

/** Refuses keys that are too weak to be certified, with the precise reason. */
export function checkKeyStrength(key: KeyObject): void {
  const type = key.asymmetricKeyType;
  if (type === 'rsa') {
    const size = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (size < MIN_RSA_BITS)
      throw new CaError('KEY_TOO_WEAK', `RSA key of ${size} bits, at least ${MIN_RSA_BITS} needed`);
    if (size > MAX_RSA_BITS)
      throw new CaError('KEY_TYPE_UNSUPPORTED', `RSA key of ${size} bits, at most ${MAX_RSA_BITS}`);
    const exponent = key.asymmetricKeyDetails?.publicExponent ?? 0n;
    if (exponent < 65537n || exponent % 2n === 0n) {
      throw new CaError('KEY_TOO_WEAK', `RSA public exponent ${exponent}, an odd one of at least 65537 needed`);
    }
    return;
  }
  if (type === 'ec') {
    const curve = key.asymmetricKeyDetails?.namedCurve ?? 'without a name';
    if (CURVES.has(curve)) return;
    throw new CaError('KEY_TYPE_UNSUPPORTED', `EC curve ${curve}; use P-256, P-384 or P-521`);
  }
  throw new CaError('KEY_TYPE_UNSUPPORTED', `key of type ${type ?? 'unknown'}; use RSA or ECDSA`);
}

/** Verifies a signature made under a named algorithm; algorithms outside the list (SHA-1, PSS, EdDSA) are refused by name. */
export function checkSignature(oid: string, key: KeyObject, signed: Buffer, signature: Buffer): void {
  const algorithm = ALGORITHMS.find((each) => each.oid === oid);
  if (algorithm === undefined || algorithm.keyType !== key.asymmetricKeyType) {
    throw new CaError('CSR_SIGNATURE_ALGORITHM', `signature algorithm ${oid} is not accepted for this key`);
  }
  if (!verify(algorithm.hash, signed, key, signature)) {
    throw new CaError('CSR_SIGNATURE_INVALID', 'the request is not signed by the key it carries');
  }
}

export interface Signing {
  /** The AlgorithmIdentifier to write beside the signature. */
  readonly identifier: Der;
  /** Signs off the main thread: RSA takes milliseconds. */
  sign(bytes: Buffer): Promise<Buffer>;
}

/** How this private key signs: SHA-2 of the size that fits it. */
export function signingFor(key: KeyObject): Signing {
  const keyType = key.asymmetricKeyType;
  const hash = keyType === 'ec' ? CURVES.get(key.asymmetricKeyDetails?.namedCurve ?? '') : 'sha256';
  const algorithm = ALGORITHMS.find((each) => each.keyType === keyType && each.hash === hash);
  if (algorithm === undefined)
    throw new CaError('KEY_TYPE_UNSUPPORTED', `cannot sign with a ${keyType ?? 'unknown'} key`);
  // RFC 4055 wants NULL parameters for RSA, RFC 5758 wants none for ECDSA.
  const parameters = algorithm.keyType === 'rsa' ? [nothing()] : [];
  return {
    identifier: sequence(objectId(algorithm.oid), ...parameters),
    sign: (bytes) =>
      new Promise((resolve, reject) => {
        sign(algorithm.hash, bytes, key, (error, signature) => (error ? reject(error) : resolve(signature)));
      }),
  };
}
