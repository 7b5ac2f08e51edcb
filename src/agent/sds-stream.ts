// One SDS stream's memory: what Envoy asked for, what it was sent, what it took.
// In: requests in protocol form and news of secrets; out: responses. Knows neither gRPC nor bytes, and serves both forms of xDS.
// Called by sds.

import type { NamedSecret, SecretTable } from './secrets.ts';

export interface SecretRequest {
  readonly nonce: string;
  readonly error: string | undefined;
  readonly subscribe: readonly string[];
  /** SotW: `subscribe` is the whole list. Delta: names to leave. */
  readonly unsubscribe: readonly string[] | 'others';
  /** Delta, first request: what Envoy still holds from an earlier stream. */
  readonly held: Readonly<Record<string, string>>;
}

export interface SecretResponse {
  readonly nonce: string;
  readonly version: string;
  readonly secrets: readonly NamedSecret[];
}

export interface SecretStreamEvents {
  send(response: SecretResponse): void;
  refused(names: readonly string[], reason: string): void;
}

interface Subscription {
  readonly stop: () => void;
  /** Version last sent; an equal one is not sent again. */
  sent: string | undefined;
}

export class SecretStream {
  readonly #table: SecretTable;
  readonly #form: 'sotw' | 'delta';
  readonly #events: SecretStreamEvents;
  readonly #subscriptions = new Map<string, Subscription>();
  #nonce = 0;
  #closed = false;
  #working: Promise<void> = Promise.resolve();

  constructor(table: SecretTable, form: 'sotw' | 'delta', events: SecretStreamEvents) {
    this.#table = table;
    this.#form = form;
    this.#events = events;
  }

  /** Takes a request. A NACK is reported and not answered: the same secret would be refused again. */
  request(request: SecretRequest): void {
    if (request.error !== undefined) this.#events.refused([...this.#subscriptions.keys()], request.error);
    // SotW: a request that answers an older response will be followed by one for the newest.
    if (this.#form === 'sotw' && request.nonce !== '' && request.nonce !== String(this.#nonce)) return;
    const left = request.unsubscribe === 'others' ? this.#namesOutside(request.subscribe) : request.unsubscribe;
    for (const name of left) this.#leave(name);
    const added = request.subscribe.filter((name) => this.#form === 'delta' || !this.#subscriptions.has(name));
    for (const name of added) this.#join(name, request.held[name]);
    if (added.length > 0) this.#update();
  }

  close(): void {
    this.#closed = true;
    for (const name of this.#subscriptions.keys()) this.#leave(name);
  }

  #namesOutside(names: readonly string[]): string[] {
    return [...this.#subscriptions.keys()].filter((name) => !names.includes(name));
  }

  #join(name: string, held: string | undefined): void {
    const known = this.#subscriptions.get(name);
    if (known !== undefined) {
      // Delta: asking again for what one has means that it was lost, and it is sent again.
      known.sent = undefined;
      return;
    }
    this.#subscriptions.set(name, { stop: this.#table.watch(name, () => this.#update()), sent: held });
  }

  #leave(name: string): void {
    this.#subscriptions.get(name)?.stop();
    this.#subscriptions.delete(name);
  }

  /** Sends what is new, one update after the other; secrets that do not exist yet are waited for. */
  #update(): void {
    this.#working = this.#working.then(async () => {
      const found: NamedSecret[] = [];
      let isNews = false;
      for (const [name, subscription] of this.#subscriptions) {
        const secret = await this.#table.get(name);
        if (secret === undefined) continue;
        const isNew = subscription.sent !== secret.version;
        if (isNew || this.#form === 'sotw') found.push(secret);
        if (isNew) isNews = true;
        subscription.sent = secret.version;
      }
      if (this.#closed || !isNews) return;
      this.#nonce++;
      const version = found.map((secret) => secret.version).join('.');
      this.#events.send({ nonce: String(this.#nonce), version, secrets: found });
    });
  }
}
