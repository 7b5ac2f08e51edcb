// A control plane of hand-made views, and streams to it without a network: what is sent, arrives and is answered only
// when the test says so.

import type { Counter, Gauge, Histogram, Log, Meter, Timers } from '../../src/lib/ports.ts';
import { smallTable, tableFrom, tableWith } from '../../src/lib/table.ts';
import { type Resource, resourceOf } from '../../src/resources/resource.ts';
import { type ResourceTable, shardKey, type View, viewResources } from '../../src/resources/view.ts';
import {
  ClientState,
  nodeOf,
  readDeltaResponse,
  readSotwResponse,
  type Update,
  type Verdict,
} from '../../src/xds/client-state.ts';
import { Encoder, type Message, type Mode } from '../../src/xds/encode.ts';
import { xdsMetrics } from '../../src/xds/metrics.ts';
import { NamePool } from '../../src/xds/names.ts';
import type { NackEvent, NodeInfo, Peer, ProxySession, Refusal, SentEvent, ViewPort } from '../../src/xds/port.ts';
import { Scheduler } from '../../src/xds/scheduler.ts';
import type { StreamStatus } from '../../src/xds/status.ts';
import { XdsStream } from '../../src/xds/stream.ts';
import type { StreamContext } from '../../src/xds/stream-context.ts';
import { CLUSTER, ENDPOINT, EXTENSION, LISTENER, NAME_TABLE, ROUTE, SECRET } from '../../src/xds/types.ts';
import { Gate } from '../../src/xds/gate.ts';
import { Unanswered } from '../../src/xds/unanswered.ts';
import { bytesField, stringField } from '../../src/xds/wire.ts';

export { CLUSTER, ENDPOINT, EXTENSION, LISTENER, NAME_TABLE, ROUTE, SECRET };

export const MODES: readonly Mode[] = ['sotw', 'delta'];

/** A resource whose name is its first field, like all that Envoy fetches. */
export function resource(typeUrl: string, name: string, content: string): Resource {
  return resourceOf(typeUrl, name, Buffer.concat([stringField(1, name), stringField(2, content)]));
}

export class ManualTimers implements Timers {
  now = 1_000_000;
  #timers: { at: number; fn: () => void }[] = [];

  setTimeout(fn: () => void, ms: number): () => void {
    const timer = { at: this.now + ms, fn };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get pending(): number {
    return this.#timers.length;
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.now = Math.max(this.now, next.at);
      next.fn();
    }
    this.now = end;
  }
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

/** Remembers what was counted: `name` or `name{label}`. */
export class Metrics implements Meter {
  readonly values = new Map<string, number>();

  of(name: string): number {
    return this.values.get(name) ?? 0;
  }

  counter(name: string): Counter {
    return { inc: (labels, by = 1) => this.#add(name, labels, by) };
  }

  gauge(name: string): Gauge {
    return { set: (value) => this.values.set(name, value) };
  }

  histogram(): Histogram {
    return { observe() {} };
  }

  #add(name: string, labels: Readonly<Record<string, string>> | undefined, by: number): void {
    this.values.set(name, this.of(name) + by);
    const label = Object.values(labels ?? {}).join();
    if (label !== '') this.values.set(`${name}{${label}}`, this.of(`${name}{${label}}`) + by);
  }
}

/** Views of one class of proxies, each type a shared table and optionally one of the proxy's own. */
export class World implements ViewPort {
  readonly views = new Map<string, View>();
  readonly sessions = new Set<Session>();
  refuse: Refusal | undefined;
  #connections = 0;

  constructor(...typeUrls: string[]) {
    const types = typeUrls.length > 0 ? typeUrls : [CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, EXTENSION, NAME_TABLE];
    for (const typeUrl of types) this.views.set(typeUrl, { typeUrl, parts: [tableFrom<readonly Resource[]>([])] });
  }

  connect(node: NodeInfo, peer: Peer, wake: () => void): ProxySession | Refusal {
    if (this.refuse !== undefined) return this.refuse;
    const session = new Session(this, `${node.id}-${++this.#connections}`, node, peer, wake);
    this.sessions.add(session);
    return session;
  }

  /** Sets contents by name (undefined removes), without waking anybody. */
  set(typeUrl: string, contents: Readonly<Record<string, string | undefined>>): this {
    const view = this.views.get(typeUrl);
    const [table, ...own] = view?.parts ?? [];
    if (table === undefined) throw new Error(`no view of ${typeUrl}`);
    const groups = new Map<string, readonly Resource[]>();
    for (const [name, content] of Object.entries(contents)) {
      const key = shardKey(name);
      const before = groups.get(key) ?? group(table, key);
      const rest = before.filter((other) => other.name !== name);
      groups.set(key, content === undefined ? rest : [...rest, resource(typeUrl, name, content)]);
    }
    const changes = [...groups].map(([key, list]) => [key, list.length === 0 ? undefined : list] as const);
    const next = tableWith(table, changes);
    if (next !== table) this.views.set(typeUrl, { typeUrl, parts: [next, ...own] });
    return this;
  }

  /** Gives the view a second, small table. */
  own(typeUrl: string, contents: Readonly<Record<string, string>>): this {
    const shared = this.views.get(typeUrl)?.parts[0];
    const list = Object.entries(contents).map(([name, content]) => resource(typeUrl, name, content));
    const table = smallTable(list.map((item) => [shardKey(item.name), [item]] as const));
    this.views.set(typeUrl, { typeUrl, parts: [shared as ResourceTable, table] });
    return this;
  }

  wake(): void {
    for (const session of this.sessions) session.wake();
  }

  /** Name to content of a type, as `contents(link.held(...))` gives it. */
  contents(typeUrl: string): Record<string, string> {
    const view = this.views.get(typeUrl);
    return view === undefined ? {} : contents([...viewResources(view)]);
  }
}

function group(table: ResourceTable, key: string): readonly Resource[] {
  for (const bucket of table.buckets) {
    const found = bucket.get(key);
    if (found !== undefined) return found;
  }
  return [];
}

export class Session implements ProxySession {
  readonly kind = 'session';
  readonly sentEvents: SentEvent[] = [];
  readonly ackedNonces: string[] = [];
  readonly nackEvents: NackEvent[] = [];
  readonly named = new Map<string, ReadonlySet<string>>();
  closed = 0;
  /** Views of this proxy only. */
  readonly views = new Map<string, View>();

  readonly #world: World;
  readonly connectionId: string;
  readonly node: NodeInfo;
  readonly peer: Peer;
  readonly wake: () => void;

  constructor(world: World, connectionId: string, node: NodeInfo, peer: Peer, wake: () => void) {
    this.#world = world;
    this.connectionId = connectionId;
    this.node = node;
    this.peer = peer;
    this.wake = wake;
  }

  view(typeUrl: string): View | undefined {
    return this.views.get(typeUrl) ?? this.#world.views.get(typeUrl);
  }

  names(typeUrl: string, names: ReadonlySet<string>): void {
    this.named.set(typeUrl, names);
  }

  sent(_typeUrl: string, event: SentEvent): void {
    this.sentEvents.push(event);
  }

  acked(_typeUrl: string, nonce: string): void {
    this.ackedNonces.push(nonce);
  }

  nacked(_typeUrl: string, event: NackEvent): void {
    this.nackEvents.push(event);
  }

  close(): void {
    this.closed++;
    this.#world.sessions.delete(this);
  }
}

type Defer = (run: () => void) => void;

/** What stands between the streams of a test and their views: nothing. Tests of workers put one there, and do less. */
export const between = { port: (views: ViewPort, _defer: Defer): ViewPort => views, scale: 1 };

/** What all streams of a test share; `run` does the work that streams have asked for. */
export class Host {
  readonly world: World;
  readonly timers = new ManualTimers();
  readonly metrics = new Metrics();
  readonly pool = new NamePool();
  readonly encoder = new Encoder();
  readonly unsent: Gate;
  readonly context: StreamContext;
  #deferred: (() => void)[] = [];
  serial = 0;

  constructor(world: World) {
    this.world = world;
    const clock = { now: () => this.timers.now };
    const defer: Defer = (run) => {
      this.#deferred.push(run);
    };
    const metrics = xdsMetrics(this.metrics);
    this.unsent = new Gate({ timers: this.timers, limit: 1_000, maxWait: 5_000, waiting: metrics.waiting });
    this.context = {
      unsent: this.unsent,
      unanswered: new Unanswered({ timers: this.timers, limit: 20_000, waiting: metrics.waitingPushes }),
      port: between.port(world, defer),
      pool: this.pool,
      encoder: this.encoder,
      scheduler: new Scheduler({ clock, defer }),
      metrics,
      clock,
      timers: this.timers,
      log: silentLog,
      orderTimeout: 5_000,
      writeTimeout: 60_000,
    };
  }

  run(): void {
    for (let work = this.#deferred.shift(); work !== undefined; work = this.#deferred.shift()) work();
  }
}

const PEER: Peer = { address: 'test', plaintext: true, identities: [] };

/** One proxy and its stream. */
export class Link {
  readonly host: Host;
  readonly client: ClientState;
  stream: XdsStream;
  /** Responses on their way. */
  inbox: Buffer[] = [];
  /** Everything that arrived. */
  readonly updates: Update[] = [];
  ended: { code: number; message: string; cut: boolean } | undefined;
  /** How many bytes the client takes before the outlet says stop. */
  room = Number.POSITIVE_INFINITY;
  taken = 0;
  verdict: Verdict = () => undefined;
  /** Sees each response as the server writes it. */
  onWrite: (update: Update) => void = () => {};

  constructor(host: Host, mode: Mode, id = 'proxy') {
    this.host = host;
    this.client = new ClientState(mode, nodeOf(id));
    this.stream = this.#open();
  }

  #open(): XdsStream {
    this.inbox = [];
    const inbox = this.inbox;
    const outlet = {
      write: (message: Message): boolean => {
        const bytes = message.bytes();
        this.onWrite(this.client.mode === 'sotw' ? readSotwResponse(bytes) : readDeltaResponse(bytes));
        inbox.push(bytes);
        this.room -= message.byteLength;
        return this.room > 0;
      },
      end: (code: number, message: string, cut: boolean): void => {
        this.ended = { code, message, cut };
      },
      taken: (): number => this.taken,
    };
    return new XdsStream(this.client.mode, PEER, outlet, this.host.context, String(this.host.serial++));
  }

  subscribe(typeUrl: string, names?: readonly string[]): this {
    return this.raw(this.client.subscribe(typeUrl, names));
  }

  unsubscribe(typeUrl: string, names: readonly string[]): this {
    return this.raw(this.client.unsubscribe(typeUrl, names));
  }

  /** What was read is overwritten, as by the next message that lies there. */
  #request(bytes: Buffer): void {
    const own = Buffer.from(bytes);
    this.stream.request(own, () => own.fill(0xff));
  }

  raw(bytes: Buffer): this {
    this.#request(bytes);
    this.host.run();
    return this;
  }

  /** The client takes one response and answers it. */
  take(): Update | undefined {
    const bytes = this.inbox.shift();
    if (bytes === undefined) return undefined;
    const { update, answer } = this.client.receive(bytes, this.verdict);
    this.updates.push(update);
    this.raw(answer);
    return update;
  }

  /** Takes and answers until nothing more comes; gives what came. */
  settle(): Update[] {
    this.host.run();
    const before = this.updates.length;
    for (let rounds = 0; this.take() !== undefined; rounds++) if (rounds > 200) throw new Error('it never ends');
    return this.updates.slice(before);
  }

  reconnect(order?: readonly string[]): this {
    this.stream.closed();
    this.stream = this.#open();
    for (const request of this.client.reconnect(order)) this.#request(request);
    this.host.run();
    return this;
  }

  held(typeUrl: string): Record<string, string> {
    return contents([...this.client.held(typeUrl).values()]);
  }

  get status(): StreamStatus {
    const status = this.stream.status();
    if (status === undefined) throw new Error('no status');
    return status;
  }
}

/** Name to content. */
export function contents(
  resources: Iterable<{ readonly name: string; readonly bytes: Uint8Array }>,
): Record<string, string> {
  const entries = [...resources].map(({ name, bytes }) => {
    const head = bytesField(1, Buffer.from(name));
    const rest = Buffer.from(bytes.subarray(head.length));
    return [name, rest.subarray(2).toString()] as const;
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names of what an update brought. */
export function names(update: Update | undefined): string[] {
  return (update?.resources ?? []).map((item) => item.name).sort();
}

export function changeOf(world: World, typeUrl: string, change: Readonly<Record<string, string | undefined>>): void {
  world.set(typeUrl, change);
  world.wake();
}
