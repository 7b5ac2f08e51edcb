// The health of a workload outside Kubernetes: the agent probes it as a kubelet would, and tells the control plane.
// In: the readinessProbe of the ProxyConfig, whether Envoy is ready; out: a HealthFeed with news on each change.
// Called by agent.ts; relay-traffic.ts sends what is said here.

import type { Log, Timers } from '../../lib/ports.ts';
import type { HealthFeed, HealthReport } from '../relay-traffic.ts';
import { type Probe, parseProbe, runProbe } from './probe.ts';
import type { ProbeTarget } from './target.ts';

export interface HealthProbe {
  readonly probe: Probe;
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** Says what is wrong where it can't be read. */
export function parseHealthProbe(value: unknown): HealthProbe | string {
  const probe = parseProbe(value);
  if (typeof probe === 'string') return probe;
  const fields = value as Readonly<Record<string, unknown>>;
  const number = (name: string, fallback: number, least: number): number => {
    const given = fields[name];
    return typeof given === 'number' && given >= least ? given : fallback;
  };
  return {
    probe,
    initialDelayMs: number('initialDelaySeconds', 0, 0) * 1000,
    periodMs: number('periodSeconds', 10, 1) * 1000,
    successThreshold: number('successThreshold', 1, 1),
    failureThreshold: number('failureThreshold', 1, 1),
  };
}

export interface HealthParts {
  readonly probe: HealthProbe;
  readonly target: ProbeTarget;
  /** Why Envoy is not ready; undefined when it is. */
  envoyProblem(): Promise<string | undefined>;
  readonly timers: Timers;
  readonly log: Log;
}

export interface HealthChecker extends HealthFeed {
  close(): void;
}

/** Begins to probe. */
export function checkHealth(parts: HealthParts): HealthChecker {
  const checker = new PeriodicCheck(parts);
  checker.start();
  return checker;
}

class PeriodicCheck implements HealthChecker {
  readonly #parts: HealthParts;
  readonly #listeners = new Set<() => void>();
  #last: HealthReport | undefined;
  #successes = 0;
  #failures = 0;
  #closed = false;
  #cancel: () => void = () => undefined;

  constructor(parts: HealthParts) {
    this.#parts = parts;
  }

  get last(): HealthReport | undefined {
    return this.#last;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#schedule(this.#parts.probe.initialDelayMs);
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#listeners.clear();
  }

  #schedule(ms: number): void {
    if (this.#closed) return;
    this.#cancel = this.#parts.timers.setTimeout(() => {
      void this.#check().then(() => this.#schedule(this.#parts.probe.periodMs));
    }, ms);
  }

  async #check(): Promise<void> {
    const { probe, target } = this.#parts;
    const problem = (await this.#parts.envoyProblem()) ?? problemOf(await runProbe(probe.probe, target));
    if (this.#closed) return;
    if (problem === undefined) {
      this.#successes++;
      this.#failures = 0;
      if (this.#successes >= probe.successThreshold) this.#report({ healthy: true, message: '' });
    } else {
      this.#failures++;
      this.#successes = 0;
      if (this.#failures >= probe.failureThreshold) this.#report({ healthy: false, message: problem });
    }
  }

  /** Only a change of state is news: the words about an illness may differ at each look. */
  #report(report: HealthReport): void {
    if (this.#last?.healthy === report.healthy) return;
    this.#last = report;
    this.#parts.log.info({ ...report }, report.healthy ? 'workload is healthy' : 'workload is not healthy');
    for (const listener of this.#listeners) listener();
  }
}

function problemOf({ ok, status, text }: { readonly ok: boolean; readonly status: number; readonly text: string }) {
  return ok ? undefined : `status ${status}: ${text.slice(0, 256)}`;
}
