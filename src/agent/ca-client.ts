// Asks the certificate authority to sign: one call, a few retries, a new connection for each.
// In: a CSR; out: the chain, leaf first and roots last. Called by the certificate source.

import { type ServiceError, status } from '@grpc/grpc-js';
import { decode, encode } from '../codec/index.ts';
import type { Timers } from '../lib/ports.ts';
import type { ServerTarget } from './config.ts';
import { openUpstream, type UpstreamIdentity } from './upstream.ts';

export interface CaClient {
  /** Rejects with the last error once retrying is over. */
  sign(csrPem: string, lifetimeSeconds: number): Promise<readonly string[]>;
}

export interface CaClientPorts {
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const RETRIES = 5;
const FIRST_DELAY_MS = 100;
const JITTER = 0.1;
const DEADLINE_MS = 10_000;

const RETRIED: ReadonlySet<status> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNAVAILABLE,
]);

/** A client of one authority. */
export function caClient(target: ServerTarget, identity: UpstreamIdentity, ports: CaClientPorts): CaClient {
  return {
    sign: async (csrPem, lifetimeSeconds) => {
      for (let attempt = 0; ; attempt++) {
        try {
          return await signOnce(target, identity, csrPem, lifetimeSeconds);
        } catch (error) {
          if (attempt >= RETRIES || !isRetried(error)) throw error;
          const delay = FIRST_DELAY_MS * 2 ** attempt * (1 + JITTER * (2 * ports.random() - 1));
          await new Promise<void>((resolve) => void ports.timers.setTimeout(resolve, delay));
        }
      }
    },
  };
}

function isRetried(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && RETRIED.has(error.code as status);
}

async function signOnce(
  target: ServerTarget,
  identity: UpstreamIdentity,
  csrPem: string,
  lifetimeSeconds: number,
): Promise<readonly string[]> {
  const { client, metadata } = await openUpstream(target, identity);
  try {
    return await new Promise((resolve, reject) => {
      const request = { csr: csrPem, validityDuration: String(Math.round(lifetimeSeconds)) };
      const deadline = new Date(Date.now() + DEADLINE_MS);
      const done = (error: ServiceError | null, chain: readonly string[] = []): void =>
        error === null ? resolve(chain) : reject(error);
      client.makeUnaryRequest(METHOD, writeRequest, readResponse, request, metadata, { deadline }, done);
    });
  } finally {
    client.close();
  }
}

interface SignRequest {
  readonly csr: string;
  readonly validityDuration: string;
}

const writeRequest = (request: SignRequest): Buffer =>
  Buffer.from(encode('istio.v1.auth.IstioCertificateRequest', request));

const readResponse = (bytes: Buffer): readonly string[] =>
  decode('istio.v1.auth.IstioCertificateResponse', bytes).certChain ?? [];
