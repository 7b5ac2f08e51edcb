// Whether a service account may read the Secrets of its namespace, judged by the cluster's own rules.
// In: SubjectAccessReviews. Out: the port by which the plane decides whether a gateway is given a credential.
// Answers are remembered and asked for again while a proxy depends on them, so that a right that was taken away takes its
// effect. Where the API server doesn't answer, the last answer stands; without one the proxy waits.

import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import type { SecretAccess } from '../plane/secret-access.ts';
import type { KubeApi } from '../sources/kube-api.ts';
import { isRecord } from '../sources/kube-discovery.ts';

export interface AccessReviewOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly meter: Meter;
}

/** As istiod remembers them, ms. */
const ALLOWED_MS = 5 * 60_000;
const DENIED_MS = 60_000;
const RETRY_MS = 2_000;
const ANSWER_MS = 10_000;

interface Entry {
  answer: boolean | undefined;
  until: number;
  asking: boolean;
  cancel: (() => void) | undefined;
  readonly dependents: Set<() => void>;
}

export function accessReviewer(options: AccessReviewOptions): SecretAccess {
  return new AccessReviewer(options);
}

class AccessReviewer implements SecretAccess {
  readonly #options: AccessReviewOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #asked;

  constructor(options: AccessReviewOptions) {
    this.#options = options;
    this.#asked = options.meter.counter(
      'meltemi_secret_access_reviews_total',
      'Reviews of whether a service account may read Secrets, by result.',
      ['result'],
    );
  }

  mayRead(namespace: string, serviceAccount: string, changed: () => void): boolean {
    const key = `${namespace}/${serviceAccount}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { answer: undefined, until: 0, asking: false, cancel: undefined, dependents: new Set() };
      this.#entries.set(key, entry);
    }
    entry.dependents.add(changed);
    if (entry.until <= this.#options.clock.now()) void this.#ask(key, entry);
    return entry.answer ?? false;
  }

  leave(changed: () => void): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.dependents.delete(changed) || entry.dependents.size > 0) continue;
      entry.cancel?.();
      this.#entries.delete(key);
    }
  }

  async #ask(key: string, entry: Entry): Promise<void> {
    if (entry.asking) return;
    entry.asking = true;
    entry.cancel?.();
    const { clock, log } = this.#options;
    let wait = RETRY_MS;
    try {
      const answer = await this.#review(key);
      wait = answer ? ALLOWED_MS : DENIED_MS;
      this.#asked.inc({ result: answer ? 'allowed' : 'denied' });
      if (answer !== (entry.answer ?? false)) {
        log.info({ account: key, allowed: answer }, 'right to read Secrets decided');
        entry.answer = answer;
        for (const changed of [...entry.dependents]) changed();
      }
      entry.answer = answer;
    } catch (error) {
      this.#asked.inc({ result: 'failed' });
      log.warn({ account: key, error: String(error) }, 'right to read Secrets not decided yet');
    }
    entry.asking = false;
    entry.until = clock.now() + wait;
    if (this.#entries.get(key) === entry)
      entry.cancel = this.#options.timers.setTimeout(() => void this.#ask(key, entry), wait);
  }

  async #review(key: string): Promise<boolean> {
    const [namespace = '', account = ''] = key.split('/');
    const spec = {
      user: `system:serviceaccount:${namespace}:${account}`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      resourceAttributes: { namespace, verb: 'list', version: 'v1', resource: 'secrets' },
    };
    const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const answer = await this.#options.api.send({ method: 'POST', path, body }, AbortSignal.timeout(ANSWER_MS));
    const status = isRecord(answer) ? answer['status'] : undefined;
    return isRecord(status) && status['allowed'] === true;
  }
}
