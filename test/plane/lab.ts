// A whole control plane without files and without a network: store, plane, streams, and proxies that talk as Envoy does.
// Nothing happens but in `settle`, which returns when everything that follows from a change has been sent and answered.

import { encode } from '../../src/codec/index.ts';
import { parseMeshConfig, parseMeshNetworks } from '../../src/config/mesh.ts';
import type { ConfigObject, Kind, ObjectEvent, ObjectRef } from '../../src/config/object.ts';
import { followUp } from '../../bench/follow.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { Timers } from '../../src/lib/ports.ts';
import type { Table } from '../../src/lib/table.ts';
import type { LinkInputs } from '../../src/plane/linkage.ts';
import { Plane } from '../../src/plane/plane.ts';
import type { PlaneSession } from '../../src/plane/proxy-session.ts';
import { createStore, type Store, type StoreSink } from '../../src/store/store.ts';
import { type ClientResource, ClientState, type Keep, type Update } from '../../src/xds/client-state.ts';
import { Encoder, type Message, type Mode } from '../../src/xds/encode.ts';
import { xdsMetrics } from '../../src/xds/metrics.ts';
import { NamePool } from '../../src/xds/names.ts';
import type { Peer } from '../../src/xds/port.ts';
import { Scheduler } from '../../src/xds/scheduler.ts';
import { XdsStream } from '../../src/xds/stream.ts';
import type { StreamContext } from '../../src/xds/stream-context.ts';
import { Gate } from '../../src/xds/gate.ts';
import { Unanswered } from '../../src/xds/unanswered.ts';
import { between, Metrics, silentLog } from '../xds/support.ts';

export const { cluster: CLUSTER, endpoint: ENDPOINT, listener: LISTENER, route: ROUTE } = TYPE_URL;

const NO_BYTES = Buffer.alloc(0);

const PEER: Peer = { address: 'lab', plaintext: true, identities: [] };

export interface LabOptions {
  readonly mesh?: Readonly<Record<string, unknown>> | undefined;
  readonly mode?: LinkInputs['mode'] | undefined;
  /** Proves that nothing writes into objects; costs time. */
  readonly freeze?: boolean | undefined;
  readonly now?: (() => number) | undefined;
  readonly timers?: Timers | undefined;
  /** Proxies remember names and versions alone: for thousands of them. */
  readonly lean?: boolean | undefined;
}

/** Objects of manifests; throws when one of them is refused. */
export function objectsOf(manifests: readonly unknown[]): ConfigObject[] {
  return manifests.flatMap((manifest) =>
    parseDocument(manifest, { unknownFields: 'error', origin: 'lab' }).map((parsed) => {
      if (parsed.kind !== 'object') throw new Error(JSON.stringify(parsed));
      return parsed.object;
    }),
  );
}

export class Lab {
  readonly metrics = new Metrics();
  readonly pool = new NamePool();
  readonly encoder = new Encoder();
  readonly store: Store;
  readonly plane: Plane;
  readonly proxies: LabProxy[] = [];
  readonly #sink: StoreSink;
  readonly #context: StreamContext;
  readonly #keep: Keep | undefined;
  #settings: Pick<LinkInputs, 'mesh' | 'meshNetworks'>;
  #deferred: (() => void)[] = [];
  #serial = 0;

  constructor(options: LabOptions = {}) {
    // Time stands still, so that no work is put aside.
    const clock = { now: options.now ?? ((): number => 1_000) };
    const timers = options.timers ?? { setTimeout: () => () => {} };
    this.#settings = {
      mesh: parseMeshConfig(options.mesh ?? {}).mesh,
      meshNetworks: parseMeshNetworks({}).networks,
    };
    this.#keep =
      options.lean === true ? ({ name, version }): ClientResource => ({ name, version, bytes: NO_BYTES }) : undefined;
    this.store = createStore({ validators: () => [], log: silentLog, meter: this.metrics, freeze: options.freeze });
    this.#sink = this.store.sink('lab');
    this.plane = new Plane({
      log: silentLog,
      meter: this.metrics,
      clock,
      timers,
      yieldLoop: () => Promise.resolve(),
      quiet: 0,
      max: 0,
      inputs: () => {
        const { byKind } = this.store.state();
        return {
          tables: { table: (kind: Kind): Table<ConfigObject> => byKind[kind] },
          ...this.#settings,
          domain: 'cluster.local',
          clusterId: 'Kubernetes',
          systemNamespace: 'istio-system',
          mode: options.mode ?? 'kubernetes',
        };
      },
    });
    const metrics = xdsMetrics(this.metrics);
    const defer = (run: () => void): void => void this.#deferred.push(run);
    this.#context = {
      unsent: new Gate({ timers, limit: 0, maxWait: 5_000, waiting: metrics.waiting }),
      unanswered: new Unanswered({ timers, limit: 0, waiting: metrics.waitingPushes }),
      port: between.port(this.plane, defer),
      pool: this.pool,
      encoder: this.encoder,
      scheduler: new Scheduler({ clock, defer }),
      metrics,
      clock,
      timers,
      log: silentLog,
      orderTimeout: 5_000,
      writeTimeout: 60_000,
    };
  }

  /** Puts objects in, or takes them out, without anything following from it yet. */
  apply(objects: readonly ConfigObject[], gone: readonly ObjectRef[] = []): this {
    const events: ObjectEvent[] = objects.map((object) => ({ kind: 'upsert', object }));
    for (const { kind, namespace, name } of gone) events.push({ kind: 'delete', ref: { kind, namespace, name } });
    this.#sink.apply(events);
    return this;
  }

  /** Other settings of the whole mesh, from the next snapshot on. */
  set(settings: Partial<Pick<LinkInputs, 'mesh' | 'meshNetworks'>>): void {
    this.#settings = { ...this.#settings, ...settings };
  }

  /** Everything that follows from what was applied or asked. */
  async settle(): Promise<void> {
    await this.plane.settle();
    this.talk();
  }

  /** Streams send, proxies answer, until all is said. */
  talk(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > 1_000) throw new Error('it never ends');
      for (let work = this.#deferred.shift(); work !== undefined; work = this.#deferred.shift()) work();
      let spoke = false;
      for (const proxy of this.proxies) spoke = proxy.take() || spoke;
      if (!spoke && this.#deferred.length === 0) return;
    }
  }

  /** A proxy that follows its configuration: endpoints of its clusters, routes of its listeners. */
  connect(node: object, mode: Mode = 'delta'): LabProxy {
    const open: MakeStream = (outlet) => {
      const serial = (this.#serial++).toString(36);
      return new XdsStream(mode, PEER, outlet, this.#context, serial);
    };
    const proxy = new LabProxy(node, mode, open, this.#keep);
    this.proxies.push(proxy);
    return proxy;
  }

  disconnect(proxy: LabProxy): void {
    proxy.stream.closed();
    this.proxies.splice(this.proxies.indexOf(proxy), 1);
  }

  sessionOf(proxy: LabProxy): PlaneSession {
    for (const session of this.plane.sessions) if (session.node.id === proxy.id) return session;
    throw new Error(`${proxy.id} is not connected`);
  }
}

/** What one proxy was sent. */
export interface Received {
  readonly responses: number;
  readonly resources: number;
  readonly removed: number;
  readonly bytes: number;
}

type MakeStream = (outlet: ConstructorParameters<typeof XdsStream>[2]) => XdsStream;

export class LabProxy {
  readonly id: string;
  readonly client: ClientState;
  stream: XdsStream;
  /** Since the last `reset`. */
  updates: Update[] = [];
  /** Keeps the updates themselves, which hold their bytes. */
  keep = false;
  received: Received = NOTHING;
  readonly byType = new Map<string, Received>();
  readonly #make: MakeStream;
  #inbox: Buffer[] = [];

  constructor(node: object, mode: Mode, make: MakeStream, keep?: Keep) {
    this.id = String((node as { id?: string }).id);
    this.client = new ClientState(mode, Buffer.from(encode('envoy.config.core.v3.Node', node)), keep);
    this.#make = make;
    this.stream = this.#open();
    this.#ask(CLUSTER);
    this.#ask(LISTENER);
  }

  /** Another stream for the same proxy, which says what it holds. */
  reconnect(): void {
    this.stream.closed();
    this.stream = this.#open();
    for (const request of this.client.reconnect()) this.stream.request(request);
  }

  #open(): XdsStream {
    const inbox: Buffer[] = [];
    this.#inbox = inbox;
    return this.#make({
      write: (message: Message): boolean => {
        inbox.push(message.bytes());
        return true;
      },
      end: (code, message) => {
        throw new Error(`stream of ${this.id} ended: ${code} ${message}`);
      },
      taken: () => 0,
    });
  }

  #ask(typeUrl: string, names?: readonly string[]): void {
    this.stream.request(this.client.subscribe(typeUrl, names));
  }

  /** Takes one response; false when there is none. */
  take(): boolean {
    const bytes = this.#inbox.shift();
    if (bytes === undefined) return false;
    const { update, answer } = this.client.receive(bytes, () => undefined);
    if (this.keep) this.updates.push(update);
    this.received = plus(this.received, update);
    this.byType.set(update.typeUrl, plus(this.byType.get(update.typeUrl) ?? NOTHING, update));
    this.#follow(update);
    this.stream.request(answer);
    return true;
  }

  #follow(update: Update): void {
    const next = followUp(update, (typeUrl) => this.client.names(typeUrl));
    if (next === undefined) return;
    if (next.added.length > 0) this.#ask(next.typeUrl, next.added);
    if (next.gone.length > 0) this.stream.request(this.client.unsubscribe(next.typeUrl, next.gone));
  }

  /** Starts counting anew. */
  reset(): void {
    this.received = NOTHING;
    this.byType.clear();
    this.updates = [];
  }

  held(typeUrl: string): ReadonlyMap<string, ClientResource> {
    return this.client.held(typeUrl);
  }
}

const NOTHING: Received = { responses: 0, resources: 0, removed: 0, bytes: 0 };

function plus(sum: Received, update: Update): Received {
  return {
    responses: sum.responses + 1,
    resources: sum.resources + update.resources.length,
    removed: sum.removed + update.removed.length,
    bytes: sum.bytes + update.size,
  };
}
