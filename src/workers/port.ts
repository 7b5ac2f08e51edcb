// The plane as the streams of a worker see it: sessions that ask the process that translates, and hold what they were told.
// In: the calls of streams, batches of views. Out: batches of events, wakes. Called by the xDS server of the worker.
// A session is not ready while something that it has asked waits for an answer: its stream then sends nothing.

import { emptyView, type View } from '../resources/view.ts';
import type { NackEvent, NodeInfo, Peer, ProxySession, Refusal, SentEvent, ViewPort } from '../xds/port.ts';
import { Importer } from './importer.ts';
import type { EventBatch, Id, SessionUpdate, ViewBatch, WorkerEvent } from './messages.ts';
import { NumberedSets } from './name-sets.ts';

export interface RemotePortOptions {
  readonly send: (batch: EventBatch) => void;
  /** Runs a function once the event loop has come round. */
  readonly defer: (run: () => void) => void;
}

export class RemotePort implements ViewPort {
  readonly #options: RemotePortOptions;
  readonly #importer = new Importer();
  readonly #sessions = new Map<Id, RemoteSession>();
  readonly #waiting = new Set<RemoteSession>();
  readonly sets = new NumberedSets((event) => this.#tell(event));
  #events: WorkerEvent[] = [];
  #batch = 1;
  #taken = 0;
  #asks = false;
  #scheduled = false;
  #lastSession = 0;

  constructor(options: RemotePortOptions) {
    this.#options = options;
  }

  connect(
    node: NodeInfo,
    peer: Peer,
    wake: (changedAt?: number) => void,
    mode: 'sotw' | 'delta',
  ): ProxySession | Refusal {
    const id = ++this.#lastSession;
    const session = new RemoteSession(id, `${node.id}-?`, wake, this);
    this.#sessions.set(id, session);
    this.ask(session, { kind: 'connect', session: id, node, peer, mode });
    return session;
  }

  /** The last batch of views that was taken in. */
  get taken(): number {
    return this.#taken;
  }

  take({ batch, answered, definitions, sessions }: ViewBatch): void {
    this.#importer.take(definitions);
    const woken = new Map<RemoteSession, number | undefined>();
    for (const update of sessions) {
      const session = this.#sessions.get(update.session);
      if (session === undefined) continue;
      session.update(update, this.#importer);
      woken.set(session, update.changedAt);
    }
    for (const session of this.#waiting) {
      if (!session.answeredBy(answered)) continue;
      this.#waiting.delete(session);
      if (!woken.has(session)) woken.set(session, undefined);
    }
    this.#taken = batch;
    this.#schedule();
    for (const [session, changedAt] of woken) session.wake(changedAt);
  }

  /** Tells an event that is to be answered. */
  ask(session: RemoteSession, event: WorkerEvent): void {
    this.#tell(event);
    this.#asks = true;
    session.waitFor(this.#batch);
    this.#waiting.add(session);
  }

  tell(event: WorkerEvent): void {
    this.#tell(event);
  }

  idOf(view: View): Id {
    return this.#importer.idOf(view);
  }

  left(id: Id, session: RemoteSession): void {
    this.#sessions.delete(id);
    this.#waiting.delete(session);
    this.#tell({ kind: 'close', session: id });
  }

  /** The numbers of sessions by connection. */
  numbers(): ReadonlyMap<string, Id> {
    return new Map([...this.#sessions].map(([id, { connectionId }]) => [connectionId, id]));
  }

  #tell(event: WorkerEvent): void {
    this.#events.push(event);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      const [asks, events] = [this.#asks, this.#events];
      this.#asks = false;
      this.#events = [];
      this.#options.send({ kind: 'events', batch: this.#batch++, taken: this.#taken, asks, events });
    });
  }
}

interface Told {
  view: View | undefined;
  named: boolean;
}

class RemoteSession implements ProxySession {
  readonly kind = 'session';
  readonly #id: Id;
  readonly #wake: (changedAt?: number) => void;
  readonly #port: RemotePort;
  readonly #types = new Map<string, Told>();
  readonly #names = new Map<string, ReadonlySet<string>>();
  #connectionId: string;
  #refusal: Refusal | undefined;
  #known = false;
  #awaited = 0;
  #waits = true;

  constructor(id: Id, connectionId: string, wake: (changedAt?: number) => void, port: RemotePort) {
    this.#id = id;
    this.#connectionId = connectionId;
    this.#wake = wake;
    this.#port = port;
  }

  /** Until the first answer nobody knows its number there. */
  get connectionId(): string {
    return this.#connectionId;
  }

  get ready(): boolean {
    return this.#known && !this.#waits;
  }

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  waitFor(batch: number): void {
    this.#awaited = batch;
    this.#waits = true;
  }

  /** True when nothing that it has asked waits any more. */
  answeredBy(batch: number): boolean {
    if (batch < this.#awaited) return false;
    this.#waits = false;
    return true;
  }

  update({ connectionId, refusal, views }: SessionUpdate, importer: Importer): void {
    this.#known = true;
    this.#connectionId = connectionId;
    this.#refusal = refusal;
    for (const { typeUrl, view, named } of views) {
      this.#types.set(typeUrl, { view: view === 0 ? undefined : importer.view(view), named });
    }
  }

  wake(changedAt: number | undefined): void {
    this.#wake(changedAt);
  }

  view(typeUrl: string): View | undefined {
    let told = this.#types.get(typeUrl);
    if (told === undefined) {
      told = { view: emptyView(typeUrl), named: true };
      this.#types.set(typeUrl, told);
      this.#port.ask(this, { kind: 'ask', session: this.#id, typeUrl });
    }
    return told.view;
  }

  names(typeUrl: string, names: ReadonlySet<string>): void {
    const before = this.#names.get(typeUrl);
    const set = this.#port.sets.hold(names, before);
    if (before !== undefined) this.#port.sets.release(before);
    this.#names.set(typeUrl, names);
    const event = { kind: 'names', session: this.#id, typeUrl, set } as const;
    if (this.#types.get(typeUrl)?.named === false) this.#port.tell(event);
    else this.#port.ask(this, event);
  }

  sent(typeUrl: string, { view, ...event }: SentEvent): void {
    const id = view === undefined ? 0 : this.#port.idOf(view);
    this.#port.tell({ kind: 'sent', session: this.#id, typeUrl, event, view: id });
  }

  acked(typeUrl: string, nonce: string): void {
    this.#port.tell({ kind: 'acked', session: this.#id, typeUrl, nonce });
  }

  nacked(typeUrl: string, { nonce, message, suspects }: NackEvent): void {
    const named = suspects.map(({ name, version }) => ({ name, version }));
    this.#port.tell({ kind: 'nacked', session: this.#id, typeUrl, nonce, message, suspects: named });
  }

  health(problem: string | undefined): void {
    this.#port.tell({ kind: 'health', session: this.#id, problem });
  }

  close(): void {
    this.#port.left(this.#id, this);
    for (const names of this.#names.values()) this.#port.sets.release(names);
    this.#names.clear();
  }
}
