// Connections to the control plane: roots, token and client certificate are read anew for each, so that changed files count.
// In: a ServerTarget and what may prove who we are; out: a server and call metadata. Called by ca-client and relay.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientTarget, ClientTls } from '../grpc/client.ts';
import { openTunnel } from '../grpc/proxy.ts';
import type { Clock } from '../lib/ports.ts';
import type { RootSource, ServerTarget } from './config.ts';
import { systemRoots } from './system-roots.ts';

export interface ClientPair {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface UpstreamIdentity {
  readonly tokenFile: string;
  readonly clusterId: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly providedDirectory: string | undefined;
  /** The workload's certificate, once there is one. */
  current(): ClientPair | undefined;
  readonly clock: Clock;
}

export interface Upstream {
  readonly target: ClientTarget;
  readonly metadata: Readonly<Record<string, string>>;
}

/** For a proxy on the way to connect us. */
const TUNNEL_TIMEOUT_MS = 5000;

/**
 * What to connect to, and by what to be known. Throws if the roots cannot be read, naming the file, or if a proxy on the way
 * doesn't connect us.
 */
export async function upstreamOf(target: ServerTarget, identity: UpstreamIdentity): Promise<Upstream> {
  const token = await readToken(identity.tokenFile, identity.clock.now());
  const isSecure = target.security === 'tls';
  const metadata = {
    clusterid: identity.clusterId,
    ...identity.headers,
    // A token in clear text would be for anybody on the way to take.
    ...(token !== undefined && isSecure ? { authorization: `Bearer ${token}` } : {}),
  };
  const tls = isSecure ? await tlsFor(target, identity, token) : undefined;
  const { address, proxy } = target;
  const tunnel = proxy === undefined ? undefined : await openTunnel(address, proxy, TUNNEL_TIMEOUT_MS);
  return { target: { address, tls, tunnel }, metadata };
}

async function tlsFor(
  { roots, serverName }: ServerTarget,
  identity: UpstreamIdentity,
  token: string | undefined,
): Promise<ClientTls> {
  return { roots: await readRoots(roots), serverName, pair: await clientPair(identity, token) };
}

async function readRoots(source: RootSource): Promise<string> {
  if (source.kind === 'system') return systemRoots();
  try {
    return await readFile(source.path, 'utf8');
  } catch (error) {
    throw new Error(`the roots to verify the control plane by cannot be read from ${source.path}`, { cause: error });
  }
}

/** A provider's certificate if there is one; the workload's own when there is no token to show. */
async function clientPair(identity: UpstreamIdentity, token: string | undefined): Promise<ClientPair | undefined> {
  const { providedDirectory } = identity;
  if (providedDirectory !== undefined) {
    const certificatePem = await textOf(join(providedDirectory, 'cert-chain.pem'));
    const keyPem = await textOf(join(providedDirectory, 'key.pem'));
    if (certificatePem !== undefined && keyPem !== undefined) return { certificatePem, keyPem };
  }
  return token === undefined ? identity.current() : undefined;
}

/** The token in the file, unless it is absent or has ended: then a certificate has to do. */
async function readToken(path: string, now: number): Promise<string | undefined> {
  const token = (await textOf(path))?.trim();
  if (token === undefined || token === '') return undefined;
  const end = expiryOf(token);
  return end !== undefined && end <= now ? undefined : token;
}

function expiryOf(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    const end = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined;
    return typeof end === 'number' ? end * 1000 : undefined;
  } catch {
    return undefined;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
