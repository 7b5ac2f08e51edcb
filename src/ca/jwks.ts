// Keys that verify tokens of others: from a JWKS file that is followed, or from an OpenID Connect issuer.
// In: a path or an issuer; out: the key function that jwtAuthenticator takes. Called by server.ts.

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createLocalJWKSet, createRemoteJWKSet, type JWTVerifyGetKey } from 'jose';
import type { Log, Timers } from '../lib/ports.ts';
import { reasonOf } from './errors.ts';
import { watchDirectory } from './file-watch.ts';
import type { TokenKey } from './token.ts';

/** Keys from the text of a JWKS. Throws if it is none. */
export function keysOfJwks(text: string): JWTVerifyGetKey {
  return createLocalJWKSet(JSON.parse(text) as Parameters<typeof createLocalJWKSet>[0]);
}

/** Keys of the control plane's own token key. */
export function keysOfTokenKey(key: TokenKey): JWTVerifyGetKey {
  return createLocalJWKSet({ keys: [key.publicJwk] });
}

export interface FollowedKeys {
  readonly keys: JWTVerifyGetKey;
  close(): void;
}

/** Keys of a JWKS file; a change counts from the next token on, a broken file leaves the old keys in use. Throws if it is broken now. */
export async function openJwksFile(path: string, timers: Timers, log: Log): Promise<FollowedKeys> {
  let text = await readFile(path, 'utf8');
  let keys = keysOfJwks(text);
  const reload = async (): Promise<void> => {
    try {
      const next = await readFile(path, 'utf8');
      if (next === text) return;
      keys = keysOfJwks(next);
      text = next;
      log.child('ca').info({ path }, 'token keys replaced');
    } catch (error) {
      log.child('ca').error({ path, reason: reasonOf(error) }, 'token keys not replaced, the old ones stay in use');
    }
  };
  const close = watchDirectory(dirname(path), timers, () => void reload());
  return { keys: (header, token) => keys(header, token), close };
}

export interface OidcRule {
  readonly issuer: string;
  readonly jwksUri: string | undefined;
  readonly audiences: readonly string[];
}

/** Reads the JSON of a token rule: issuer, audiences, and jwksUri unless the issuer is to be asked for it. */
export function parseOidcRule(text: string): OidcRule {
  const { issuer, jwksUri, audiences } = JSON.parse(text) as Readonly<Record<string, unknown>>;
  if (typeof issuer !== 'string' || issuer === '') throw new Error('a token rule needs an issuer');
  const list = Array.isArray(audiences) ? audiences.filter((each) => typeof each === 'string') : [];
  if (list.length === 0) throw new Error('a token rule needs at least one audience');
  return { issuer, jwksUri: typeof jwksUri === 'string' && jwksUri !== '' ? jwksUri : undefined, audiences: list };
}

const TIMEOUT_MS = 5000;

/** Keys fetched from an issuer when the first token needs them; cached, and fetched anew when a token names an unknown one. */
export function keysOfIssuer(rule: OidcRule): JWTVerifyGetKey {
  let remote: Promise<JWTVerifyGetKey> | undefined;
  const discovered = async (): Promise<JWTVerifyGetKey> => {
    const uri = rule.jwksUri ?? (await discoverJwksUri(rule.issuer));
    return createRemoteJWKSet(new URL(uri), { timeoutDuration: TIMEOUT_MS });
  };
  const keysNow = async (): Promise<JWTVerifyGetKey> => {
    remote ??= discovered();
    try {
      return await remote;
    } catch (error) {
      // A failed discovery is tried again by the next token; a token with an unknown key must not empty the cache.
      remote = undefined;
      throw error;
    }
  };
  return async (header, token) => (await keysNow())(header, token);
}

/** OpenID Connect Discovery 1.0 section 4. */
async function discoverJwksUri(issuer: string): Promise<string> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const document: unknown = response.ok ? await response.json() : undefined;
  const uri =
    typeof document === 'object' && document !== null && 'jwks_uri' in document ? document.jwks_uri : undefined;
  if (typeof uri !== 'string') throw new Error(`no jwks_uri at ${address} (status ${response.status})`);
  return uri;
}
