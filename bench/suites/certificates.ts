// Certificates a second: requests to the authority of a running server, over TLS with a workload's token, as agents ask.
// Keys and requests are made before the clock runs: that is the agents' work.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { newCsr } from '../../src/ca/csr-request.ts';
import type { KeyChoice } from '../../src/ca/keys.ts';
import { mintToken, openTokenKey } from '../../src/ca/token.ts';
import { decode, encode } from '../../src/codec/index.ts';
import type { Notebook } from '../figures.ts';
import { quantile } from '../stats.ts';
import { cpuOf, ServerProcess } from '../server/process.ts';

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const WORKLOAD = { namespace: 'bench', serviceAccount: 'agent' };
const IDENTITY = 'spiffe://cluster.local/ns/bench/sa/agent';
const NAME = 'istiod.istio-system.svc';

/** Requests under way at once. */
const AT_ONCE = 32;

/** Different requests of each kind of key; RSA keys take long to make. */
const KINDS: readonly { readonly name: string; readonly key: KeyChoice; readonly different: number }[] = [
  { name: 'EC P-256', key: { kind: 'ecdsa' }, different: 64 },
  { name: 'RSA 2048', key: { kind: 'rsa', bits: 2048 }, different: 8 },
];

export interface CertificateOptions {
  readonly requests: number;
}

export async function certificates({ requests }: CertificateOptions, notes: Notebook): Promise<void> {
  const state = mkdtempSync(join(tmpdir(), 'meltemi-bench-'));
  try {
    const tokenKey = await openTokenKey(state);
    const token = await mintToken({ ...WORKLOAD, ttlSeconds: 3600, audience: 'istio-ca' }, tokenKey, { now: Date.now });
    const server = await ServerProcess.start(state, { flags: ['--stateDir', state] });
    const asker = new Asker(server.secure, readFileSync(join(state, 'root-cert.pem')), token);
    try {
      for (const kind of KINDS) await measured(kind, requests, asker, server, notes);
    } finally {
      asker.close();
      await server.stop();
    }
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

async function measured(
  { name, key, different }: (typeof KINDS)[number],
  count: number,
  asker: Asker,
  server: ServerProcess,
  notes: Notebook,
): Promise<void> {
  const made = await Promise.all(Array.from({ length: different }, () => newCsr(IDENTITY, key)));
  const csrs = made.map(({ csrPem }) => csrPem);
  // V8 compiles what it has seen run for a while.
  await asker.ask(csrs, count);
  let times: readonly number[] = [];
  let took = 0;
  const cpu = await cpuOf(server, async () => {
    const from = performance.now();
    times = await asker.ask(csrs, count);
    took = performance.now() - from;
  });
  notes.note(`${name}: signed`, '/s', [(count * 1000) / took], { better: 'more' });
  notes.cost(`${name}: p50`, 'ms', [quantile(times, 0.5)]);
  notes.cost(`${name}: p99`, 'ms', [quantile(times, 0.99)]);
  notes.cost(`${name}: server CPU each`, 'ms', [cpu === undefined ? undefined : cpu / count]);
  const perCore = cpu === undefined ? undefined : (count * 1000) / cpu;
  notes.note(`${name}: signed per second of CPU`, '/s', [perCore], { better: 'more' });
}

/** A caller that keeps its connection: what is measured is the signing, not the handshake. */
class Asker {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(address: string, roots: Buffer, token: string) {
    this.#client = new Client(address, credentials.createSsl(roots), { 'grpc.ssl_target_name_override': NAME });
    this.#metadata.set('authorization', `Bearer ${token}`);
  }

  /** So many requests, some at a time; how long each took, ms. */
  async ask(csrs: readonly string[], count: number): Promise<readonly number[]> {
    const times: number[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < count) {
        const csr = csrs[next++ % csrs.length] ?? '';
        const from = performance.now();
        const chain = await this.#sign(csr);
        if (chain.length < 2) throw new Error('the authority gave no chain');
        times.push(performance.now() - from);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return times;
  }

  #sign(csr: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, chain: readonly string[] = []): void =>
        error === null ? resolve(chain) : reject(error);
      this.#client.makeUnaryRequest(METHOD, write, read, csr, this.#metadata, done);
    });
  }

  close(): void {
    this.#client.close();
  }
}

const write = (csr: string): Buffer =>
  Buffer.from(encode('istio.v1.auth.IstioCertificateRequest', { csr, validityDuration: '86400' }));

const read = (bytes: Buffer): readonly string[] =>
  decode('istio.v1.auth.IstioCertificateResponse', bytes).certChain ?? [];
