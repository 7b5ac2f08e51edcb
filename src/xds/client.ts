// A small ADS client over gRPC that talks as Envoy does: for tests, for the CLI's debug types, for the benchmark's proxies.
// In: an address, subscriptions. Out: updates, which it acknowledges unless told otherwise.

import { type ChannelCredentials, type ChannelOptions, Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { type ClientResource, ClientState, type Keep, type Update, type Verdict } from './client-state.ts';
import type { Mode } from './encode.ts';

export interface AdsClientOptions {
  /** `host:port`. */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly mode: Mode;
  /** An encoded Node, see nodeOf. */
  readonly node: Buffer;
  /** Headers, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly channel?: ChannelOptions | undefined;
  /** Rejects an update by giving a reason. */
  readonly verdict?: Verdict | undefined;
  readonly keep?: Keep | undefined;
  readonly onUpdate?: ((update: Update) => void) | undefined;
  /** The stream has ended; not called after `close`. */
  readonly onEnd?: ((status: { readonly code: number; readonly message: string }) => void) | undefined;
}

/**
 * gRPC's limit for responses is 4 MiB by default; the clusters of a large mesh are more. Clients of one process share
 * connections unless told otherwise: one that doesn't read would hold up the others.
 */
const CHANNEL: ChannelOptions = { 'grpc.max_receive_message_length': -1, 'grpc.use_local_subchannel_pool': 1 };

export class AdsClient {
  readonly #options: AdsClientOptions;
  readonly #client: Client;
  readonly #state: ClientState;
  #call: ClientDuplexStream<Buffer, Buffer> | undefined;
  #closed = false;

  constructor(options: AdsClientOptions) {
    this.#options = options;
    this.#client = new Client(options.address, options.credentials, { ...CHANNEL, ...options.channel });
    this.#state = new ClientState(options.mode, options.node, options.keep);
    this.#open();
  }

  /** What the client holds of a type, by name. */
  held(typeUrl: string): ReadonlyMap<string, ClientResource> {
    return this.#state.held(typeUrl);
  }

  /** What is asked for by name. */
  names(typeUrl: string): ReadonlySet<string> {
    return this.#state.names(typeUrl);
  }

  subscribe(typeUrl: string, names?: readonly string[]): void {
    this.#write(this.#state.subscribe(typeUrl, names));
  }

  unsubscribe(typeUrl: string, names: readonly string[]): void {
    this.#write(this.#state.unsubscribe(typeUrl, names));
  }

  /** Sends any bytes as a request. */
  raw(bytes: Buffer): void {
    this.#write(bytes);
  }

  /** Opens a new stream and restores all subscriptions, telling what is held. */
  reconnect(): void {
    this.#call?.removeAllListeners();
    this.#call?.on('error', () => {});
    this.#call?.cancel();
    this.#open();
    for (const request of this.#state.reconnect()) this.#write(request);
  }

  close(): void {
    this.#closed = true;
    this.#call?.cancel();
    this.#client.close();
  }

  #open(): void {
    const method = this.#options.mode === 'sotw' ? 'StreamAggregatedResources' : 'DeltaAggregatedResources';
    const path = `/envoy.service.discovery.v3.AggregatedDiscoveryService/${method}`;
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(this.#options.headers ?? {})) metadata.set(name, value);
    const call = this.#client.makeBidiStreamRequest(path, same, same, metadata);
    call.on('data', (bytes: Buffer) => this.#receive(bytes));
    call.on('error', () => {});
    call.on('status', ({ code, details }) => {
      if (!this.#closed && call === this.#call) this.#options.onEnd?.({ code, message: details });
    });
    this.#call = call;
  }

  #receive(bytes: Buffer): void {
    const { update, answer } = this.#state.receive(bytes, this.#options.verdict ?? (() => undefined));
    this.#write(answer);
    this.#options.onUpdate?.(update);
  }

  #write(bytes: Buffer): void {
    this.#call?.write(bytes);
  }
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
