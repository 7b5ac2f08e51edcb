// One fake proxy over real gRPC: asks in the order in which Envoy does, acknowledges, follows what it was given, and comes
// back with all that it holds. Clusters first, then their endpoints; listeners once all of those are there; then routes.

import type { ChannelCredentials } from '@grpc/grpc-js';
import { encode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { AdsClient } from '../../src/xds/client.ts';
import type { Update } from '../../src/xds/client-state.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { traitsOf } from '../../src/xds/types.ts';
import { followUp } from '../follow.ts';
import type { Contents } from './contents.ts';

export interface ProxyPorts {
  readonly contents: Contents;
  /** A response came; `needless`: nothing in it was new. */
  readonly heard: (proxy: object, update: Update, needless: boolean) => void;
  readonly lost: () => void;
}

export interface Caller {
  readonly node: object;
  readonly credentials: ChannelCredentials;
}

/** The name in the server's certificate, and what an agent lets a server send before it has read: a megabyte. */
const CHANNEL = {
  'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
  'grpc-node.flow_control_window': 1024 * 1024,
};

/** Back-off of a stream that was lost, ms: from, and as much more at most. */
const RETRY = 200;

export class FakeProxy {
  readonly #client: AdsClient;
  readonly #ports: ProxyPorts;
  readonly #mode: Mode;
  #synced: (() => void) | undefined;
  #needless = false;
  #listening = false;
  #retry: NodeJS.Timeout | undefined;

  /** `synced` is called once, when it has everything that it asked for. */
  constructor(address: string, { node, credentials }: Caller, mode: Mode, ports: ProxyPorts, synced: () => void) {
    this.#ports = ports;
    this.#mode = mode;
    this.#synced = synced;
    this.#client = new AdsClient({
      address,
      credentials,
      channel: CHANNEL,
      mode,
      node: Buffer.from(encode('envoy.config.core.v3.Node', node)),
      keep: (resource) => ports.contents.of(resource),
      verdict: (update) => {
        this.#needless = this.#holds(update);
        return undefined;
      },
      onUpdate: (update) => this.#take(update),
      onEnd: () => {
        ports.lost();
        this.#retry = setTimeout(() => this.reconnect(), RETRY * (1 + Math.random()));
      },
    });
    this.#client.subscribe(TYPE_URL.cluster);
  }

  /** Another stream, which begins with what is held. */
  reconnect(): void {
    clearTimeout(this.#retry);
    this.#client.reconnect();
  }

  /** Leaves for good. */
  close(): void {
    clearTimeout(this.#retry);
    this.#client.close();
  }

  #holds({ typeUrl, resources, removed }: Update): boolean {
    const held = this.#client.held(typeUrl);
    // What a state of the world leaves out is a removal, if it is a whole one.
    if (this.#mode === 'sotw' && traitsOf(typeUrl).wholeWorld && resources.length !== held.size) return false;
    if (removed.some((name) => held.has(name))) return false;
    return resources.every((resource) => held.get(resource.name) === this.#ports.contents.of(resource));
  }

  #take(update: Update): void {
    this.#ports.heard(this, update, this.#needless);
    const seen = { ...update, resources: update.resources.map((resource) => this.#versioned(resource)) };
    const next = followUp(seen, (typeUrl) => this.#client.names(typeUrl));
    if (next !== undefined && next.added.length > 0) this.#client.subscribe(next.typeUrl, next.added);
    if (next !== undefined && next.gone.length > 0) this.#client.unsubscribe(next.typeUrl, next.gone);
    if (!this.#listening && this.#warm()) {
      this.#listening = true;
      this.#client.subscribe(TYPE_URL.listener);
    }
    if (this.#synced !== undefined && this.#complete()) {
      this.#synced();
      this.#synced = undefined;
    }
  }

  /** State of the world has no versions for single resources: the content's hash stands for one. */
  #versioned(resource: Update['resources'][number]): Update['resources'][number] {
    return resource.version === '' ? { ...this.#ports.contents.of(resource), bytes: resource.bytes } : resource;
  }

  #warm(): boolean {
    return this.#client.held(TYPE_URL.cluster).size > 0 && this.#has(TYPE_URL.endpoint);
  }

  #complete(): boolean {
    return this.#warm() && this.#client.held(TYPE_URL.listener).size > 0 && this.#has(TYPE_URL.route);
  }

  #has(typeUrl: string): boolean {
    return this.#client.held(typeUrl).size >= this.#client.names(typeUrl).size;
  }
}
