// Asks the certificate authority to sign: one call, a few retries, a new connection for each.
// In: a CSR; out: the chain, leaf first and roots last. Called by the certificate source.

import { decode, encode } from '../codec/index.ts';
import { unaryCall } from '../grpc/client.ts';
import { CODES } from '../grpc/errors.ts';
import type { Timers } from '../lib/ports.ts';
import type { ServerTarget } from './config.ts';
import { type UpstreamIdentity, upstreamOf } from './upstream.ts';

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

const RETRIED: ReadonlySet<unknown> = new Set([
  CODES.CANCELLED,
  CODES.DEADLINE_EXCEEDED,
  CODES.RESOURCE_EXHAUSTED,
  CODES.ABORTED,
  CODES.INTERNAL,
  CODES.UNAVAILABLE,
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
  return typeof error === 'object' && error !== null && 'code' in error && RETRIED.has(error.code);
}

async function signOnce(
  target: ServerTarget,
  identity: UpstreamIdentity,
  csrPem: string,
  lifetimeSeconds: number,
): Promise<readonly string[]> {
  const { target: server, metadata } = await upstreamOf(target, identity);
  const request = encode('istio.v1.auth.IstioCertificateRequest', {
    csr: csrPem,
    validityDuration: String(Math.round(lifetimeSeconds)),
  });
  const answer = await unaryCall(server, METHOD, request, { metadata, deadlineMs: DEADLINE_MS });
  return decode('istio.v1.auth.IstioCertificateResponse', answer).certChain ?? [];
}
