// Fake proxies over real gRPC, all in this process: each asks as Envoy does, acknowledges, and follows what it was given.
// In: an address, nodes. Out: when each was in sync, when each saw a change, what it was sent.

import { ChannelCredentials } from '@grpc/grpc-js';
import { encode } from '../src/codec/index.ts';
import { TYPE_URL } from '../src/ir/draft.ts';
import { AdsClient } from '../src/xds/client.ts';
import type { Update } from '../src/xds/client-state.ts';
import type { Mode } from '../src/xds/encode.ts';
import { followUp } from './follow.ts';

/** Nothing has come for so long, ms: it is over. */
const SILENCE = 400;

export class Fleet {
  readonly #proxies: FakeProxy[] = [];
  #last = 0;

  /** Connects all at once; resolves when every proxy has everything that it asked for. */
  async connect(address: string, nodes: readonly object[], mode: Mode): Promise<void> {
    const synced = nodes.map(
      (node) =>
        new Promise<void>((resolve) => {
          const heard = (): void => {
            this.#last = performance.now();
          };
          this.#proxies.push(new FakeProxy(address, node, mode, heard, resolve));
        }),
    );
    await Promise.all(synced);
  }

  /** Sum over all proxies since the last `reset`. */
  get received(): { readonly bytes: number; readonly responses: number; readonly resources: number } {
    const sum = { bytes: 0, responses: 0, resources: 0 };
    for (const proxy of this.#proxies) {
      sum.bytes += proxy.bytes;
      sum.responses += proxy.responses;
      sum.resources += proxy.resources;
    }
    return sum;
  }

  reset(): void {
    for (const proxy of this.#proxies) proxy.bytes = proxy.responses = proxy.resources = 0;
  }

  /** Resolves with the moments at which each proxy was sent a resource of that type that holds the text. */
  watch(typeUrl: string, text: string): Promise<readonly number[]> {
    return Promise.all(this.#proxies.map((proxy) => proxy.sees(typeUrl, Buffer.from(text))));
  }

  reconnect(): void {
    this.#last = performance.now();
    for (const proxy of this.#proxies) proxy.reconnect();
  }

  /** Resolves when nobody has heard anything for a while. */
  async silence(): Promise<void> {
    this.#last = Math.max(this.#last, performance.now() - SILENCE / 2);
    for (;;) {
      const left = this.#last + SILENCE - performance.now();
      if (left <= 0) return;
      await new Promise((resolve) => setTimeout(resolve, left));
    }
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.close();
  }
}

class FakeProxy {
  bytes = 0;
  responses = 0;
  resources = 0;
  readonly #client: AdsClient;
  readonly #heard: () => void;
  readonly #names = new Map<string, Set<string>>();
  #synced: (() => void) | undefined;
  #watch: { readonly typeUrl: string; readonly text: Buffer; readonly seen: (at: number) => void } | undefined;

  constructor(address: string, node: object, mode: Mode, heard: () => void, synced: () => void) {
    this.#heard = heard;
    this.#synced = synced;
    this.#client = new AdsClient({
      address,
      credentials: ChannelCredentials.createInsecure(),
      mode,
      node: Buffer.from(encode('envoy.config.core.v3.Node', node)),
      // Else all proxies of this process would share one connection.
      channel: { 'grpc.use_local_subchannel_pool': 1 },
      onUpdate: (update) => this.#take(update),
    });
    this.#client.subscribe(TYPE_URL.cluster);
    this.#client.subscribe(TYPE_URL.listener);
  }

  #take(update: Update): void {
    this.#heard();
    this.bytes += update.size;
    this.responses++;
    this.resources += update.resources.length;
    const { typeUrl } = update;
    const watch = this.#watch;
    if (watch?.typeUrl === typeUrl && update.resources.some(({ bytes }) => bytes.includes(watch.text))) {
      this.#watch = undefined;
      watch.seen(performance.now());
    }
    const next = followUp(update, (child) => this.#namesOf(child));
    if (next !== undefined) this.#follow(next.typeUrl, next.added, next.gone);
    if (this.#synced !== undefined && this.#complete()) {
      this.#synced();
      this.#synced = undefined;
    }
  }

  #namesOf(typeUrl: string): Set<string> {
    const names = this.#names.get(typeUrl) ?? new Set();
    this.#names.set(typeUrl, names);
    return names;
  }

  #follow(typeUrl: string, added: readonly string[], gone: readonly string[]): void {
    const names = this.#namesOf(typeUrl);
    for (const name of added) names.add(name);
    for (const name of gone) names.delete(name);
    if (added.length > 0) this.#client.subscribe(typeUrl, added);
    if (gone.length > 0) this.#client.unsubscribe(typeUrl, gone);
  }

  /** Everything asked for has come. */
  #complete(): boolean {
    const { cluster, endpoint, listener, route } = TYPE_URL;
    if (this.#client.held(cluster).size === 0 || this.#client.held(listener).size === 0) return false;
    return [endpoint, route].every((typeUrl) => this.#client.held(typeUrl).size >= this.#namesOf(typeUrl).size);
  }

  sees(typeUrl: string, text: Buffer): Promise<number> {
    return new Promise((seen) => {
      this.#watch = { typeUrl, text, seen };
    });
  }

  reconnect(): void {
    this.#client.reconnect();
  }

  close(): void {
    this.#client.close();
  }
}
