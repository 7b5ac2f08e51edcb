// Connections to the control plane: roots, token and client certificate are read anew for each, so that changed files count.
// In: a ServerTarget and what may prove who we are; out: a grpc-js client and call metadata. Called by ca-client and relay.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChannelCredentials, Client, credentials, Metadata } from '@grpc/grpc-js';
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
  readonly client: Client;
  readonly metadata: Metadata;
}

/** Opens a connection of its own. Throws if the roots cannot be read, naming the file. */
export async function openUpstream(target: ServerTarget, identity: UpstreamIdentity): Promise<Upstream> {
  const token = await readToken(identity.tokenFile, identity.clock.now());
  const metadata = new Metadata();
  metadata.set('clusterid', identity.clusterId);
  for (const [name, value] of Object.entries(identity.headers)) metadata.set(name, value);
  // A token in clear text would be for anybody on the way to take.
  if (token !== undefined && target.security === 'tls') metadata.set('authorization', `Bearer ${token}`);
  const client = new Client(target.address, await credentialsFor(target, identity, token), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    // A control plane that vanished without a word is noticed, and Envoy told, within 40 s.
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.enable_retries': 0,
    ...(target.security === 'tls' ? { 'grpc.ssl_target_name_override': target.serverName } : {}),
  });
  return { client, metadata };
}

async function credentialsFor(
  target: ServerTarget,
  identity: UpstreamIdentity,
  token: string | undefined,
): Promise<ChannelCredentials> {
  if (target.security === 'plaintext') return credentials.createInsecure();
  const roots = Buffer.from(await readRoots(target.roots));
  const pair = await clientPair(identity, token);
  if (pair === undefined) return credentials.createSsl(roots);
  return credentials.createSsl(roots, Buffer.from(pair.keyPem), Buffer.from(pair.certificatePem));
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
