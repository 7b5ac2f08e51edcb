// Certificates for workloads that have nobody to ask for one: an Envoy alone, without an agent. The key is made here, and
// goes over the TLS stream on which the proxy has proven who it is, to that proxy only.
// In: a proven identity; out: a WorkloadLease, with news of each renewal. Keys are in memory only and never logged.
// Called by server.ts, which hands it to the plane as a port.

import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import type { Authority } from './authority.ts';
import { newKeyPair } from './csr-request.ts';
import { reasonOf } from './errors.ts';

export interface WorkloadKeyPair {
  /** Leaf first, then intermediates, PEM. */
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
}

export interface WorkloadLease {
  /** Undefined until the first is there. The same object until the next. */
  readonly current: WorkloadKeyPair | undefined;
  /** Ends it; the key is forgotten. */
  release(): void;
}

export interface WorkloadSecretsOptions {
  /** Of each certificate, seconds. */
  readonly lifetimeSeconds: number;
}

export interface WorkloadSecretsPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

export interface WorkloadSecrets {
  /** Begins to obtain; `changed` is called, never synchronously, whenever `current` has become another. */
  lease(identity: string, changed: () => void): WorkloadLease;
  close(): void;
}

/** As agents have it: short enough that a stolen key is soon worthless. */
export const WORKLOAD_LIFETIME_SECONDS = 24 * 3600;

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Waits are cut into pieces measured by the wall clock: timers stand still while a machine sleeps. */
const MAX_WAIT_MS = 10 * 60_000;
/** At half of its life, spread a little, so that workloads that started together do not renew together. */
const RENEW_AT = 0.5;
const JITTER = 0.01;

export function workloadSecrets(
  authority: Authority,
  options: WorkloadSecretsOptions,
  ports: WorkloadSecretsPorts,
): WorkloadSecrets {
  const log = ports.log.child('ca');
  const leases = new Set<Lease>();
  const count = ports.meter.gauge('meltemi_workload_keys', 'Keys held for proxies without an agent.');
  const issued = ports.meter.counter('meltemi_workload_keys_issued_total', 'Keys made for proxies without an agent.');
  const obtain = async (identity: string): Promise<WorkloadKeyPair> => {
    const { publicKey, privateKey } = await newKeyPair({ kind: 'ecdsa' });
    const chain = await authority.certifyOwn(publicKey, [identity], options.lifetimeSeconds);
    issued.inc();
    const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { chainPem: chain.join(''), keyPem, rootsPem: authority.rootBundle };
  };
  const unfollow = authority.onChange(({ rootsChanged }) => {
    for (const lease of leases) lease.authorityChanged(rootsChanged ? authority.rootBundle : undefined);
  });
  return {
    lease: (identity, changed) => {
      const lease = new Lease({
        identity,
        lifetimeMs: options.lifetimeSeconds * 1000,
        obtain: () => obtain(identity),
        changed,
        ports,
        log,
        ended: () => {
          leases.delete(lease);
          count.set(leases.size);
        },
      });
      leases.add(lease);
      count.set(leases.size);
      lease.renew();
      return lease;
    },
    close: () => {
      unfollow();
      for (const lease of [...leases]) lease.release();
    },
  };
}

interface LeaseParts {
  readonly identity: string;
  readonly lifetimeMs: number;
  obtain(): Promise<WorkloadKeyPair>;
  changed(): void;
  ended(): void;
  readonly ports: WorkloadSecretsPorts;
  readonly log: Log;
}

class Lease implements WorkloadLease {
  readonly #parts: LeaseParts;
  #current: WorkloadKeyPair | undefined;
  #failures = 0;
  #released = false;
  #cancel: () => void = () => undefined;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
  }

  get current(): WorkloadKeyPair | undefined {
    return this.#current;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#current = undefined;
    this.#cancel();
    this.#parts.ended();
  }

  /** New roots are trusted at once, and a little later the certificate comes from the signer of now. */
  authorityChanged(rootsPem: string | undefined): void {
    const { ports } = this.#parts;
    if (rootsPem !== undefined && this.#current !== undefined) this.#publish({ ...this.#current, rootsPem });
    this.#schedule(ports.clock.now() + SPREAD_MS * ports.random());
  }

  renew(): void {
    const { identity, log, ports } = this.#parts;
    this.#parts.obtain().then(
      (pair) => {
        if (this.#released) return;
        this.#failures = 0;
        this.#schedule(this.#renewalTime());
        this.#publish(pair);
      },
      (error: unknown) => {
        if (this.#released) return;
        const delay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures++, 10));
        log.error({ identity, reason: reasonOf(error), retryMs: delay }, 'no certificate for a proxy without an agent');
        this.#schedule(ports.clock.now() + delay);
      },
    );
  }

  #renewalTime(): number {
    const { lifetimeMs, ports } = this.#parts;
    return ports.clock.now() + lifetimeMs * (RENEW_AT + (2 * ports.random() - 1) * JITTER);
  }

  #publish(pair: WorkloadKeyPair): void {
    this.#current = pair;
    this.#parts.changed();
  }

  #schedule(at: number): void {
    this.#cancel();
    if (this.#released) return;
    const { clock, timers } = this.#parts.ports;
    const left = at - clock.now();
    const next = left > MAX_WAIT_MS ? () => this.#schedule(at) : () => this.renew();
    this.#cancel = timers.setTimeout(next, Math.min(left, MAX_WAIT_MS));
  }
}

/** A new signer is news to every proxy at once: their renewals are spread over this time. */
const SPREAD_MS = 30_000;
