// Service account tokens for meshes without Kubernetes: one signing key, kept in the state directory, and tokens made by it.
// In: a state directory; out: a TokenKey that mints and whose public half verifies. Called by server.ts and `meltemi token`.

import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, type JWK, SignJWT } from 'jose';
import type { Clock } from '../lib/ports.ts';
import { newKeyPair } from './csr-request.ts';
import { CaError } from './errors.ts';
import { DEFAULT_AUDIENCE, formatServiceAccountSubject } from './identity.ts';

export interface TokenKey {
  readonly privateKey: KeyObject;
  readonly publicJwk: JWK;
  readonly keyId: string;
}

export interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ttlSeconds?: number;
  readonly audience?: string;
}

/** `iss` of the tokens minted here. */
export const TOKEN_ISSUER = 'meltemi';

const DEFAULT_TTL_SECONDS = 12 * 3600;
const FILE = 'token-key.pem';

/** The key kept in the state directory, made at first use; without a directory a key that ends with the process. */
export async function openTokenKey(stateDirectory?: string): Promise<TokenKey> {
  if (stateDirectory === undefined) return tokenKeyOf(await newTokenPem());
  const path = join(stateDirectory, FILE);
  const kept = await textOf(path);
  return tokenKeyOf(kept ?? (await createOnce(stateDirectory, path)));
}

/** A signed token for a service account. */
export function mintToken(request: TokenRequest, key: TokenKey, clock: Clock): Promise<string> {
  const now = Math.floor(clock.now() / 1000);
  const { namespace, serviceAccount } = request;
  const claims = { 'kubernetes.io': { namespace, serviceaccount: { name: serviceAccount } } };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: key.keyId, typ: 'JWT' })
    .setIssuer(TOKEN_ISSUER)
    .setSubject(formatServiceAccountSubject(namespace, serviceAccount))
    .setAudience([request.audience ?? DEFAULT_AUDIENCE])
    .setIssuedAt(now)
    .setNotBefore(now)
    .setExpirationTime(now + (request.ttlSeconds ?? DEFAULT_TTL_SECONDS))
    .setJti(randomUUID())
    .sign(key.privateKey);
}

async function newTokenPem(): Promise<string> {
  const { privateKey } = await newKeyPair({ kind: 'ecdsa' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** A link fails if the name is taken, so the server and `meltemi token` may start together and share one key. */
async function createOnce(directory: string, path: string): Promise<string> {
  const draft = join(directory, `.${FILE}-${randomBytes(6).toString('hex')}`);
  await mkdir(directory, { recursive: true });
  const pem = await newTokenPem();
  await writeFile(draft, pem, { mode: 0o600 });
  try {
    await link(draft, path);
    return pem;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return await readFile(path, 'utf8');
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function tokenKeyOf(pem: string): Promise<TokenKey> {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch {
    throw new CaError('STATE_DAMAGED', `${FILE} is not a PEM private key: restore it, or remove it to start anew`);
  }
  const jwk = await exportJWK(createPublicKey(privateKey));
  const keyId = await calculateJwkThumbprint(jwk);
  return { privateKey, keyId, publicJwk: { ...jwk, kid: keyId, alg: 'ES256', use: 'sig' } };
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
