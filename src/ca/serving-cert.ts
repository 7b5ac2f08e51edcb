// The certificate that the control plane shows to its clients: issued by its own authority or read from files, renewed in place.
// In: an authority and host names, or files; out: gRPC server credentials (and PEM for HTTPS servers) that follow renewals.
// Clients may show a certificate; it is verified against the mesh's roots, and one that does not verify counts as none.
// Called by server.ts.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ServerCredentials } from '@grpc/grpc-js';
import type { Clock, Log, Timers } from '../lib/ports.ts';
import type { Authority } from './authority.ts';
import { newKeyPair } from './csr-request.ts';
import { reasonOf } from './errors.ts';
import { watchDirectory } from './file-watch.ts';
import { bundleOf } from './pem.ts';
import { type PairSource, type ServingPair, servingCredentials } from './serving-credentials.ts';

export interface ServingFiles {
  readonly certificate: string;
  readonly key: string;
  /** Roots for client certificates; without it the authority's. */
  readonly roots?: string;
}

export interface ServingOptions {
  readonly hosts: readonly string[];
  readonly files?: ServingFiles;
}

export interface ServingPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

const LIFETIME_SECONDS = 90 * 24 * 3600;
const RETRY_MS = 60_000;
/** Waits are cut into pieces measured by the wall clock: timers stand still while a machine sleeps. */
const MAX_WAIT_MS = 3600_000;

/** The names under which proxies and webhooks reach the control plane. */
export function controlPlaneHosts(namespace: string, revision: string, extra: readonly string[]): string[] {
  const services = ['istiod', 'istiod-remote', 'istio-pilot'];
  if (revision !== '' && revision !== 'default') services.push(`istiod-${revision}`);
  return [
    ...new Set([...services.map((name) => `${name}.${namespace}.svc`), ...extra, 'localhost', '127.0.0.1', '::1']),
  ];
}

/** Gets the first certificate. Throws if there is none to get. */
export async function openServingCert(
  authority: Authority,
  options: ServingOptions,
  ports: ServingPorts,
): Promise<ServingCert> {
  const { files } = options;
  const obtain = files === undefined ? () => issuePair(authority, options.hosts) : () => readPair(files, authority);
  const serving = new ServingCert(await obtain(), obtain, ports);
  serving.follow(authority, files);
  return serving;
}

async function issuePair(authority: Authority, hosts: readonly string[]): Promise<ServingPair> {
  const { publicKey, privateKey } = await newKeyPair({ kind: 'ecdsa' });
  const chain = await authority.certifyOwn(publicKey, hosts, LIFETIME_SECONDS);
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { certificatePem: chain.join(''), keyPem, rootsPem: authority.rootBundle };
}

async function readPair(files: ServingFiles, authority: Authority): Promise<ServingPair> {
  const certificatePem = await readFile(files.certificate, 'utf8');
  const keyPem = await readFile(files.key, 'utf8');
  const roots = files.roots === undefined ? '' : await readFile(files.roots, 'utf8');
  checkPair(certificatePem, keyPem);
  return { certificatePem, keyPem, rootsPem: bundleOf(authority.rootBundle, roots) };
}

function checkPair(certificatePem: string, keyPem: string): void {
  if (new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem))) return;
  throw new Error('the serving key does not belong to the serving certificate');
}

export class ServingCert implements PairSource {
  readonly #obtain: () => Promise<ServingPair>;
  readonly #ports: ServingPorts;
  readonly #log: Log;
  readonly #listeners = new Set<(pair: ServingPair) => void>();
  readonly #stops: (() => void)[] = [];
  #cancelTimer: () => void = () => undefined;
  #closed = false;
  #pair: ServingPair;
  #renewing: Promise<void> = Promise.resolve();

  constructor(pair: ServingPair, obtain: () => Promise<ServingPair>, ports: ServingPorts) {
    this.#pair = pair;
    this.#obtain = obtain;
    this.#ports = ports;
    this.#log = ports.log.child('ca');
  }

  get current(): ServingPair {
    return this.#pair;
  }

  /** Credentials for a grpc-js server. Established connections live on through a renewal, new ones see the new pair. */
  credentials(): ServerCredentials {
    return servingCredentials(this);
  }

  /** Hears of each new pair; returns the unsubscribe. HTTPS servers use it for `setSecureContext`. */
  onChange(listener: (pair: ServingPair) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Starts renewing: when the authority changes, when files change, at half of the certificate's life. */
  follow(authority: Authority, files: ServingFiles | undefined): void {
    this.#stops.push(authority.onChange(() => void this.renew()));
    if (files === undefined) this.#schedule(this.#halfLife());
    else this.#stops.push(watchDirectory(dirname(files.certificate), this.#ports.timers, () => void this.renew()));
  }

  /** Obtains a new pair now; on failure the old one stays and another attempt follows. Never throws. */
  renew(): Promise<void> {
    this.#renewing = this.#renewing.then(async () => {
      try {
        this.#publish(await this.#obtain());
      } catch (error) {
        this.#log.error({ reason: reasonOf(error) }, 'serving certificate not renewed, the old one stays in use');
        this.#schedule(this.#ports.clock.now() + RETRY_MS);
      }
    });
    return this.#renewing;
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    for (const stop of this.#stops) stop();
    this.#listeners.clear();
  }

  #publish(pair: ServingPair): void {
    const old = this.#pair;
    if (old.certificatePem === pair.certificatePem && old.rootsPem === pair.rootsPem && old.keyPem === pair.keyPem)
      return;
    this.#pair = pair;
    for (const listener of this.#listeners) listener(pair);
    this.#schedule(this.#halfLife());
  }

  #halfLife(): number {
    const certificate = new X509Certificate(this.#pair.certificatePem);
    const end = Date.parse(certificate.validTo);
    const half = end - (end - Date.parse(certificate.validFrom)) / 2;
    return Math.max(half, this.#ports.clock.now() + RETRY_MS);
  }

  #schedule(at: number): void {
    this.#cancelTimer();
    if (this.#closed) return;
    const left = at - this.#ports.clock.now();
    const next = left > MAX_WAIT_MS ? () => this.#schedule(at) : () => void this.renew();
    this.#cancelTimer = this.#ports.timers.setTimeout(next, Math.min(left, MAX_WAIT_MS));
  }
}
