// The workload's certificate over time: obtained at start, renewed at half of its life, kept until a better one is there.
// In: a SecretSource; out: the current WorkloadSecret and news of each change. One request at a time, cached in memory only.
// Called by agent.ts; sds.ts listens.

import { randomBytes } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleOf } from '../ca/pem.ts';
import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import type { SecretSource, WorkloadSecret } from './certificate-sources.ts';
import type { CertificatePolicy } from './config.ts';

export interface CertificatePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

export interface SecretChange {
  readonly certificate: boolean;
  readonly roots: boolean;
}

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Waits are cut into pieces measured by the wall clock: timers stand still while a machine sleeps, certificates do not. */
const MAX_WAIT_MS = 10 * 60_000;
/** A new root is news to every proxy at once: their renewals are spread over this time. */
const NEWS_SPREAD_MS = 30_000;
/** However short a certificate's life is, the authority is not asked in a loop. */
const MIN_WAIT_MS = 1000;

/** When to renew: at the end less a part of the lifetime, spread so that a fleet started together does not renew together. */
export function renewalTime(secret: WorkloadSecret, policy: CertificatePolicy, random: number): number {
  const life = secret.notAfter - secret.notBefore;
  const ratio = policy.graceRatio + (2 * random - 1) * policy.graceJitter;
  return secret.notAfter - life * Math.min(1, Math.max(0, ratio));
}

export class WorkloadCertificates {
  readonly #source: SecretSource;
  readonly #policy: CertificatePolicy;
  readonly #ports: CertificatePorts;
  readonly #log: Log;
  readonly #listeners = new Set<(change: SecretChange) => void>();
  readonly #metrics: ReturnType<typeof metricsOf>;
  #current: WorkloadSecret | undefined;
  /** As the source gave it. */
  #obtained: WorkloadSecret | undefined;
  #pending: Promise<void> | undefined;
  #cancelTimer: () => void = () => undefined;
  #stopFollowing: () => void = () => undefined;
  #failures = 0;
  #closed = false;
  /** Trusted besides those that came with the certificate, PEM. */
  #extraRoots = '';

  constructor(source: SecretSource, policy: CertificatePolicy, ports: CertificatePorts) {
    this.#source = source;
    this.#policy = policy;
    this.#ports = ports;
    this.#log = ports.log.child('certificates');
    this.#metrics = metricsOf(ports.meter);
  }

  get current(): WorkloadSecret | undefined {
    return this.#current;
  }

  /** Begins to obtain and follow; the first certificate is there when the promise resolves, or is being retried for. */
  start(): Promise<void> {
    this.#stopFollowing = this.#source.follow?.(() => this.#heardNews()) ?? this.#stopFollowing;
    return this.renew();
  }

  /** Hears of every new certificate or root; returns the unsubscribe. */
  onChange(listener: (change: SecretChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Obtains anew now. Never rejects: a failure keeps what is there and tries again later. */
  renew(): Promise<void> {
    this.#pending ??= this.#renewOnce().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** Trusts further roots from now on, in place of those given before, and has a new certificate signed. */
  trustAlso(rootsPem: string): void {
    if (rootsPem === this.#extraRoots) return;
    this.#extraRoots = rootsPem;
    if (this.#obtained !== undefined) this.#publish(this.#obtained);
    void this.renew();
  }

  /** Brings the remaining life up to date; called before each scrape. */
  refreshMetrics(): void {
    if (this.#current === undefined) return;
    const seconds = (this.#current.notAfter - this.#ports.clock.now()) / 1000;
    this.#metrics.expiry.set(seconds, { resource_name: 'default' });
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#stopFollowing();
    this.#listeners.clear();
  }

  async #renewOnce(): Promise<void> {
    this.#metrics.requests.inc();
    try {
      const secret = await this.#source.obtain();
      if (this.#closed) return;
      this.#failures = 0;
      this.#obtained = secret;
      await this.#write(this.#whole(secret));
      this.#publish(secret);
    } catch (error) {
      if (!this.#closed) this.#failed(error);
    }
  }

  #whole(secret: WorkloadSecret): WorkloadSecret {
    return this.#extraRoots === '' ? secret : { ...secret, rootsPem: bundleOf(secret.rootsPem, this.#extraRoots) };
  }

  #publish(obtained: WorkloadSecret): void {
    const secret = this.#whole(obtained);
    const old = this.#current;
    const certificate = old?.certificatePem !== secret.certificatePem || old.keyPem !== secret.keyPem;
    const roots = old?.rootsPem !== secret.rootsPem;
    this.#current = secret;
    this.refreshMetrics();
    if (this.#source.kind === 'authority') this.#schedule(this.#renewalOf(secret));
    if (!certificate && !roots) return;
    this.#log.info({ expires: new Date(secret.notAfter).toISOString(), roots }, 'workload certificate obtained');
    for (const listener of this.#listeners) listener({ certificate, roots });
  }

  #failed(error: unknown): void {
    this.#failures++;
    this.#metrics.failures.inc();
    const delay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
    const reason = error instanceof Error ? error.message : String(error);
    const left = this.#current === undefined ? 'none yet' : new Date(this.#current.notAfter).toISOString();
    this.#log.error({ reason, validUntil: left, retryMs: delay }, 'no new workload certificate');
    this.#schedule(this.#ports.clock.now() + delay * (1 + 0.1 * this.#ports.random()));
  }

  #heardNews(): void {
    if (this.#source.kind === 'files') void this.renew();
    else this.#schedule(this.#ports.clock.now() + NEWS_SPREAD_MS * this.#ports.random());
  }

  #renewalOf(secret: WorkloadSecret): number {
    const at = renewalTime(secret, this.#policy, this.#ports.random());
    return Math.max(at, this.#ports.clock.now() + MIN_WAIT_MS);
  }

  #schedule(at: number): void {
    this.#cancelTimer();
    if (this.#closed) return;
    const left = at - this.#ports.clock.now();
    const next = left > MAX_WAIT_MS ? () => this.#schedule(at) : () => void this.renew();
    this.#cancelTimer = this.#ports.timers.setTimeout(next, Math.min(left, MAX_WAIT_MS));
  }

  /** For those who cannot speak SDS. A full disk must not keep Envoy from its certificate. */
  async #write(secret: WorkloadSecret): Promise<void> {
    const directory = this.#policy.outputDirectory;
    if (directory === undefined || this.#source.kind === 'files') return;
    try {
      await mkdir(directory, { recursive: true });
      await replaceFile(directory, 'key.pem', secret.keyPem, 0o600);
      await replaceFile(directory, 'cert-chain.pem', secret.certificatePem, 0o644);
      await replaceFile(directory, 'root-cert.pem', secret.rootsPem, 0o644);
    } catch (error) {
      this.#log.error({ directory, reason: String(error) }, 'certificate not written to the output directory');
    }
  }
}

async function replaceFile(directory: string, name: string, text: string, mode: number): Promise<void> {
  const draft = join(directory, `.${name}-${randomBytes(4).toString('hex')}`);
  await writeFile(draft, text, { mode });
  await rename(draft, join(directory, name));
}

function metricsOf(meter: Meter) {
  return {
    requests: meter.counter('istio_agent_num_outgoing_requests', 'Attempts to obtain a workload certificate.'),
    failures: meter.counter(
      'istio_agent_num_failed_outgoing_requests',
      'Failed attempts to obtain a workload certificate.',
    ),
    expiry: meter.gauge('istio_agent_cert_expiry_seconds', 'Seconds until the certificate ends.', ['resource_name']),
  };
}
