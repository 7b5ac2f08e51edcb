// Where a workload's certificate comes from: files that somebody mounted, or the authority.
// In: the policy; out: a SecretSource that obtains whole, matching WorkloadSecrets. Called by certificates.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { newCsr } from '../ca/csr-request.ts';
import { watchDirectory } from '../ca/file-watch.ts';
import { bundleOf, splitCertificates } from '../ca/pem.ts';
import type { Timers } from '../lib/ports.ts';
import type { CaClient } from './ca-client.ts';
import type { CertificatePolicy } from './config.ts';

/** A key with the chain that certifies it and the roots of those it will talk to. */
export interface WorkloadSecret {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface SecretSource {
  readonly kind: 'files' | 'authority';
  /** Rejects with the reason; never gives a pair that does not match. */
  obtain(): Promise<WorkloadSecret>;
  /** Calls back when there may be something new; absent where age alone decides. */
  follow?(changed: () => void): () => void;
}

const FILES = ['cert-chain.pem', 'key.pem', 'root-cert.pem'] as const;

/** Files if all of them are there, else the authority. */
export async function chooseSource(
  policy: CertificatePolicy,
  client: CaClient,
  timers: Timers,
  rootFile?: string,
): Promise<SecretSource> {
  for (const directory of policy.fileDirectories) {
    const found = await Promise.all(
      FILES.map((name) =>
        access(join(directory, name)).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (found.every(Boolean)) return fileSource(directory, timers);
  }
  const source = authoritySource(policy, client);
  return rootFile === undefined
    ? source
    : { ...source, follow: (changed) => followContents(rootFile, timers, changed) };
}

/**
 * The roots to trust the control plane by are distributed to a file before anything is signed by a new one: when they
 * change, the authority is asked at once, so that the proxy trusts the new root long before its own certificate is due.
 */
function followContents(path: string, timers: Timers, changed: () => void): () => void {
  let known: string | undefined;
  const look = async (): Promise<void> => {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    const isNews = known !== undefined && text !== undefined && text !== known;
    known = text ?? known;
    if (isNews) changed();
  };
  void look();
  return watchDirectory(dirname(path), timers, () => void look());
}

/** A fresh key for every certificate. */
export function authoritySource(policy: CertificatePolicy, client: CaClient): SecretSource {
  return {
    kind: 'authority',
    obtain: async () => {
      const { csrPem, keyPem } = await newCsr(policy.identity, policy.key);
      const chain = await client.sign(csrPem, policy.lifetimeSeconds);
      if (chain.length < 2)
        throw new Error(`the authority answered with ${chain.length} elements, a leaf and roots are needed`);
      const secret = secretOf(chain.slice(0, -1).join(''), keyPem, chain.at(-1) ?? '');
      checkIdentity(secret.certificatePem, policy.identity);
      return secret;
    },
  };
}

function checkIdentity(certificatePem: string, identity: string): void {
  const names = new X509Certificate(certificatePem).subjectAltName ?? '';
  if (names.split(', ').includes(`URI:${identity}`)) return;
  throw new Error(`the authority certified "${names}" and not ${identity}`);
}

/** Mounted files; kubelet swaps them all at once but not in one step, so a torn read is tried again. */
export function fileSource(directory: string, timers: Timers): SecretSource {
  const read = async (): Promise<WorkloadSecret> => {
    const [certificate = '', key = '', roots = ''] = await Promise.all(
      FILES.map((name) => readFile(join(directory, name), 'utf8')),
    );
    return secretOf(certificate, key, roots);
  };
  return {
    kind: 'files',
    obtain: () => retried(read, timers),
    follow: (changed) => watchDirectory(directory, timers, changed),
  };
}

const READ_RETRIES = 20;
const READ_RETRY_MS = 500;

async function retried<T>(read: () => Promise<T>, timers: Timers): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (attempt >= READ_RETRIES) throw error;
      await new Promise<void>((resolve) => void timers.setTimeout(resolve, READ_RETRY_MS));
    }
  }
}

/** Checks that the parts belong together. */
function secretOf(certificatePem: string, keyPem: string, rootsPem: string): WorkloadSecret {
  const [first] = splitCertificates(certificatePem);
  if (first === undefined) throw new Error('the certificate chain holds no PEM certificate');
  if (splitCertificates(rootsPem).length === 0) throw new Error('the root bundle holds no PEM certificate');
  const leaf = new X509Certificate(first);
  if (!leaf.checkPrivateKey(createPrivateKey(keyPem))) throw new Error('the key does not belong to the certificate');
  return {
    certificatePem,
    keyPem,
    rootsPem: bundleOf(rootsPem),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
  };
}
