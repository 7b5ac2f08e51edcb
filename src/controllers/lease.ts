// Leader election by a Lease: of all replicas that race for one, the holder alone does the work that goes with it.
// In: an API server, a clock. Out: a call to `lead` with a signal that is aborted when the lease is lost or given up.
// Called by leader.ts for each group of controllers.
//
// A holder renews every `retryMs`. Who isn't holder watches the record change: one that stood still for the holder's own
// `leaseDurationSeconds`, measured by the clock of the one who watches, is up for taking. So clocks need not agree.
// docs/decisions/0010-leases.md has the figures.

import { setMaxListeners } from 'node:events';
import type { Clock, Log, Timers } from '../lib/ports.ts';
import { type KubeApi, KubeError } from '../sources/kube-api.ts';
import { orMissing } from '../sources/kube-discovery.ts';
import { wait } from '../sources/wait.ts';

export interface ElectionTimes {
  /** A record that nobody renewed for so long may be taken. */
  readonly leaseMs: number;
  /** A holder that could not renew for so long stops to lead; well below `leaseMs`. */
  readonly renewMs: number;
  /** Between attempts, with up to a fifth of jitter. */
  readonly retryMs: number;
}

export const ELECTION_TIMES: ElectionTimes = { leaseMs: 9_000, renewMs: 6_000, retryMs: 1_500 };

export interface ElectionOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly namespace: string;
  readonly name: string;
  /** Of this replica: the name of its pod. */
  readonly identity: string;
  readonly times?: ElectionTimes | undefined;
  /** Begins the work of the leader, and ends it when the signal is aborted. */
  readonly lead: (signal: AbortSignal) => void;
}

interface LeaseSpec {
  readonly holderIdentity?: string | null | undefined;
  readonly leaseDurationSeconds?: number | null | undefined;
  readonly acquireTime?: string | null | undefined;
  readonly renewTime?: string | null | undefined;
  readonly leaseTransitions?: number | null | undefined;
}

interface Lease {
  readonly metadata: { readonly resourceVersion?: string | undefined };
  readonly spec?: LeaseSpec | undefined;
}

export class Election {
  readonly #options: ElectionOptions;
  readonly #times: ElectionTimes;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #leading: AbortController | undefined;
  #renewedAt = 0;
  #denied = '';
  /** The record as it was seen to change last, and when. */
  #seen: { readonly record: string; readonly at: number } | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#times = options.times ?? ELECTION_TIMES;
  }

  get leading(): boolean {
    return this.#leading !== undefined;
  }

  start(): void {
    this.#running = this.#race();
  }

  /** Ends the work and gives the lease up, so that another replica takes over at once. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const led = this.#leading !== undefined;
    this.#resign('stopping');
    if (led) await this.#release();
  }

  async #race(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#attempt(signal);
      if (signal.aborted) return;
      const jitter = 1 + this.#options.random() / 5;
      await wait(this.#options.timers, this.#times.retryMs * jitter, signal);
    }
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { log, name } = this.#options;
    // A request that hangs must not keep a holder from noticing that its time is up.
    const bounded = this.#bounded(this.#times.renewMs / 2, signal);
    try {
      const began = this.#options.clock.now();
      if (await this.#hold(bounded.signal)) this.#held(began);
      else this.#resign('another replica holds the lease');
    } catch (error) {
      if (signal.aborted) return;
      // Passing failures are no news; a server that will never allow it is.
      const text = error instanceof Error ? error.message : String(error);
      const denied = error instanceof KubeError && (error.status === 401 || error.status === 403);
      if (denied && text !== this.#denied) log.warn({ lease: name, error: text }, 'not allowed to hold the lease');
      else log.debug({ lease: name, error: text }, 'lease not renewed');
      this.#denied = denied ? text : '';
    } finally {
      bounded.done();
    }
    if (this.leading && this.#options.clock.now() - this.#renewedAt >= this.#times.renewMs)
      this.#resign('the lease could not be renewed in time');
  }

  #held(began: number): void {
    this.#renewedAt = began;
    if (this.#leading !== undefined) return;
    this.#leading = new AbortController();
    // Everything that a leader does listens to it.
    setMaxListeners(0, this.#leading.signal);
    this.#options.log.info({ lease: this.#options.name, identity: this.#options.identity }, 'leading');
    this.#options.lead(this.#leading.signal);
  }

  #resign(reason: string): void {
    if (this.#leading === undefined) return;
    this.#options.log.info({ lease: this.#options.name, reason }, 'no longer leading');
    this.#leading.abort();
    this.#leading = undefined;
  }

  /** True when the lease is this replica's from now on. */
  async #hold(signal: AbortSignal): Promise<boolean> {
    const { identity, clock } = this.#options;
    const lease = await this.#read(signal);
    const now = clock.now();
    if (lease === undefined) return this.#write({ method: 'POST', path: this.#collection() }, undefined, now, signal);
    const spec = lease.spec ?? {};
    const record = JSON.stringify([spec.holderIdentity, spec.renewTime, lease.metadata.resourceVersion]);
    if (this.#seen?.record !== record) this.#seen = { record, at: now };
    const duration = (spec.leaseDurationSeconds ?? 0) * 1000;
    const free = (spec.holderIdentity ?? '') === '' || now - this.#seen.at >= duration;
    if (spec.holderIdentity !== identity && !free) return false;
    return this.#write({ method: 'PUT', path: this.#path() }, lease, now, signal);
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    return (await orMissing(this.#options.api.get(this.#path(), {}, signal))) as Lease | undefined;
  }

  async #write(
    target: { readonly method: 'POST' | 'PUT'; readonly path: string },
    before: Lease | undefined,
    now: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { api, namespace, name, identity } = this.#options;
    const old = before?.spec;
    const mine = old?.holderIdentity === identity;
    const time = microTime(now);
    const spec: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#times.leaseMs / 1000),
      acquireTime: mine ? (old?.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: (old?.leaseTransitions ?? 0) + (mine || before === undefined ? 0 : 1),
    };
    const metadata = { ...before?.metadata, namespace, name };
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
    try {
      await api.send({ ...target, body }, signal);
      return true;
    } catch (error) {
      // Somebody else wrote in between: compare-and-set by resourceVersion.
      if (error instanceof KubeError && error.status === 409) return false;
      throw error;
    }
  }

  async #release(): Promise<void> {
    const { signal, done } = this.#bounded(this.#times.retryMs);
    try {
      const lease = await this.#read(signal);
      if (lease?.spec?.holderIdentity !== this.#options.identity) return;
      const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 };
      await this.#options.api.send({ method: 'PUT', path: this.#path(), body: { ...lease, spec } }, signal);
    } catch (error) {
      this.#options.log.info({ lease: this.#options.name, error: String(error) }, 'lease not released, it runs out');
    } finally {
      done();
    }
  }

  #collection(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
  }

  #path(): string {
    return `${this.#collection()}/${this.#options.name}`;
  }

  /** A signal that is aborted with another one, or after a time; `done` lets go of both. */
  #bounded(ms: number, outer?: AbortSignal): { readonly signal: AbortSignal; readonly done: () => void } {
    const controller = new AbortController();
    const stop = (): void => controller.abort();
    const cancel = this.#options.timers.setTimeout(stop, ms);
    outer?.addEventListener('abort', stop, { once: true });
    return {
      signal: controller.signal,
      done: () => {
        cancel();
        outer?.removeEventListener('abort', stop);
      },
    };
  }
}

/** As Kubernetes writes MicroTime. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
